# The slow lane: everything that the hot path leaves over.
#
# Heads never seen before, several in one read, misses, preconditions, bodies, errors. A request comes in as bytes
# and leaves as an answer in its connection's output; Delivery takes it from there.
#
# Rule 1: the rule table of engine.http decides before anything else looks at a request.
# Rule 2: what loses the framing (400, 413, 414, 431, 501 for a coding …) is answered and the connection closed.
# Rule 3: the loop never waits for the disk: what the kernel does not have in memory is fetched by the pool.
"""From bytes to answers, for requests that are not answered by the hot path."""

import os
import traceback

from wsrv.engine.http.body import BodyReader
from wsrv.engine.http.conditional import Validators, evaluate
from wsrv.engine.http.grammar import Malformed
from wsrv.engine.http.head import (
    awaits_continue,
    check,
    parse_request_line,
    persistent,
    refusal_of,
    refusal_of_partial,
)
from wsrv.engine.settings import HttpSettings
from wsrv.engine.shm.row import HITS, MISSES, Ledger
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.site import NotServed, Site
from wsrv.engine.static.target import BadTarget, is_hidden, to_path
from wsrv.engine.worker.connection import (
    BODY,
    CLOSED,
    HEAD,
    IDLE,
    LINGER,
    LINGER_BYTES,
    NOTHING,
    READ,
    WAIT,
    Connection,
    Connections,
)
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.hot import READ_BYTES
from wsrv.engine.worker.pool import FilePool, Finished
from wsrv.engine.worker.prepared import Cached, Shelf
from wsrv.engine.worker.request import Request

_CRLF = b"\r\n"
_END = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# A request that waited for the pool, and what the pool has found.
Fetched = tuple[Request, Cached | NotServed]
# Paths below are the server's own, never the site's.
_INTERNAL = b"/_wsrv/"


