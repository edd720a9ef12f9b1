# From answers to bytes on the wire, for what the hot path does not finish.
#
# Rule 1: an answer is recorded before its first byte is written; a streamed file before its last piece, so that
#         whoever received it whole is in the log, whatever dies.
# Rule 2: nothing waits for a client. What it does not take now lies in the connection's output until epoll says so.
# Rule 3: an early answer never resets its connection: the client may still be sending, so it is half closed and
#         what comes is read past for a while (LINGER).
"""Recording, writing, streaming and closing of answers in the slow lane."""

import os
from collections.abc import Callable, Sequence
from itertools import islice
from time import monotonic_ns

from wsrv.engine.http.escape import log_escape
from wsrv.engine.http.ranges import Span, partial_content
from wsrv.engine.http.response import HeadTemplate, build_head
from wsrv.engine.log.format import Format
from wsrv.engine.shm.histogram import UNIT_SHIFT, bucket_of
from wsrv.engine.shm.row import BYTES_SENT, INTERNAL, STATUS_INDEX, TROUBLE_INDEX, Ledger
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.file import OpenFile
from wsrv.engine.worker.clock import Clock
from wsrv.engine.worker.connection import HEAD, LINGER, READ, WRITABLE_ONCE, WRITE, Connection, Connections
from wsrv.engine.worker.fastreaders import FastReaders
from wsrv.engine.worker.mishaps import Mishaps
from wsrv.engine.worker.prepared import JOIN_BYTES, Prepared
from wsrv.engine.worker.request import Request, Stream, size_of

# Given to the kernel at once; of an answer to who reads it fast, all of his turn.
_PIECE_BYTES = 256 * 1024
# Of a new stream whose beginning comes in between other answers: the rest has to stand in line. See turns.py.
_FIRST_TURN_BYTES = 64 * 1024
# A turn ends after this, too: a client with a tiny window makes the kernel work for each piece.
_TURN_NS = 1_000_000
# What a piece costs of a turn at least, so that an answer of many small parts does not hold the others up.
_LEAST_TURN_BYTES = 16 * 1024
_MAX_PARTS = 64
# How a turn ended: with all sent, with no room in the kernel for more, or because the others have theirs.
_ENDED, _WAITS, _TURN_IS_OVER = range(3)
# Of chance in the boundary of a multipart answer: nobody can have written a file that holds it.
_BOUNDARY_BYTES = 20


