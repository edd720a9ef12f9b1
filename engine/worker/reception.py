# Connections that need something before their first request, or another way than the hot path.
#
#   arrival ─┬─ on a secure listener ──> GREETING: handshake ──> ASIDE
#            └─ to be sent there ──────────────────────────────> ASIDE
#
# Rule 1: a handshake is up to two milliseconds of arithmetic. So many at once wait in a line of their own, and a round
#         of the loop makes steps for a bounded time: whoever asks in the clear waits for that long, however many
#         handshakes there are.
# Rule 2: a greeting has one deadline from its beginning, however often its client says a byte.
"""Receiving connections that are none of the hot path's."""

import os
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING

from wsrv.engine.http.grammar import Malformed
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.settings import ListenSettings
from wsrv.engine.shm.row import TLS_FAILURES, TLS_HANDSHAKES, Ledger
from wsrv.engine.tls.session import NotTls, Session, Step
from wsrv.engine.worker.aside import Aside
from wsrv.engine.worker.connection import ASIDE, GREETING, NOTHING, READ, WRITABLE, Connection, Connections
from wsrv.engine.worker.intake import Intake

if TYPE_CHECKING:
    from wsrv.engine.tls.certificates import Certificates

# For handshakes in one round. One step is made whatever it takes.
_TURN_NS = 2_000_000
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
        connections: Connections,
        intake: Intake,
        ledger: Ledger,
    ) -> None:
        self._secure = frozenset(number for number, one in enumerate(listeners) if one.secure)
        redirecting = (number for number, one in enumerate(listeners) if not one.secure and one.path is None)
        self._redirecting = frozenset(redirecting) if secure_port else frozenset()
        self._certificates = certificates
        self._secure_port = secure_port
        self._connections = connections
        self._intake = intake
        self._ledger = ledger
        self._line: deque[Aside] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """An eventfd in the loop."""
        return self._bell

    def wants(self, arrival: Arrival) -> bool:
        """Whether a connection is to be received here."""
        number = arrival[1][3]
        return number in self._secure or number in self._redirecting

    def connection(self, arrival: Arrival, opening: bytes, now_ns: int) -> Aside:
        """The connection of an arrival that is wanted here."""
        fd, record = arrival
        conn = Aside(fd, opening, now_ns, record)
        if record[3] in self._secure:
            assert self._certificates is not None, "a secure listener has certificates"
            conn.tls = Session(self._certificates.context)
        else:
            conn.secure_port = self._secure_port
        return conn

    def begin(self, conn: Aside, now_ns: int) -> None:
        """Receive a connection for which there is room."""
        conn.dialogue()
        conn.state = ASIDE if conn.tls is None else GREETING
        self._connections.hold(conn, now_ns)

    def go_on(self, conn: Connection) -> None:
        """The client of a greeting has said something, or taken something: it stands in line for its next step."""
        assert isinstance(conn, Aside), "only those are greeted"
        self._connections.epoll.modify(conn.fd, NOTHING)
        if not self._line:
            os.eventfd_write(self._bell, 1)
        self._line.append(conn)

    def turn(self, now_ns: int) -> None:
        """Make steps for a bounded time."""
        until_ns = monotonic_ns() + _TURN_NS
        while self._line:
            conn = self._line.popleft()
            if conn.state == GREETING and conn.tls is not None:
                self._step(conn, conn.tls, now_ns)
            if monotonic_ns() >= until_ns:
                break
        if not self._line:
            os.eventfd_read(self._bell)

    def overdue(self, conn: Connection) -> None:
        """The time for a greeting is over."""
        assert isinstance(conn, Aside), "only those are greeted"
        self._fail(conn)

    def refresh(self, now_ns: int) -> None:
        """Look whether the certificates are what they were. What is wrong with new ones the master says."""
        if self._certificates is not None:
            self._certificates.refresh(now_ns)

    def _step(self, conn: Aside, session: Session, now_ns: int) -> None:
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
            self._connections.want(conn, ASIDE, READ, now_ns)
            # The first request mostly comes with the last of the handshake.
            self._intake.readable(conn, now_ns)
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
        if conn.tls is not None and conn.tls.begun:
            self._ledger.counts[TLS_FAILURES] += 1
        self._connections.drop(conn)
