# From bytes to requests, for what the hot path leaves over.
#
# Heads never seen before, several in one read, bodies, what is no request at all. Whole requests go to Answering.
#
# Rule 1: the rule table of engine.http decides before anything else looks at a request.
# Rule 2: what loses the framing (400, 413, 414, 431, 501 for a coding …) is answered and the connection closed.
"""Reading requests off connections, in the slow lane."""

import traceback
from collections.abc import Callable
from functools import partial

from wsrv.engine.http.body import BodyReader
from wsrv.engine.http.bounds import Bounds
from wsrv.engine.http.grammar import Malformed
from wsrv.engine.http.head import (
    awaits_continue,
    check,
    host_of,
    parse_request_line,
    persistent,
    refusal_of,
    refusal_of_partial,
)
from wsrv.engine.settings import LimitSettings
from wsrv.engine.shm.row import LIMIT_INDEX, Ledger
from wsrv.engine.worker.answering import Answering
from wsrv.engine.worker.connection import (
    ASIDE,
    BODY,
    CLOSED,
    HEAD,
    IDLE,
    LINGER,
    LINGER_BYTES,
    READ,
    WAIT,
    WRITABLE_ONCE,
    WRITE,
    Connection,
    Connections,
    Dialogue,
    Timeouts,
)
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.guide import Guide
from wsrv.engine.worker.inside import Inside
from wsrv.engine.worker.pool import Finished
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.repeats import Repeats
from wsrv.engine.worker.request import Request

