# Entries that nobody has asked for yet: what a predecessor held, and what somebody wants to be warm.
#
# Rule: what the kernel has in memory is read at once, the rest by the pool, a few at a time: its threads are for those
#       who wait.
"""Loading entities into the cache ahead of requests."""

import select
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic_ns

from wsrv.engine.http.negotiation import AS_IT_IS, CODINGS, Acceptable
from wsrv.engine.static.entity import Entity, NotServed
from wsrv.engine.static.recoding import Bounds, recode
from wsrv.engine.static.site import Site
from wsrv.engine.worker.errands import Errand, Errands
from wsrv.engine.worker.pool import FilePool, Finished
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.routes import key_of, parts_of

# Jobs of the pool under way for this at once.
MOST_UNDER_WAY = 4
# What became of it.
LOADED = "loaded"
THERE = "there"
FULL = "full"
NOTHING = "nothing"

# What became of it, and how many bytes it has.
Then = Callable[[str, int], None]


def fetch(site: Site, path: bytes, coding: bytes, bounds: Bounds, nowait: bool) -> Entity:
    """What is at `path` in `coding`, compressed here where it has to be. Raises as Site.find does, IsADirectoryError
    apart; NotServed where there is none in that coding."""
    accepted = Acceptable((coding,), identity=True) if coding else AS_IT_IS
    entity = site.find(path, path, nowait=nowait, accepted=accepted)
    if entity.status != 200 or entity.body is None or not entity.settled:
        raise NotServed(404, "nothing to hold")
    if coding and not entity.coding and entity.compressible and entity.length <= bounds.compressed:
        entity = recode(entity, coding, bounds)
    if entity.coding != coding:
        raise NotServed(404, "not in this coding")
    return entity


class Loading:
    """Loads what is at paths into the cache behind `shelf`, up to `capacity_bytes`; nobody has to leave for it."""

    def __init__(self, shelf: Shelf, errands: Errands, pool: FilePool, bounds: Bounds, capacity_bytes: int) -> None:
        self._shelf = shelf
        self._errands = errands
        self._pool = pool
        self._bounds = bounds
        self._capacity_bytes = capacity_bytes
        self._sites = {host.site.tag: host.site for host in shelf.hosts}
        self.under_way = 0
        # Whether what is loaded is there for all workers.
        self.shares = shelf.shares

    def load(self, site: Site, path: bytes, coding: bytes, now_ns: int, then: Then) -> bool:
        """Load it; `then` is told what became of it, at once or when the pool has read it. False, and nothing done,
        when too much is under way."""
        if self.under_way >= MOST_UNDER_WAY:
            return False
        if self._shelf.holds(key_of(site, path, coding)):
            then(THERE, 0)
            return True
        try:
            entity = fetch(site, path, coding, self._bounds, nowait=True)
        except NotServed:
            then(NOTHING, 0)
        except BlockingIOError:
            return self._send(site, path, coding, now_ns, then)
        else:
            then(self._keep(site, path, entity, now_ns), entity.length)
        return True

    def _send(self, site: Site, path: bytes, coding: bytes, now_ns: int, then: Then) -> bool:
        def settle(done: Finished) -> None:
            self.under_way -= 1
            found = done.outcome
            if isinstance(found, Entity):
                then(self._keep(site, path, found, done.began_ns), found.length)
            else:
                then(NOTHING, 0)

        work = partial(fetch, site, path, coding, self._bounds, nowait=False)
        if not self._errands.order(Errand((Loading, site.tag, path, coding), work, settle, _nobody), now_ns):
            return False
        self.under_way += 1
        return True

    def _keep(self, site: Site, path: bytes, entity: Entity, checked_ns: int) -> str:
        if not self._shelf.has_room(len(entity.body or b""), self._capacity_bytes):
            return FULL
        key = key_of(site, path, entity.coding)
        if not self._shelf.holds(key):
            self._shelf.lay_in(key, site, path, entity, checked_ns)
        return LOADED

    def recall(self, keys: Iterable[bytes], within_ns: int) -> None:
        """Load what a predecessor held under `keys`, the hottest first, in a bounded time. Before the loop begins.

        What fails costs what it would have brought, never the worker.
        """
        until_ns = monotonic_ns() + within_ns
        recalled = []
        poll = select.poll()
        poll.register(self._pool.fileno(), select.POLLIN)
        try:
            for key in keys:
                path, coding, tag = parts_of(key)
                site = self._sites.get(tag)
                if site is None or coding not in (b"", *CODINGS):
                    continue
                while not self.load(site, path, coding, monotonic_ns(), _ignore) and self._wait(poll, until_ns):
                    pass
                recalled.append(key)
                if monotonic_ns() >= until_ns:
                    break
            while self.under_way and self._wait(poll, until_ns):
                pass
        except Exception:
            traceback.print_exc()
        # The hottest last, so that it is the youngest to a policy that keeps an order.
        for key in reversed(recalled):
            if self._shelf.store.get(key) is not None:
                self._shelf.store.policy.hit(key)

    def _wait(self, poll: select.poll, until_ns: int) -> bool:
        """Wait for the pool; False when the time is up."""
        left_ns = until_ns - monotonic_ns()
        if left_ns <= 0 or not poll.poll(left_ns // 1_000_000 + 1):
            return False
        for done in self._pool.take():
            # Nobody is connected, so nobody is answered.
            for _ in self._errands.finished(done, monotonic_ns()):
                pass
        return True


def _ignore(what: str, size: int) -> None:
    """Nobody asked."""


def _nobody(*_: object) -> None:
    raise AssertionError("nobody waits for what is loaded ahead")
