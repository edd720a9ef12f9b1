# A shelf in front of the cache that all workers share.
#
#   request ─> front (this worker's, prebuilt) ─> shared memory ─> files
#
# Rule 1: an entity travels whole: identity, fields and bytes are one content of one record.
# Rule 2: one look at a file serves all: when that was stands beside the content. Whoever finds it changed drops it.
# Rule 3: the keeper hears of a key when its answer is looked up or renewed, once a second and worker at the most often:
#         the hot path pays nothing.
# Rule 4: each root directory has its own entries: workers notice another one at different moments.
"""The shelf of a worker that shares its cache with the others."""

import marshal
import os
from collections.abc import Callable, Iterator
from time import monotonic_ns
from typing import NamedTuple

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.shared.arena import BLOCK_BYTES, FREE_BLOCKS, Arena, blocks_for, tag_of
from wsrv.engine.cache.shared.claims import Claims
from wsrv.engine.cache.shared.reading import Held, Reader, Ticket
from wsrv.engine.cache.shared.rings import HitRing
from wsrv.engine.cache.shared.writing import Writer
from wsrv.engine.cache.store import CLEARED, Departure
from wsrv.engine.http.bounds import Bounds
from wsrv.engine.log.format import Format
from wsrv.engine.settings import CacheSettings
from wsrv.engine.shm.row import GUARD_INDEX, SHARED_HITS, TORN, UNSTORED, Ledger
from wsrv.engine.static.entity import Basis, Entity, Identity, Sibling
from wsrv.engine.static.hosts import Hosts
from wsrv.engine.static.site import Site
from wsrv.engine.sync.counting import CountedLock, Tally
from wsrv.engine.sync.primitive import Lock
from wsrv.engine.worker.clock import Clock
from wsrv.engine.worker.prepared import OVERHEAD_BYTES, Cached, Prepared, Shelf, may_be_held

# Between the key that the worker knows and the mark of the site that it was found in. A path has no NUL.
_ROOT = b"\0@"
# How often the lock is asked for to drop what is to be cleared: others that clear hold it for microseconds, but one of
# them may have lost the processor.
_CLEAR_TRIES = 20


class SharedMemory(NamedTuple):
    """What the master hands to a worker: the arena, the lock of its writers, the keeper's bell, its front's budget."""

    arena: Arena
    lock: Lock
    bell: int
    front_bytes: int

    @property
    def most_bytes(self) -> int:
        """The longest body that finds room, however full the arena is."""
        return self.arena.reserve * BLOCK_BYTES - OVERHEAD_BYTES


class SharedCached(Cached):
    """As Cached; `ticket` is where its content is shared, None where it is not."""

    __slots__ = ("tag", "ticket")

    def __init__(
        self, key: bytes, site: Site, path: bytes, entity: Entity, checked_ns: int, tag: int, ticket: Ticket | None
    ) -> None:
        super().__init__(key, site, path, entity, checked_ns)
        self.tag = tag
        self.ticket = ticket