class Exchange:
    """Reads requests off connections and sees to their answers."""

    def __init__(
        self,
        settings: HttpSettings,
        connections: Connections,
        delivery: Delivery,
        shelf: Shelf,
        site: Site,
        pool: FilePool,
        ledger: Ledger,
    ) -> None:
        self._max_body_bytes = settings.max_body_bytes
        self._connections = connections
        self._delivery = delivery
        self._shelf = shelf
        self._site = site
        self._pool = pool
        self._ledger = ledger
        self._waiting: dict[bytes, list[tuple[Connection, Request]]] = {}
        self.draining = False

    # What the loop calls.

    def readable(self, conn: Connection, now_ns: int) -> None:
        """Read what a connection that is not idle has to say."""
        try:
            seen = os.read(conn.fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._connections.drop(conn)
            return
        if conn.state == LINGER:
            conn.spent_bytes += len(seen)
            if not seen or conn.spent_bytes > LINGER_BYTES:
                self._connections.drop(conn)
            return
        self.feed(conn, seen, now_ns)

    def feed(self, conn: Connection, seen: bytes, now_ns: int) -> None:
        """Go on with what came; no bytes at all mean that the client sends no more."""
        if not seen:
            self._end_of_input(conn, now_ns)
            return
        if not conn.buffer and conn.state == IDLE:
            conn.began_ns = now_ns
        conn.buffer += seen
        self._advance(conn, now_ns)

    def writable(self, conn: Connection, now_ns: int) -> None:
        """Go on writing; when all is written, go on with what the client had sent in the meantime."""
        if self._delivery.flush(conn, now_ns) and conn.state == IDLE and conn.buffer:
            self._advance(conn, now_ns)

    def overdue(self, conn: Connection, now_ns: int) -> None:
        """The client of `conn` has let its time go by."""
        if conn.state in (HEAD, BODY):
            self._refuse(conn, 408, now_ns)
            self._delivery.flush(conn, now_ns)
        else:
            self._delivery.abandon(conn)

    def finished(self, done: Finished, now_ns: int) -> None:
        """The pool has fetched `done.key`, or knows why not: answer everybody who waits for it."""
        found = done.outcome
        outcome = found if isinstance(found, NotServed) else self._keep(done.key, found, done.began_ns)
        for conn, request in self._waiting.pop(done.key):
            if conn.state == CLOSED:
                continue
            conn.state = IDLE
            self._advance(conn, now_ns, (request, outcome))

    # From bytes to requests.

    def _end_of_input(self, conn: Connection, now_ns: int) -> None:
        if conn.state in (IDLE, HEAD, BODY):
            self._connections.drop(conn)

    def _advance(self, conn: Connection, now_ns: int, fetched: Fetched | None = None) -> None:
        """Go on with a connection, first with what was `fetched` for it.

        A bug of ours costs this client an answer, not the others their worker.
        """
        try:
            if fetched is not None:
                request, outcome = fetched
                if isinstance(outcome, Cached):
                    self._answer(conn, request, outcome, now_ns)
                else:
                    self._answer_error(conn, request, outcome.status, now_ns)
            self._answer_all(conn, now_ns)
        except Exception:
            traceback.print_exc()
            if conn.out or conn.stream is not None or conn.state == CLOSED:
                self._delivery.abandon(conn)
            else:
                self._refuse(conn, 500, now_ns)
                self._delivery.flush(conn, now_ns)

    def _answer_all(self, conn: Connection, now_ns: int) -> None:
        """Answer every request that is whole, in order, then write it all out."""
        while conn.buffer and not conn.closing and conn.stream is None and conn.state in (IDLE, HEAD, BODY):
            if conn.state == BODY:
                if not self._read_body(conn, now_ns):
                    break
            elif not self._read_head(conn, now_ns):
                break
        if conn.state == CLOSED:
            return
        if conn.state in (IDLE, HEAD) and (conn.out or conn.stream is not None):
            self._delivery.flush(conn, now_ns)
        elif not conn.held:
            self._connections.hold(conn, now_ns)

    def _read_head(self, conn: Connection, now_ns: int) -> bool:
        """Take one head off the buffer; False when it is not whole yet."""
        buffer = conn.buffer
        # An empty line before a request line is passed over (RFC 9112 2.2).
        if buffer.startswith(_CRLF):
            conn.buffer = buffer = buffer[2:]
        end = buffer.find(_END) + len(_END)
        if end < len(_END):
            if (refusal := refusal_of_partial(buffer)) is not None:
                self._refuse(conn, refusal.status, now_ns)
                return False
            if buffer and conn.state == IDLE:
                self._connections.want(conn, HEAD, READ, now_ns)
            return False
        conn.state = IDLE
        raw_line, _, block = buffer[:end].partition(_CRLF)
        conn.buffer = buffer[end:]
        try:
            line = parse_request_line(raw_line)
            known = self._shelf.remember(block)
            check(line, known.fields)
        except Malformed as e:
            self._refuse(conn, e.status, now_ns, raw_line)
            return False
        stays = persistent(line, known.fields) and not self.draining
        front = known.front if known.plain and not self.draining else None
        request = Request(raw_line, line, known.fields, known.client, front, stays)
        conn.began.append(conn.began_ns)
        conn.began_ns = now_ns
        body = None if known.plain else BodyReader.of(known.fields)
        if body is None:
            self._begin(conn, request, now_ns)
            return True
        declared = known.fields.content_length or 0
        refusal_status = refusal_of(line.method) or (413 if declared > self._max_body_bytes else None)
        if refusal_status is not None:
            request.persistent = False
            self._answer_error(conn, request, refusal_status, now_ns)
            return False
        if awaits_continue(line, known.fields) and not conn.buffer:
            self._delivery.interim(conn, _CONTINUE)
        conn.request, conn.body = request, body
        self._connections.want(conn, BODY, READ, now_ns)
        return True

    def _read_body(self, conn: Connection, now_ns: int) -> bool:
        """Read past the body of the request under way; False when it has not ended yet."""
        request, body = conn.request, conn.body
        assert request is not None, "a connection reads a body only for a request"
        assert body is not None, "a connection reads a body only through its reader"
        try:
            taken = body.feed(conn.buffer)
        except Malformed as e:
            self._give_up(conn, request, e.status, now_ns)
            return False
        conn.buffer = conn.buffer[taken:]
        if body.received > self._max_body_bytes:
            self._give_up(conn, request, 413, now_ns)
            return False
        if not body.done:
            return False
        conn.request = conn.body = None
        conn.state = IDLE
        self._begin(conn, request, now_ns)
        return True

    def _give_up(self, conn: Connection, request: Request, status: int, now_ns: int) -> None:
        """Answer a request whose body cannot be read to its end."""
        conn.request = conn.body = None
        conn.state = IDLE
        request.persistent = False
        self._answer_error(conn, request, status, now_ns)

    def _refuse(self, conn: Connection, status: int, now_ns: int, raw_line: bytes | None = None) -> None:
        """Answer what is no request, or came too late, and close."""
        if raw_line is None:
            raw_line = conn.buffer.partition(_CRLF)[0] if conn.request is None else conn.request.raw_line
        conn.began.append(conn.began_ns)
        conn.request = conn.body = None
        conn.buffer = b""
        conn.state = IDLE
        self._delivery.refusal(conn, raw_line, self._shelf.error(status, now_ns))

    # From requests to answers.

    def _begin(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer a request that is whole, or have it fetched."""
        line = request.line
        refusal = refusal_of(line.method)
        if refusal is not None:
            self._answer_error(conn, request, refusal, now_ns)
            return
        if line.path.startswith(_INTERNAL):
            self._delivery.internal(conn, request, self._shelf.error(404, now_ns))
            return
        try:
            key = request.path = to_path(line.path)
        except BadTarget as e:
            self._answer_error(conn, request, e.status, now_ns)
            return
        if is_hidden(key):
            self._answer_error(conn, request, 404, now_ns)
            return
        cached = self._shelf.find(key, now_ns)
        if cached is not None:
            self._ledger.counts[HITS] += 1
            self._shelf.store.policy.hit(key)
            self._answer(conn, request, cached, now_ns)
            return
        self._ledger.counts[MISSES] += 1
        try:
            entity = self._site.find(key, line.path, query=line.query, nowait=True)
        except BlockingIOError:
            self._have_fetched(conn, request, now_ns)
            return
        except NotServed as e:
            self._answer_error(conn, request, e.status, now_ns)
            return
        self._answer(conn, request, self._keep(key, entity, now_ns), now_ns)

    def _keep(self, key: bytes, entity: Entity, checked_ns: int) -> Cached:
        """Hold `entity` if it may be held, and say how full the store is."""
        cached = self._shelf.keep(key, entity, checked_ns)
        self._shelf.gauge(self._ledger.counts)
        return cached

    def _have_fetched(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Let the pool read what only the disk has. One job serves all who wait for the same key."""
        waiting = self._waiting.get(request.path)
        if waiting is None:
            if not self._pool.submit(request.path, request.line.path, request.line.query, now_ns):
                self._answer_error(conn, request, 503, now_ns)
                return
            waiting = self._waiting[request.path] = []
        waiting.append((conn, request))
        self._connections.want(conn, WAIT, NOTHING, now_ns)

    def _answer(self, conn: Connection, request: Request, cached: Cached, now_ns: int) -> None:
        """Answer with an entity, or with 304 or 412 where the client's conditions say so."""
        entity = cached.entity
        if entity.status != 200:
            self._delivery.entity(conn, request, entity)
            return
        if request.fields.conditional:
            status = evaluate(request.line.method, request.fields, Validators(entity.etag, entity.mtime_seconds))
            if status == 412:
                self._answer_error(conn, request, 412, now_ns)
                return
            if status == 304:
                self._delivery.not_modified(conn, request, entity)
                return
        head_only = request.line.method == b"HEAD"
        if entity.body is None and not head_only:
            self._stream(conn, request, now_ns)
            return
        prepared = self._shelf.prepare(cached, head_only, self._delivery.connection(request), now_ns)
        self._delivery.prepared(conn, request, prepared)
        if request.front is not None:
            self._shelf.shelve(prepared, request.front, request.raw_line)

    def _stream(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer with a file that is too large to hold."""
        try:
            fd, entity = self._site.open_for_sending(request.path)
        except NotServed as e:
            self._answer_error(conn, request, e.status, now_ns)
            return
        self._delivery.stream(conn, request, entity, fd)

    def _answer_error(self, conn: Connection, request: Request, status: int, now_ns: int) -> None:
        self._delivery.entity(conn, request, self._shelf.error(status, now_ns))