_CRLF = b"\r\n"
_END = b"\r\n\r\n"
_TOO_LARGE = Malformed(431, "The header fields are too large.", "head_size")
_TOO_MUCH = Malformed(413, "The body is longer than this server reads.", "body_size")
_LATE = {
    HEAD: Malformed(408, "The request did not arrive in time.", "head_timeout"),
    BODY: Malformed(408, "The body of the request did not arrive in time.", "body_timeout"),
}
_CUT = {
    HEAD: Malformed(400, "The request ends before its head does."),
    BODY: Malformed(400, "The request ends before its body does."),
}
# However steadily a body comes, it may take this many times as long as the wait for more of it.
_BODY_TIMEOUTS = 10
_OUR_FAULT = Malformed(500, "")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Intake:
    """Reads requests off connections, and has them answered."""

    def __init__(
        self,
        limits: LimitSettings,
        connections: Connections,
        delivery: Delivery,
        shelf: Shelf,
        answering: Answering,
        guide: Guide,
        inside: Inside,
        ledger: Ledger,
    ) -> None:
        self._guide = guide
        self._bounds = bounds_of(limits)
        self._max_body_bytes = limits.body_bytes
        self._body_ns = Timeouts.of(limits).body_ns
        self._counts = ledger.counts
        self._connections = connections
        self._delivery = delivery
        self._shelf = shelf
        self._answering = answering
        self._inside = inside
        self.draining = False
        self._repeats = Repeats()

    # What the loop calls.

    def readable(self, conn: Connection, now_ns: int) -> None:
        """Read what a connection that is not idle has to say."""
        talk = conn.dialogue()
        try:
            seen = conn.read()
        except BlockingIOError:
            return
        except OSError:
            self._connections.drop(conn)
            return
        if conn.state == LINGER:
            talk.spent_bytes += len(seen)
            if not seen or talk.spent_bytes > LINGER_BYTES:
                self._connections.drop(conn)
            return
        self.feed(conn, seen, now_ns)

    def feed(self, conn: Connection, seen: bytes, now_ns: int) -> None:
        """Go on with what came; no bytes at all mean that the client sends no more."""
        talk = conn.dialogue()
        if not seen:
            self._end_of_input(conn, now_ns)
            return
        if not talk.buffer and conn.state in (IDLE, ASIDE):
            talk.began_ns = now_ns
            # The hot path has answered since: that empty line was before another request.
            if talk.blank and conn.active_ns > talk.blank_ns:
                talk.blank = False
        talk.buffer += seen
        self._advance(conn, now_ns)

    def writable(self, conn: Connection, now_ns: int) -> None:
        """Go on writing; when all is written, go on with what the client had sent in the meantime."""
        talk = conn.dialogue()
        if self._delivery.flush(conn, now_ns) and conn.state != HEAD and talk.buffer:
            self._advance(conn, now_ns)

    def overdue(self, conn: Connection, now_ns: int) -> None:
        """The client of `conn` has let its time go by."""
        if conn.state in _LATE:
            self._refuse(conn, _LATE[conn.state], now_ns)
            self._delivery.flush(conn, now_ns)
            if conn.state == WRITE:
                # It does not even take that.
                self._delivery.abandon(conn)
            return
        if conn.state == WRITE and self._delivery.takes_still(conn):
            self._connections.want(conn, WRITE, WRITABLE_ONCE, now_ns)
            return
        if conn.state != LINGER:
            self._counts[LIMIT_INDEX["write_timeout" if conn.state == WRITE else "idle_timeout"]] += 1
        self._delivery.abandon(conn)

    def refuse(self, conn: Connection, seen: bytes, why: Malformed, now_ns: int) -> None:
        """Answer `seen`, the beginning of what is no request here, and close."""
        talk = conn.dialogue()
        talk.buffer, talk.began_ns = seen, now_ns
        self._refuse(conn, why, now_ns)
        self._delivery.flush(conn, now_ns)

    def finished(self, done: Finished, now_ns: int) -> None:
        """The pool has done a job: answer everybody who waits for it."""
        for conn, answer in self._answering.finished(done, now_ns):
            self._resume(conn, now_ns, answer)

    def look_again(self, now_ns: int) -> None:
        """Go on with those who need not wait for another worker any more."""
        for conn, answer in self._answering.patience.over(now_ns):
            self._resume(conn, now_ns, answer)

    def told(self, now_ns: int) -> None:
        """The master has answered: pass it on to who waits for it."""
        for conn, request, entity in self._inside.told(now_ns):
            self._resume(conn, now_ns, partial(self._inside.resume, conn, request, entity))

    def drain(self) -> None:
        """Answer what comes, and let no connection stay for more."""
        self.draining = True
        self._inside.drain()

    def tick(self, now_ns: int) -> None:
        """Look after who watches, and let nobody wait for the master for ever."""
        self._inside.tick(now_ns)
        self._answering.open_files.tick(now_ns)
        for conn, request, entity in self._inside.overdue(now_ns):
            self._resume(conn, now_ns, partial(self._inside.resume, conn, request, entity))

    def _resume(self, conn: Connection, now_ns: int, answer: Callable[[], None]) -> None:
        """Answer a connection that waited, if its client still does."""
        if conn.state != CLOSED:
            conn.state = IDLE
            self._advance(conn, now_ns, answer)

    # From bytes to requests.

    def _end_of_input(self, conn: Connection, now_ns: int) -> None:
        if conn.state in _CUT:
            # Half closed or wholly, that cannot be told: an answer costs little where nobody reads it.
            self._refuse(conn, _CUT[conn.state], now_ns)
            self._delivery.flush(conn, now_ns)
        elif conn.state in (IDLE, ASIDE):
            self._connections.drop(conn)

    def _advance(self, conn: Connection, now_ns: int, answer: Callable[[], None] | None = None) -> None:
        """Go on with a connection, first with the `answer` that it waited for.

        A bug of ours costs this client an answer, not the others their worker.
        """
        talk = conn.dialogue()
        try:
            if answer is not None:
                answer()
            self._answer_all(conn, now_ns)
        except Exception:
            traceback.print_exc()
            if talk.out or talk.stream is not None or conn.state == CLOSED:
                self._delivery.abandon(conn)
            else:
                self._refuse(conn, _OUR_FAULT, now_ns)
                self._delivery.flush(conn, now_ns)

    def _answer_all(self, conn: Connection, now_ns: int) -> None:
        """Answer every request that is whole, in order, then write it all out."""
        talk = conn.dialogue()
        while True:
            if conn.state == ASIDE:
                conn.state = IDLE
            self._read_all(conn, talk, now_ns)
            if conn.state in (WAIT, BODY):
                self._delivery.push(conn)
            if conn.state not in (IDLE, HEAD):
                return
            if not (talk.out or talk.stream is not None):
                break
            # Behind a file that was taken at once there may be more to answer.
            if not (self._delivery.flush(conn, now_ns) and conn.state != HEAD and talk.buffer):
                return
        if not conn.held:
            self._connections.hold(conn, now_ns)
        elif conn.state == IDLE:
            conn.state = conn.REST

    def _read_all(self, conn: Connection, talk: Dialogue, now_ns: int) -> None:
        """Answer the requests in the buffer, until one is not whole, or has to wait, or streams."""
        while talk.buffer and not talk.closing and talk.stream is None and conn.state in (IDLE, HEAD, BODY):
            read = self._read_body if conn.state == BODY else self._read_head
            if not read(conn, now_ns):
                return

    def _read_head(self, conn: Connection, now_ns: int) -> bool:
        """Take one head off the buffer; False when it is not whole yet."""
        talk = conn.dialogue()
        buffer = talk.buffer
        # One empty line before a request line is passed over (RFC 9112 2.2).
        if buffer.startswith(_CRLF) and not talk.blank:
            talk.blank, talk.blank_ns = True, now_ns
            talk.scanned = 0
            talk.buffer = buffer = buffer[2:]
            if not buffer:
                conn.state = IDLE
                return False
        end = buffer.find(_END, max(0, talk.scanned - len(_END) + 1)) + len(_END)
        if end < len(_END):
            if (refusal := refusal_of_partial(buffer, talk.scanned, self._bounds)) is not None:
                self._refuse(conn, refusal, now_ns)
                return False
            talk.scanned = len(buffer)
            if conn.state == IDLE:
                self._connections.want(conn, HEAD, READ, now_ns)
            return False
        conn.state = IDLE
        raw_line, _, block = buffer[:end].partition(_CRLF)
        talk.buffer = buffer[end:]
        talk.scanned = 0
        talk.blank = False
        again = self._repeats.find(conn, self._shelf.remembered.get(block), raw_line)
        if again is not None and self._send_again(conn, talk, again, now_ns):
            return True
        try:
            line = parse_request_line(raw_line, self._bounds)
            if end > self._bounds.head_bytes:
                raise _TOO_LARGE
            known = self._shelf.remember(block)
            check(line, known.fields)
        except Malformed as e:
            self._refuse(conn, e, now_ns, raw_line)
            return False
        conn.hear(known.fields)
        # What follows a CONNECT may be meant for a tunnel that is not there.
        stays = persistent(line, known.fields) and not self.draining and line.method != b"CONNECT"
        front = known.front if known.plain and not self.draining else None
        host = self._shelf.hosts.find(host_of(line, known.fields))
        request = Request(raw_line, line, known.fields, known.client, front, stays, host, known.accepted)
        talk.began.append(talk.began_ns)
        talk.began_ns = now_ns
        body = None if known.plain else BodyReader.of(known.fields)
        if body is None:
            self._guide.begin(conn, request, now_ns)
            if talk.stream is not None:
                self._repeats.note(conn, known, request)
            return True
        declared = known.fields.content_length or 0
        if (status := refusal_of(line.method)) is not None:
            self._give_up(conn, request, Malformed(status, ""), now_ns)
            return False
        if declared > self._max_body_bytes:
            self._give_up(conn, request, _TOO_MUCH, now_ns)
            return False
        if awaits_continue(line, known.fields) and not talk.buffer:
            self._delivery.send(conn, _CONTINUE)
            if conn.state == CLOSED:
                return False
        talk.request, talk.body = request, body
        talk.body_until_ns = now_ns + _BODY_TIMEOUTS * self._body_ns
        self._connections.want(conn, BODY, READ, now_ns)
        return True

    def _send_again(self, conn: Connection, talk: Dialogue, request: Request, now_ns: int) -> bool:
        """Answer a request that has come before; False when all of it has to be found out anew."""
        talk.began.append(talk.began_ns)
        if not self._answering.send_again(conn, request, now_ns):
            talk.began.pop()
            return False
        talk.began_ns = now_ns
        return True

    def _read_body(self, conn: Connection, now_ns: int) -> bool:
        """Read past the body of the request under way; False when it has not ended yet."""
        talk = conn.dialogue()
        request, body = talk.request, talk.body
        assert request is not None, "a connection reads a body only for a request"
        assert body is not None, "a connection reads a body only through its reader"
        try:
            taken = body.feed(talk.buffer)
        except Malformed as e:
            self._give_up(conn, request, e, now_ns)
            return False
        talk.buffer = talk.buffer[taken:]
        if body.received > self._max_body_bytes:
            self._give_up(conn, request, _TOO_MUCH, now_ns)
            return False
        if not body.done:
            conn.active_ns = min(now_ns, talk.body_until_ns - self._body_ns)
            return False
        talk.request = talk.body = None
        conn.state = IDLE
        self._guide.begin(conn, request, now_ns)
        return True

    def _give_up(self, conn: Connection, request: Request, why: Malformed, now_ns: int) -> None:
        """Answer a request whose body is not, or cannot be, read to its end."""
        talk = conn.dialogue()
        talk.request = talk.body = None
        conn.state = IDLE
        request.persistent = False
        self._count(why)
        self._answering.error(conn, request, why.status, now_ns, why.reason)

    def _refuse(self, conn: Connection, why: Malformed, now_ns: int, raw_line: bytes | None = None) -> None:
        """Answer what is no request, or came too late, and close."""
        talk = conn.dialogue()
        if raw_line is None:
            raw_line = talk.buffer.partition(_CRLF)[0] if talk.request is None else talk.request.raw_line
        talk.began.append(talk.began_ns)
        self._count(why)
        talk.request = talk.body = None
        talk.buffer = b""
        conn.state = IDLE
        self._delivery.refusal(conn, raw_line, self._shelf.error(why.status, now_ns, why.reason))

    def _count(self, why: Malformed) -> None:
        if why.limit:
            self._counts[LIMIT_INDEX[why.limit]] += 1


def bounds_of(limits: LimitSettings) -> Bounds:
    """The bounds of a head, as the settings say."""
    return Bounds(limits.target_bytes, limits.head_bytes, limits.fields)