class SharedShelf(Shelf):
    """A Shelf of which `policy` keeps the front small, and behind it what all workers share."""

    shares = True

    def __init__(
        self,
        settings: CacheSettings,
        policy: Policy,
        hosts: Hosts,
        clock: Clock,
        log_format: Format,
        bounds: Bounds,
        memory: SharedMemory,
        row: int,
        ledger: Ledger,
    ) -> None:
        super().__init__(settings, policy, hosts, clock, log_format, bounds)
        self._sites = {host.site.tag: host.site for host in hosts}
        self._counts = ledger.counts
        self._arena = arena = memory.arena
        lock = CountedLock(memory.lock, Tally(ledger.counts, GUARD_INDEX[memory.lock.name]))
        self._reader = Reader(arena, lock)
        self._writer = Writer(arena, lock)
        self._note = HitRing(arena, row).note
        self._claims = Claims(arena, lock, row)
        self._bell = memory.bell
        self._little_room = arena.reserve // 2

    def find(self, key: bytes, now_ns: int) -> Cached | None:
        """What is held under `key`, here or for all, and is known to be as the file is."""
        cached = self.store.get(key)
        if isinstance(cached, SharedCached) and self._fresh(cached, now_ns):
            self._note(cached.tag)
            return cached
        shared = self._shared(key)
        if shared is None or not self._fresh(shared, now_ns):
            return None
        self._put(shared)
        self._counts[SHARED_HITS] += 1
        self._note(shared.tag)
        return shared

    def hit(self, cached: Cached) -> None:
        """Tell the front's policy of a hit that the slow lane serves, if the front took it in."""
        if self.store.get(cached.key) is cached:
            super().hit(cached)

    def claim(self, site: Site, key: bytes, now_ns: int) -> bool:
        """Whether this worker is to load what is missing under `key`; False while another one is at it."""
        return self._claims.claim(tag_of(_shared_key(key, site)), now_ns)

    def is_claimed(self, site: Site, key: bytes, now_ns: int) -> bool:
        """Whether another worker is loading what is missing under `key`."""
        return self._claims.is_taken(tag_of(_shared_key(key, site)), now_ns)

    def release(self, site: Site, key: bytes) -> None:
        """What was claimed is loaded, or cannot be."""
        self._claims.release(tag_of(_shared_key(key, site)))

    def clear_shared(self, matches: Callable[[bytes], bool]) -> Iterator[tuple[int, int]]:
        """Drop what is held for all workers at paths that match, in steps: how many entries, and how many bytes."""
        for entry in self._reader.entries():
            path = key_of_shared(entry.key).partition(b"\0")[0]
            # Every worker is told to clear; who comes first has dropped it, and counts it.
            dropped: int | None = 0
            for _ in range(_CLEAR_TRIES if matches(path) else 0):
                dropped = self._writer.drop_all((entry.ticket,))
                if dropped is not None:
                    break
            if dropped and not self.store.get(key := key_of_shared(entry.key)):
                self._remember(key, entry.real_bytes, CLEARED)
            yield dropped or 0, entry.real_bytes if dropped else 0

    def holds(self, key: bytes) -> bool:
        """Whether something is held under `key`, here or for all."""
        return super().holds(key) or self._reader.holds(_shared_key(key, self._site_of(key)))

    def has_room(self, body_bytes: int, capacity_bytes: int) -> bool:
        """Whether a body of this length fits in beside the reserve."""
        wanted = blocks_for(body_bytes + OVERHEAD_BYTES)
        return wanted <= self._arena.header[FREE_BLOCKS] - self._arena.reserve

    def lay_in(self, key: bytes, site: Site, path: bytes, entity: Entity, checked_ns: int) -> None:
        """Hold `entity` for all. The front is for what is asked for."""
        assert entity.body is not None, "what has no body is not held"
        if self._writer.publish(_shared_key(key, site), _packed(entity), entity.body, checked_ns) is None:
            self._counts[UNSTORED] += 1

    def held(self, key: bytes) -> Cached | None:
        """What is held under `key`, here or for all, whether or not the file is still like it."""
        cached = self.store.get(key)
        if cached is not None:
            return cached
        shared = self._shared(key)
        if shared is not None:
            self._put(shared)
        return shared

    def keep(self, key: bytes, site: Site, path: bytes, entity: Entity, checked_ns: int) -> Cached:
        """Hold `entity`, here and for all, if it may be held at all."""
        shared_key = _shared_key(key, site)
        cached = SharedCached(key, site, path, entity, checked_ns, tag_of(shared_key), None)
        if may_be_held(entity):
            assert entity.body is not None, "what has no body is not held"
            cached.ticket = self._writer.publish(shared_key, _packed(entity), entity.body, checked_ns)
            if cached.ticket is None:
                self._counts[UNSTORED] += 1
            if cached.ticket is None or self._arena.header[FREE_BLOCKS] < self._little_room:
                os.eventfd_write(self._bell, 1)
            self._put(cached)
        return cached

    def renew(self, prepared: Prepared, now_ns: int) -> bool:
        """Make an expired answer good again; False when its file is not what it was."""
        cached = prepared.cached
        if isinstance(cached, SharedCached):
            self._note(cached.tag)
        return super().renew(prepared, now_ns)

    def distrust(self, now_ns: int) -> None:
        """As a Shelf does; and what others have seen beneath the root that was is not about this one."""
        for key in self.store.held():
            if isinstance(cached := self.store.get(key), SharedCached):
                cached.ticket = None
        super().distrust(now_ns)

    def _shared(self, key: bytes) -> SharedCached | None:
        site, path = self._site_of(key), key.partition(b"\0")[0]
        shared_key = _shared_key(key, site)
        held = self._reader.get(shared_key)
        self._counts[TORN] = self._reader.torn
        if held is None:
            return None
        return SharedCached(key, site, path, entity_of(held), held.checked_ns, tag_of(shared_key), held.ticket)

    def _site_of(self, key: bytes) -> Site:
        return self._sites[key.partition(b"\0")[2].partition(b"\0")[2]]

    def _revalidate(self, cached: Cached, now_ns: int) -> bool:
        if not isinstance(cached, SharedCached) or cached.ticket is None:
            return super()._revalidate(cached, now_ns)
        checked_ns = self._reader.checked_ns(cached.ticket)
        if now_ns - checked_ns < self._revalidate_ns:
            # Another worker has looked.
            cached.checked_ns = checked_ns
            return True
        fresh = super()._revalidate(cached, now_ns)
        if fresh:
            self._reader.confirm(cached.ticket, now_ns)
        return fresh

    def _let_go(self, cached: Cached) -> None:
        reason = self._reason(cached)
        in_front = self.store.get(cached.key) is cached
        if in_front:
            self.store.drop(cached.key, reason)
        if isinstance(cached, SharedCached) and cached.ticket is not None:
            found = self._reader.key_and_weight(cached.ticket)
            if self._writer.drop(cached.ticket) and found is not None and not in_front:
                self._remember(cached.key, found[1], reason)

    def _remember(self, key: bytes, weight: int, reason: str) -> None:
        """Say later why something is not there any more that was not in the front; of what was, the store says it."""
        self.store.departures.append(Departure(monotonic_ns(), key, weight, reason, None))


