# Server-sent events: what the master says of the server, once a second, to whoever keeps the line open.
#
#   retry: 2000                            how soon a browser comes back
#   data: {"stats": …, "samples": …, …}    what the master says
#   event: silent, data: {}                it says nothing
#
# Rule 1: the master is asked once a second at most, for all streams; without a stream never.
# Rule 2: a client that has not taken the last event gets no other; one that takes nothing for STUCK_NS is dropped.
# Rule 3: in a drain every stream is closed at once; its client asks elsewhere.
"""Streams of events to those who watch."""

import select
from collections.abc import Callable

from wsrv.engine.http.response import build_head
from wsrv.engine.worker.asking import UNANSWERED
from wsrv.engine.worker.connection import CLOSED, WAIT, Connection, Connections
from wsrv.engine.worker.delivery import Delivery

# Of a worker. Who finds no place asks again and again instead.
MOST_STREAMS = 16
PERIOD_NS = 1_000_000_000
STUCK_NS = 10_000_000_000

KIND = b"text/event-stream"
# It ends with the connection: no length, no chunks.
_HEAD = build_head(200, ((b"Content-Type", KIND), (b"Cache-Control", b"no-store")), b"close")
_BEGINNING = b"retry: 2000\n\n"
_SILENT = b"event: silent\ndata: {}\n\n"


class Streams:
    """The streams of one worker. `ask` asks the master for what heard() is told then, and says whether it could."""

    def __init__(self, connections: Connections, delivery: Delivery, ask: Callable[[int], bool]) -> None:
        self._connections = connections
        self._delivery = delivery
        self._ask = ask
        # By connection, since when it has not taken what it was sent; 0 when it has.
        self._open: dict[Connection, int] = {}
        self._asked = False
        self._due_ns = 0
        self._event = b""
        self._event_ns = 0
        self._ended = False

    def begin(self, conn: Connection, now_ns: int) -> bool:
        """Send events to `conn` from now on, what was heard last at once; False when there is no place for it."""
        self._forget_closed()
        if self._ended or len(self._open) >= MOST_STREAMS:
            return False
        fresh = self._event if now_ns - self._event_ns < PERIOD_NS else b""
        self._delivery.begin_events(conn, _HEAD, _BEGINNING + fresh)
        # The client has nothing more to say; that it says so is heard.
        self._connections.want(conn, WAIT, select.EPOLLRDHUP, now_ns)
        self._open[conn] = 0
        self._ask_when_due(now_ns)
        return True

    def heard(self, text: bytes, now_ns: int) -> None:
        """The master has answered, or has not."""
        self._asked = False
        if text == UNANSWERED:
            event = _SILENT
        else:
            event = self._event = b"data: " + text + b"\n\n"
            self._event_ns = now_ns
        self._forget_closed()
        for conn in list(self._open):
            if not conn.dialogue().out:
                self._delivery.send(conn, event)

    def tick(self, now_ns: int) -> None:
        """A few times a second: write what is left, drop who takes nothing, ask for more."""
        self._forget_closed()
        for conn, since_ns in list(self._open.items()):
            if not conn.dialogue().out or self._delivery.push(conn):
                self._open[conn] = 0
            elif not since_ns:
                self._open[conn] = now_ns
            elif now_ns - since_ns >= STUCK_NS:
                self._delivery.abandon(conn)
        self._ask_when_due(now_ns)

    def end(self) -> None:
        """Close every stream, and take no more."""
        self._ended = True
        self._forget_closed()
        for conn in self._open:
            self._delivery.abandon(conn)
        self._open.clear()

    def _ask_when_due(self, now_ns: int) -> None:
        if self._open and not self._asked and now_ns >= self._due_ns:
            self._due_ns = now_ns + PERIOD_NS
            self._asked = self._ask(now_ns)

    def _forget_closed(self) -> None:
        for conn in [conn for conn in self._open if conn.state == CLOSED]:
            del self._open[conn]
