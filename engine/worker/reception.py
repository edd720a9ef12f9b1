# Connections that need something before their first request, or another way than the hot path.
#
#   arrival ─┬─ from a named proxy ───> GREETING: PROXY header ─┬─> ASIDE
#            ├─ on a secure listener ─> GREETING: handshake <───┴─> ASIDE
#            └─ to be sent there ─────────────────────────────────> ASIDE
#
# Rule 1: a handshake is up to two milliseconds of arithmetic. So many at once wait in a line of their own, and a round
#         of the loop makes steps for a bounded time, at its end: whoever asks in the clear waits for that long at most,
#         however many handshakes there are.
# Rule 2: a greeting has one deadline from its beginning, however often its client says a byte.
"""Receiving connections that are none of the hot path's."""

import os
from collections import deque
from itertools import islice
from time import monotonic_ns
from typing import TYPE_CHECKING

from wsrv.engine.http.grammar import Malformed
from wsrv.engine.http.proxy_header import BadProxyHeader, parse_proxy_header
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.settings import ListenSettings
from wsrv.engine.shm.row import LIMIT_INDEX, PROXY_MALFORMED, TLS_FAILURES, TLS_HANDSHAKES, Ledger
from wsrv.engine.tls.step import NotTls, Step
from wsrv.engine.worker.aside import Aside
from wsrv.engine.worker.connection import ASIDE, GREETING, NOTHING, READ, WRITABLE, Connection, Connections
from wsrv.engine.worker.intake import Intake
from wsrv.engine.worker.proxies import Proxies, address_of

if TYPE_CHECKING:
    from wsrv.engine.tls.certificates import Certificates
    from wsrv.engine.tls.session import Session

# For greetings in one round. One step is made whatever it takes.
_TURN_NS = 2_000_000
_READ_BYTES = 16 * 1024
_CLEAR = Malformed(400, "This is the port for TLS: ask with https.")