def _shared_key(key: bytes, site: Site) -> bytes:
    return b"".join((key, _ROOT, site.root_mark))


def key_of_shared(shared_key: bytes) -> bytes:
    """The key that workers know, of one that is shared."""
    return shared_key.rpartition(_ROOT)[0]


def _packed(entity: Entity) -> bytes:
    """All of an entity that can be held, but for its body."""
    basis = entity.basis
    packed_basis = None
    if basis is not None:
        siblings = None
        if basis.siblings is not None:
            siblings = tuple((sibling.coding, tuple(sibling.identity)) for sibling in basis.siblings)
        packed_basis = (_plain(basis.plain), siblings)
    return marshal.dumps(
        (
            *(entity.content_type, entity.etag, entity.mtime_seconds, entity.last_modified, _plain(entity.identity)),
            *(entity.fields, entity.path, entity.coding, packed_basis, entity.compressible),
        )
    )


def entity_of(held: Held) -> Entity:
    """The entity that was packed."""
    kind, etag, mtime_seconds, last_modified, identity, fields, path, coding, basis, compressible = marshal.loads(
        held.head
    )
    if basis is not None:
        plain, siblings = basis
        if siblings is not None:
            siblings = tuple(Sibling(name, Identity(*found)) for name, found in siblings)
        basis = Basis(_identity(plain), siblings)
    return Entity(
        status=200,
        content_type=kind,
        length=len(held.body),
        etag=etag,
        mtime_seconds=mtime_seconds,
        last_modified=last_modified,
        identity=_identity(identity),
        body=held.body,
        fields=fields,
        path=path,
        settled=True,
        coding=coding,
        basis=basis,
        compressible=compressible,
    )


def _plain(identity: Identity | None) -> tuple[int, ...] | None:
    return None if identity is None else tuple(identity)


def _identity(found: tuple[int, int, int, int, int] | None) -> Identity | None:
    return None if found is None else Identity(*found)