class Delivery:
    """Turns answers into output of connections, records them, and writes the output out."""

    def __init__(self, connections: Connections, clock: Clock, ledger: Ledger, log_format: Format) -> None:
        self._connections = connections
        self._clock = clock
        self._ledger = ledger
        self._format = log_format
        self._nobody = log_format.client(b"", b"")
        # The last errors, for who watches.
        self.mishaps = Mishaps()
        self._fast_readers = FastReaders()

    @staticmethod
    def connection(request: Request) -> bytes:
        """The Connection field of the answer to `request`; empty where the version says it already."""
        if not request.persistent:
            return b"close"
        return b"" if request.line.minor == 1 else b"keep-alive"

    # Answers.

    def prepared(self, conn: Connection, request: Request, answer: Prepared) -> None:
        """Answer with what is prebuilt."""
        talk = conn.dialogue()
        self._record(200, answer.length, self._text(conn, request, answer.outcome))
        talk.closing = answer.close
        talk.out.extend(answer.copied())

    def entity(self, conn: Connection, request: Request, entity: Entity) -> None:
        """Answer with an entity that is made for this request: an error, a redirect."""
        body = b"" if request.line.method == b"HEAD" else entity.body or b""
        self._put(conn, request, entity.status, entity.head(entity.status, self.connection(request)).render, body)

    def not_modified(self, conn: Connection, request: Request, entity: Entity) -> None:
        """Answer 304: the client has it already."""
        self._put(conn, request, 304, entity.head(304, self.connection(request)).render, b"")

    def refusal(self, conn: Connection, raw_line: bytes, page: Entity) -> None:
        """Answer bytes that are no request, and close."""
        talk = conn.dialogue()
        # Whoever asks so expects no body, whatever else is wrong (RFC 9112 6.3).
        body = b"" if raw_line.startswith(b"HEAD ") else page.body or b""
        head = page.head(page.status, b"close").render(self._clock.date)
        pieces = (conn.opening, self._clock.stamp, log_escape(raw_line) or b"-")
        outcome = self._format.outcome(page.status, len(body))
        text = self._format.line((*pieces, outcome, self._nobody), talk.began[-1], b"", conn.secured_by)
        self._record(page.status, len(head) + len(body), text)
        talk.out.extend((head, body))
        talk.closing = talk.lingers = True
        self.mishaps.note(page.status, raw_line)

    def turn_away(self, conn: Connection, page: Entity, now_ns: int) -> None:
        """Answer a connection that is refused before anything of it is read: no request, no log line."""
        talk = conn.dialogue()
        answer = page.head(page.status, b"close").render(self._clock.date) + (page.body or b"")
        self._ledger.counts[BYTES_SENT] += len(answer)
        talk.out.append(answer)
        talk.closing = talk.lingers = True
        self.flush(conn, now_ns)

    def internal(self, conn: Connection, request: Request, entity: Entity) -> None:
        """Answer for a path of the server's own: counted apart, not logged."""
        talk = conn.dialogue()
        body = b"" if request.line.method == b"HEAD" else entity.body or b""
        self._ledger.counts[INTERNAL] += 1
        answer = entity.head(entity.status, self.connection(request)).render(self._clock.date) + body
        self._ledger.counts[BYTES_SENT] += len(answer)
        talk.out.append(answer)
        talk.closing = not request.persistent

    def part(self, conn: Connection, request: Request, entity: Entity, spans: Sequence[Span]) -> None:
        """Answer 206 with `spans` of an entity that is held."""
        talk = conn.dialogue()
        head, body = self._partial(request, entity, spans)
        whole = memoryview(entity.body or b"")
        wire = [head, *(whole[p.offset : p.offset + p.length] if isinstance(p, Span) else p for p in body)]
        length = sum(map(len, wire))
        outcome = self._format.outcome(206, length - len(head))
        self._record(206, length, self._text(conn, request, outcome))
        if length <= JOIN_BYTES:
            talk.out.append(b"".join(wire))
        else:
            talk.out.extend(wire)
        talk.closing = not request.persistent

    def stream(
        self,
        conn: Connection,
        request: Request,
        entity: Entity,
        file: OpenFile,
        spans: Sequence[Span] = (),
        template: HeadTemplate | None = None,
    ) -> None:
        """Answer with `file`, whose head may be known, or 206 with `spans` of it, piece by piece."""
        talk = conn.dialogue()
        if spans:
            head, body = self._partial(request, entity, spans)
            talk.stream = Stream(request, 206, file, head, body)
        else:
            template = template or entity.head(entity.status, self.connection(request))
            whole = (Span(0, entity.length),)
            talk.stream = Stream(request, entity.status, file, template.render(self._clock.date), whole)
        talk.closing = not request.persistent

    def begin_events(self, conn: Connection, head: HeadTemplate, beginning: bytes) -> None:
        """Answer for a path of the server's own with what goes on until the connection ends: counted once."""
        self._ledger.counts[INTERNAL] += 1
        answer = head.render(self._clock.date) + beginning
        self._ledger.counts[BYTES_SENT] += len(answer)
        conn.dialogue().out.append(answer)

    def send(self, conn: Connection, piece: bytes) -> None:
        """Send an interim response, or an event, at once, after what is still to be written."""
        talk = conn.dialogue()
        self._ledger.counts[BYTES_SENT] += len(piece)
        talk.out.append(piece)
        self.push(conn)

    def stall(self, conn: Connection, answer: Prepared, gone: int, now_ns: int) -> None:
        """Take over from the hot path an answer of which only `gone` bytes could be written."""
        talk = conn.dialogue()
        for part in answer.copied():
            if gone < len(part):
                talk.out.append(memoryview(part)[gone:])
            gone = max(0, gone - len(part))
        talk.began.append(now_ns)
        talk.closing = answer.close
        self._connections.want(conn, WRITE, WRITABLE_ONCE, now_ns)

    def _put(
        self, conn: Connection, request: Request, status: int, render: Callable[[bytes], bytes], body: bytes
    ) -> None:
        talk = conn.dialogue()
        head = render(self._clock.date)
        self._record(status, len(head) + len(body), self._text(conn, request, self._format.outcome(status, len(body))))
        talk.out.append(head + body)
        talk.closing = not request.persistent
        # A body may still be on its way where its end was not waited for.
        talk.lingers = talk.closing and status >= 400
        if status >= 400:
            self.mishaps.note(status, request.raw_line)

    def _partial(self, request: Request, entity: Entity, spans: Sequence[Span]) -> tuple[bytes, list[bytes | Span]]:
        """Head and body of the 206 that carries `spans`."""
        boundary = os.urandom(_BOUNDARY_BYTES).hex().encode()
        fields, body = partial_content(entity.fields, entity.length, spans, boundary)
        return build_head(206, fields, self.connection(request)).render(self._clock.date), body

    # Records.

    def _text(self, conn: Connection, request: Request, outcome: bytes) -> bytes:
        opening = self._format.named(conn.opening, log_escape(request.user)) if request.user else conn.opening
        pieces = (opening, self._clock.stamp, request.raw_line, outcome, request.client)
        return self._format.line(pieces, conn.dialogue().began[-1], request.cache, conn.secured_by)

    def _record(self, status: int, length: int, text: bytes) -> None:
        counts = self._ledger.counts
        counts[STATUS_INDEX[status]] += 1
        counts[BYTES_SENT] += length
        self._ledger.commit(text, 1)

    def _record_stream(self, conn: Connection, stream: Stream, wire_bytes: int) -> None:
        """Record a stream of which `wire_bytes` are sent, head included."""
        if not stream.recorded:
            outcome = self._format.outcome(stream.status, max(0, wire_bytes - stream.head_bytes))
            self._record(stream.status, wire_bytes, self._text(conn, stream.request, outcome))
            stream.recorded = True

    # Writing.

    def flush(self, conn: Connection, now_ns: int) -> bool:
        """Write what there is; whether all of it is gone and the connection goes on."""
        talk = conn.dialogue()
        how = _ENDED
        if not self.push(conn):
            how = _WAITS
        elif talk.stream is not None:
            how = self._pump(conn, talk.stream)
        if how == _WAITS and conn.fd >= 0:
            self._connections.want(conn, WRITE, WRITABLE_ONCE, now_ns)
        elif how == _TURN_IS_OVER:
            self._connections.line_up(conn, now_ns)
        if how != _ENDED:
            return False
        took = monotonic_ns()
        for began_ns in talk.began:
            self._ledger.histogram[bucket_of((took - began_ns) >> UNIT_SHIFT)] += 1
            self._ledger.longest(took - began_ns)
        talk.began.clear()
        if talk.closing or (conn.ended and not talk.buffer):
            self._close(conn, now_ns)
            return False
        if not conn.held:
            self._connections.hold(conn, now_ns)
        elif conn.state != HEAD:
            self._connections.want(conn, conn.REST, READ, now_ns)
        return True

    def push(self, conn: Connection) -> bool:
        """Write what can be written of the output; False when some is left, or the client is gone."""
        talk = conn.dialogue()
        out = talk.out
        while out:
            try:
                gone = conn.write(list(islice(out, _MAX_PARTS)))
            except BlockingIOError:
                return False
            except OSError:
                self.abandon(conn)
                return False
            while out and gone >= len(out[0]):
                gone -= len(out.popleft())
            if gone:
                out[0] = memoryview(out[0])[gone:]
        return True

    def _pump(self, conn: Connection, stream: Stream) -> int:
        """Send the next pieces of a stream. How that went: see _ENDED; whoever is gone waits too."""
        turn, longest = conn.turn_bytes, _PIECE_BYTES
        now_ns = monotonic_ns()
        begins = not stream.sent_bytes
        if begins:
            stream.began_ns = now_ns
        if begins and self._connections.crowd > 1:
            turn = longest = _FIRST_TURN_BYTES
        elif self._fast_readers.has(conn, stream, now_ns):
            longest = turn
        until_ns = now_ns + _TURN_NS
        while stream.parts:
            if turn <= 0 or monotonic_ns() >= until_ns:
                return _TURN_IS_OVER
            part = stream.parts[0]
            piece = min(size_of(part), longest)
            if piece == stream.left_bytes:
                self._record_stream(conn, stream, stream.sent_bytes + piece)
            try:
                if isinstance(part, Span):
                    gone = conn.send_file(stream.file.fd, part.offset, piece)
                else:
                    gone = conn.write((part[:piece],))
            except BlockingIOError:
                return _WAITS
            except OSError:
                self.abandon(conn)
                return _WAITS
            if gone == 0:
                # The file shrank: the promised length cannot be kept.
                self._ledger.counts[TROUBLE_INDEX["file_cut_short"]] += 1
                self.abandon(conn)
                return _WAITS
            stream.gone(gone)
            if gone < piece and not conn.is_secure:
                # The kernel has no room for more, or the file shrank, which the next look shows. TLS takes a record.
                return _WAITS
            turn -= max(gone, _LEAST_TURN_BYTES)
        conn.dialogue().stream = None
        return _ENDED

    def takes_still(self, conn: Connection) -> bool:
        """Whether a client whose time is over has taken some of what the kernel has for him, being fast before."""
        return self._fast_readers.has_taken(conn)

    def abandon(self, conn: Connection) -> None:
        """Give up on a client that went away or stopped taking; what it did not get is not counted as sent."""
        talk = conn.dialogue()
        stream = talk.stream
        if stream is not None:
            if stream.recorded:
                self._ledger.counts[BYTES_SENT] -= stream.left_bytes
            else:
                self._record_stream(conn, stream, stream.sent_bytes)
        unsent = sum(len(part) for part in talk.out)
        self._ledger.counts[BYTES_SENT] -= unsent
        self._connections.drop(conn)

    def _close(self, conn: Connection, now_ns: int) -> None:
        talk = conn.dialogue()
        # Bytes behind the last answered request say that more may be on its way, which would reset the connection.
        if not (talk.lingers or talk.buffer):
            self._connections.drop(conn)
            return
        try:
            conn.half_close()
        except OSError:
            self._connections.drop(conn)
            return
        talk.buffer = b""
        self._connections.want(conn, LINGER, READ, now_ns)