class Reception:
    """Receives what arrives on `listeners` and is not the hot path's. `fileno()` polls readable while steps wait.

    `secure_port` is where listeners without TLS send their clients; 0 when they answer themselves.
    """

    def __init__(
        self,
        listeners: tuple[ListenSettings, ...],
        certificates: "Certificates | None",
        secure_port: int,
        proxies: Proxies,
        connections: Connections,
        intake: Intake,
        ledger: Ledger,
    ) -> None:
        self._secure = frozenset(number for number, one in enumerate(listeners) if one.secure)
        redirecting = (number for number, one in enumerate(listeners) if not one.secure and one.path is None)
        self._redirecting = frozenset(redirecting) if secure_port else frozenset()
        self._certificates = certificates
        self._secure_port = secure_port
        self._proxies = proxies
        self._connections = connections
        self._intake = intake
        self._ledger = ledger
        # Whose client has said something in this round, and who is parked from rounds before.
        self._fresh: list[Aside] = []
        self._line: deque[Aside] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rings = False

    def fileno(self) -> int:
        """An eventfd in the loop."""
        return self._bell

    def wants(self, arrival: Arrival) -> bool:
        """Whether a connection is to be received here."""
        _, (_, _, _, number, family, address) = arrival
        return number in self._secure or number in self._redirecting or self._proxies.sent(family, address)

    def is_relayed(self, arrival: Arrival) -> bool:
        """Whether it comes from a named proxy, which speaks for many."""
        _, (_, _, _, _, family, address) = arrival
        return self._proxies.sent(family, address)

    def connection(self, arrival: Arrival, opening: bytes, now_ns: int) -> Aside:
        """The connection of an arrival that is wanted here."""
        fd, (_, _, _, number, family, packed) = arrival
        conn = Aside(fd, opening, now_ns, address_of(family, packed))
        if self._proxies.names(conn.peer):
            conn.proxies = self._proxies
            conn.awaits_header = self._proxies.protocol
        if number in self._secure:
            assert self._certificates is not None, "a secure listener has certificates"
            conn.tls = self._certificates.session()
        elif number in self._redirecting or conn.proxies is not None:
            conn.secure_port = self._secure_port
        return conn

    def begin(self, conn: Aside, now_ns: int) -> None:
        """Receive a connection for which there is room."""
        conn.dialogue()
        conn.state = GREETING if conn.tls is not None or conn.awaits_header else ASIDE
        self._connections.hold(conn, now_ns)

    def go_on(self, conn: Connection) -> None:
        """The client of a greeting has said something, or taken something: it stands in line for its next step."""
        assert isinstance(conn, Aside), "only those are greeted"
        if not conn.parked:
            self._fresh.append(conn)

    def turn(self, now_ns: int) -> None:
        """Make steps for a bounded time, at the end of a round: who asks in the clear has been answered."""
        if not (self._fresh or self._line):
            return
        for conn in self._fresh:
            conn.parked = True
        stood = len(self._line)
        self._line.extend(self._fresh)
        self._fresh.clear()
        until_ns = monotonic_ns() + _TURN_NS
        while self._line:
            conn = self._line.popleft()
            stood -= 1
            conn.parked = False
            if conn.state == GREETING:
                self._step(conn, now_ns)
            if monotonic_ns() >= until_ns:
                break
        # The others wait for the next round, which then waits for nothing.
        for conn in islice(self._line, max(0, stood), None):
            if conn.state == GREETING:
                self._connections.epoll.modify(conn.fd, NOTHING)
        self._ring(bool(self._line))

    def _ring(self, wanted: bool) -> None:
        if wanted != self._rings:
            self._rings = wanted
            if wanted:
                os.eventfd_write(self._bell, 1)
            else:
                os.eventfd_read(self._bell)

    def overdue(self, conn: Connection) -> None:
        """The time for a greeting is over."""
        assert isinstance(conn, Aside), "only those are greeted"
        self._ledger.counts[LIMIT_INDEX["head_timeout"]] += 1
        self._fail(conn)

    def refresh(self, now_ns: int) -> None:
        """Look whether the certificates are what they were. What is wrong with new ones the master says."""
        if self._certificates is not None:
            self._certificates.refresh(now_ns)

    def _step(self, conn: Aside, now_ns: int) -> None:
        if conn.awaits_header and not self._read_header(conn):
            return
        if conn.tls is None:
            self._receive(conn, now_ns)
        else:
            self._shake_hands(conn, conn.tls, now_ns)

    def _read_header(self, conn: Aside) -> bool:
        """Read a PROXY header; False when it is not whole, or none."""
        talk = conn.dialogue()
        try:
            seen = os.read(conn.fd, _READ_BYTES)
            talk.buffer += seen
            header = parse_proxy_header(talk.buffer)
            if not seen:
                raise BadProxyHeader("it ends too early")
        except BlockingIOError:
            header = None
        except (BadProxyHeader, OSError):
            self._fail(conn)
            return False
        if header is None:
            self._connections.epoll.modify(conn.fd, READ)
            return False
        conn.awaits_header = False
        talk.buffer, behind = b"", talk.buffer[header.length :]
        if header.relayed:
            conn.relayed_for(header.source, self._proxies)
        if conn.tls is not None:
            conn.tls.unread(behind)
        else:
            talk.buffer = behind
        return True

    def _receive(self, conn: Aside, now_ns: int) -> None:
        """Go on with the first request, of which a part may have been read."""
        talk = conn.dialogue()
        seen, talk.buffer = talk.buffer, b""
        self._connections.want(conn, ASIDE, READ, now_ns)
        if seen:
            self._intake.feed(conn, seen, now_ns)
        else:
            self._intake.readable(conn, now_ns)

    def _shake_hands(self, conn: Aside, session: "Session", now_ns: int) -> None:
        try:
            step = session.handshake(conn.fd)
        except NotTls as error:
            self._speak_plainly(conn, error.seen, now_ns)
            return
        except OSError:
            self._fail(conn)
            return
        if step is Step.DONE:
            self._ledger.counts[TLS_HANDSHAKES] += 1
            # The first request mostly comes with the last of the handshake.
            self._receive(conn, now_ns)
        else:
            self._connections.epoll.modify(conn.fd, READ if step is Step.READS else WRITABLE)

    def _speak_plainly(self, conn: Aside, seen: bytes, now_ns: int) -> None:
        """Tell a client that speaks HTTP in the clear; any other is not answered."""
        if not seen[:1].isalpha():
            self._fail(conn)
            return
        self._ledger.counts[TLS_FAILURES] += 1
        conn.tls = None
        self._intake.refuse(conn, seen, _CLEAR, now_ns)

    def _fail(self, conn: Aside) -> None:
        if conn.awaits_header:
            self._ledger.counts[PROXY_MALFORMED] += bool(conn.dialogue().buffer)
        elif conn.tls is not None and conn.tls.begun:
            self._ledger.counts[TLS_FAILURES] += 1
        self._connections.drop(conn)
