# From requests to answers, for what the hot path leaves over.
#
# Misses, preconditions, ranges, redirects, errors, files too large to hold. Delivery takes the answer from there.
#
# Rule: the loop never waits for the disk: what the kernel does not have in memory is fetched by the pool, once for
#       all who wait for the same path.
"""Answering whole requests, in the slow lane."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from wsrv.engine.http.ranges import Span, choose, unsatisfied
from wsrv.engine.shm.row import HITS, MISSES, NEGATIVE_HITS, NEGATIVES, TROUBLE_INDEX, Ledger
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.file import OpenFile
from wsrv.engine.static.recoding import Bounds, coding_wanted, recode
from wsrv.engine.static.rules import merged
from wsrv.engine.static.site import NotServed, Site
from wsrv.engine.worker.clock import Clock
from wsrv.engine.worker.connection import Connection, Connections
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.errands import CODINGS, Errand, Errands, Resumption
from wsrv.engine.worker.openfiles import OpenFiles
from wsrv.engine.worker.patience import Patience
from wsrv.engine.worker.pool import FilePool, Finished
from wsrv.engine.worker.prepared import Cached, Shelf
from wsrv.engine.worker.request import Request
from wsrv.engine.worker.routes import Routes, key_of

# What a look found a moment ago.
_NOTHING = NotServed(404, "nothing was there a moment ago")


class Found(NamedTuple):
    """What a look-up has found, and when it began."""

    entity: Entity
    began_ns: int

    @classmethod
    def of(cls, done: Finished) -> object:
        """What the pool has found, or why it has not."""
        return cls(done.outcome, done.began_ns) if isinstance(done.outcome, Entity) else done.outcome


Missing = Callable[[Connection, Request, NotServed, int], None]


class Answering:
    """Finds the answer to a request, or has it fetched."""

    def __init__(
        self,
        connections: Connections,
        delivery: Delivery,
        shelf: Shelf,
        pool: FilePool,
        ledger: Ledger,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        # What is done where there is nothing to answer with. Whoever receives requests puts itself there.
        self.when_missing: Missing = self._say_missing
        self._delivery = delivery
        self._shelf = shelf
        self._ledger = ledger
        self._clock = clock
        self.errands = Errands(pool, connections, ledger)
        self.patience = Patience(connections, shelf)
        self.open_files = OpenFiles(shelf)
        self._routes = Routes(shelf)
        self._bounds = bounds

    def finished(self, done: Finished, now_ns: int) -> Iterator[Resumption]:
        """Everybody who waits for what the pool has finished, and how they are answered."""
        return self.errands.finished(done, now_ns)

    def look_up(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer with what is at the request's path, or have it fetched."""
        cached = self._routes.find(request.host.site, request.path, request.accepted, now_ns)
        if cached is not None:
            self._ledger.counts[HITS] += 1
            request.cache = b"hit"
            cached.served += 1
            self._shelf.hit(cached)
            if self._shelf.sample is not None:
                self._shelf.sample.note(cached, now_ns)
            self._answer(conn, request, cached, now_ns)
            return
        if self._shelf.absent.has(request.host.site, request.path, now_ns):
            self._ledger.counts[NEGATIVE_HITS] += 1
            request.cache = b"negative"
            self.when_missing(conn, request, _NOTHING, now_ns)
            return
        request.cache = b"miss"
        if not self.send_again(conn, request, now_ns):
            self._ledger.counts[MISSES] += 1
            self._find(conn, request, now_ns)

    def send_again(self, conn: Connection, request: Request, now_ns: int) -> bool:
        """Answer with a long file that was sent a moment ago and is as it was; False when there is none."""
        kept = self.open_files.find(request.host.site, request.path, request.accepted, now_ns)
        if kept is None:
            return False
        self._ledger.counts[MISSES] += 1
        if request.front is None or request.extras or request.line.method != b"GET":
            self._settle_on(conn, request, kept.cached, now_ns)
            return True
        if self._shelf.sample is not None:
            self._shelf.sample.miss(kept.cached, now_ns)
        template = kept.head(self._delivery.connection(request))
        self._delivery.stream(conn, request, kept.cached.entity, kept.file, template=template)
        return True

    def _look_again(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer a request that has waited for another worker to fetch what it asks for."""
        cached = self._routes.find(request.host.site, request.path, request.accepted, now_ns)
        if cached is None:
            self._find(conn, request, now_ns)
        else:
            self._settle_on(conn, request, cached, now_ns)

    def _find(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer with what the site has at the request's path, or have it fetched, by one of all workers that share."""
        site, path, line = request.host.site, request.path, request.line
        look = partial(site.find, path, line.path, query=line.query, accepted=request.accepted)
        try:
            entity = look(nowait=True)
        except BlockingIOError:
            key = key_of(site, path, b"")
            if not self._shelf.claim(site, key, now_ns):
                self.patience.wait(conn, site, key, partial(self._look_again, conn, request), now_ns)
                return

            def settle(done: Finished) -> object:
                # It is put where the others find it right after; who looks in between has it from the kernel.
                self._shelf.release(site, key)
                self._note_missing(site, path, done.outcome, done.began_ns)
                return Found.of(done)

            # The target is part of the ticket: a redirect repeats it, and it is nobody else's to see.
            ticket = (site.tag, path, line.path, line.query, request.accepted)
            errand = Errand(ticket, partial(look, nowait=False), settle, self._resume)
            if not self.errands.send(conn, request, errand, now_ns):
                self._shelf.release(site, key)
                self.error(conn, request, 503, now_ns)
            return
        except NotServed as e:
            self._note_missing(site, path, e, now_ns)
            self.when_missing(conn, request, e, now_ns)
            return
        except MemoryError:
            self._ledger.counts[TROUBLE_INDEX["no_memory"]] += 1
            self.error(conn, request, 503, now_ns)
            return
        self._represent(conn, request, Found(entity, now_ns), now_ns)

    def _note_missing(self, site: Site, path: bytes, outcome: object, began_ns: int) -> None:
        """Spare others the same look for a moment, if `outcome` is that nothing is there: not even a folder."""
        if type(outcome) is NotServed and outcome.status == _NOTHING.status:
            self._shelf.absent.note(site, path, began_ns)
            self._ledger.counts[NEGATIVES] = len(self._shelf.absent)

    def _say_missing(self, conn: Connection, request: Request, why: NotServed, now_ns: int) -> None:
        self.error(conn, request, why.status, now_ns)

    def _resume(self, conn: Connection, request: Request, found: object, now_ns: int) -> None:
        """Answer a request that waited for a file."""
        if isinstance(found, Found):
            self._represent(conn, request, found, now_ns)
        else:
            assert isinstance(found, NotServed), "a look-up ends with an entity or with NotServed"
            self.when_missing(conn, request, found, now_ns)

    def _represent(self, conn: Connection, request: Request, found: Found, now_ns: int) -> None:
        """Answer with what was found at the path, in a coding that the client takes."""
        entity, path, site = found.entity, request.path, request.host.site
        self._clock.not_before(entity.mtime_seconds)
        try:
            coding = coding_wanted(entity, request.accepted, self._bounds)
        except NotServed as e:
            self.error(conn, request, e.status, now_ns, str(e))
            return
        if coding is None:
            self._settle_on(conn, request, self._keep(site, path, entity, found.began_ns), now_ns)
            return
        known = self._routes.recoded(site, path, coding, entity, found.began_ns)
        if known is not None:
            self._settle_on(conn, request, known, now_ns)
            return

        key = key_of(site, path, coding)
        if not self._shelf.claim(site, key, now_ns):
            self.patience.wait(conn, site, key, partial(self._represent, conn, request, found), now_ns)
            return

        def settle(done: Finished) -> object:
            made = done.outcome
            settled = self._keep(site, path, made, found.began_ns) if isinstance(made, Entity) else made
            self._shelf.release(site, key)
            return settled

        def answer(conn: Connection, request: Request, made: object, now_ns: int) -> None:
            if isinstance(made, Cached) and (made.entity.coding or request.accepted.identity):
                self._settle_on(conn, request, made, now_ns)
            elif isinstance(made, NotServed):
                as_it_is(conn, request, made.status, now_ns)
            else:
                self.error(conn, request, 406, now_ns)

        def as_it_is(conn: Connection, request: Request, status: int, now_ns: int) -> None:
            # Not to be shelved: the next one shall have the coding.
            request.front = None
            if status == 503 and not entity.coding and request.accepted.identity:
                self._answer(conn, request, self._keep(site, path, entity, found.began_ns), now_ns)
            else:
                self.error(conn, request, status, now_ns)

        work = partial(recode, entity, coding, self._bounds)
        ticket = (site.tag, path, coding, entity.identity, entity.basis)
        errand = Errand(ticket, work, settle, answer, CODINGS)
        if not self.errands.send(conn, request, errand, now_ns):
            self._shelf.release(site, key)
            as_it_is(conn, request, 503, now_ns)

    def _settle_on(self, conn: Connection, request: Request, cached: Cached, now_ns: int) -> None:
        """Answer with what serves all who take the same codings."""
        self._routes.note(request.host.site, request.path, request.accepted, cached)
        if self._shelf.sample is not None:
            self._shelf.sample.miss(cached, now_ns)
        self._answer(conn, request, cached, now_ns)

    def _keep(self, site: Site, path: bytes, entity: Entity, checked_ns: int) -> Cached:
        """Hold `entity` if it may be held, and say how full the store is."""
        cached = self._routes.keep(site, path, entity, checked_ns)
        self._shelf.gauge(self._ledger.counts)
        return cached

    def _answer(self, conn: Connection, request: Request, cached: Cached, now_ns: int) -> None:
        """Answer with an entity, or as the client's conditions and its Range say."""
        head_only = request.line.method == b"HEAD"
        if cached.entity.body is None and cached.entity.status == 200 and not head_only:
            self._stream(conn, request, cached, now_ns)
            return
        if request.extras:
            # Beside what is held: nobody else gets it.
            entity = with_extras(cached.entity, request)
            cached = Cached(cached.key, cached.site, cached.path, entity, cached.checked_ns)
        entity = cached.entity
        if entity.status != 200:
            self._delivery.entity(conn, request, entity)
            return
        if request.front is None:
            status, spans = self._choice(request, entity, cached.checked_ns)
            if status != 200:
                self._otherwise(conn, request, entity, status, spans, now_ns)
                return
        prepared = self._shelf.prepare(cached, head_only, self._delivery.connection(request), now_ns)
        self._delivery.prepared(conn, request, prepared)
        if request.front is not None:
            self._shelf.shelve(prepared, request.front, request.raw_line)

    def _stream(self, conn: Connection, request: Request, found: Cached, now_ns: int) -> None:
        """Answer with a file that is too large to hold. Its conditions concern the very file that is open now."""
        file, entity = self.open_files.of(found, request.accepted), found.entity
        if file is None:
            try:
                fd, entity = request.host.site.open_for_sending(request.path, found.entity)
            except NotServed as e:
                self.error(conn, request, e.status, now_ns)
                return
            file = OpenFile(fd)
            self._clock.not_before(entity.mtime_seconds)
            if entity is found.entity:
                self.open_files.keep(found, request.accepted, file)
        entity = with_extras(entity, request)
        status, spans = self._choice(request, entity, now_ns)
        if status in (200, 206):
            self._delivery.stream(conn, request, entity, file, spans)
            return
        self._otherwise(conn, request, entity, status, spans, now_ns)

    def _choice(self, request: Request, entity: Entity, seen_ns: int) -> tuple[int, list[Span]]:
        """The status that the client's fields ask for, and the spans of a 206; `entity` was as it is at `seen_ns`."""
        seen_seconds = self._clock.wall_seconds(seen_ns)
        return choose(request.line.method, request.fields, entity.validators, entity.length, seen_seconds)

    def _otherwise(
        self, conn: Connection, request: Request, entity: Entity, status: int, spans: list[Span], now_ns: int
    ) -> None:
        """Answer with what is not the whole entity."""
        if status == 206:
            self._delivery.part(conn, request, entity, spans)
        elif status == 304:
            self._delivery.not_modified(conn, request, entity)
        elif status == 416:
            page = self._shelf.error(416, now_ns, host=request.host)
            # How long it is depends on the coding.
            page = varied(page) if entity.basis is not None else page
            page = replace(page, fields=(*page.fields, unsatisfied(entity.length)))
            self._delivery.entity(conn, request, with_extras(page, request))
        else:
            self.error(conn, request, status, now_ns)

    def error(self, conn: Connection, request: Request, status: int, now_ns: int, reason: str = "") -> None:
        """Answer with an error page, which says `reason` where it is given."""
        page = self._shelf.error(status, now_ns, reason, request.host)
        page = varied(page) if status == 406 else page
        self._delivery.entity(conn, request, with_extras(page, request))


def with_extras(entity: Entity, request: Request) -> Entity:
    """`entity` with the fields that only this request's answer has."""
    return replace(entity, fields=(*entity.fields, *request.extras)) if request.extras else entity


def varied(entity: Entity) -> Entity:
    """`entity`, said to be another for clients that take other codings (RFC 9110 12.5.5)."""
    return replace(entity, fields=merged(entity.fields, {b"vary": (b"Vary", [b"Accept-Encoding"])}))
