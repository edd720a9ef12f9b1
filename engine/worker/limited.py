# What takes the place of its base where a connection or a client address is bounded. See gate.py.
#
# Rule: an answer is the same as without bounds, but for the last of a connection, which closes it, and for 429.
"""The hot path, the connections and the guide of a worker with a gate."""

import os

from wsrv.engine.settings import LimitSettings
from wsrv.engine.shm.clients import ClientTable
from wsrv.engine.shm.row import Ledger
from wsrv.engine.worker.connection import CLOSED, Connection, Connections
from wsrv.engine.worker.gate import Gate
from wsrv.engine.worker.guide import Guide
from wsrv.engine.worker.hot import READ_BYTES, HotPath
from wsrv.engine.worker.inside import PREFIX
from wsrv.engine.worker.prepared import Prepared
from wsrv.engine.worker.request import Request

_TOO_MANY = "This address has sent too many requests. Wait for a second."


class LimitedConnections(Connections):
    """Says good-bye to the gate."""

    _gate: Gate

    def drop(self, conn: Connection) -> None:
        if conn.state != CLOSED:
            self._gate.leave(conn.fd)
        super().drop(conn)


class LimitedGuide(Guide):
    """Asks the gate before each answer."""

    _gate: Gate

    def begin(self, conn: Connection, request: Request, now_ns: int) -> None:
        if self._gate.is_last(conn) and request.persistent:
            request.persistent = False
            # What is prepared for this answer is no answer to others of the same bytes.
            request.front = None
        if self._gate.admits(conn, now_ns):
            super().begin(conn, request, now_ns)
        elif request.line.path.startswith(PREFIX):
            self._delivery.internal(conn, request, self._shelf.error(429, now_ns, _TOO_MANY))
        else:
            self._answering.error(conn, request, 429, now_ns, _TOO_MANY)


class LimitedHotPath(HotPath):
    """Pays for each request before it is read, and lets the slow lane answer what cannot be paid for."""

    _gate: Gate

    def turn(self, batch: list[Connection], now_ns: int) -> None:
        gate = self._gate
        paid: list[Connection] = []
        others: list[Connection] = []
        for conn in batch:
            (paid if gate.prepay(conn, now_ns) else others).append(conn)
        super().turn(paid, now_ns)
        for conn in paid:
            gate.refund(conn)
        for conn in others:
            self._send_round(conn, now_ns)

    def _send_round(self, conn: Connection, now_ns: int) -> None:
        try:
            seen = os.read(conn.fd, READ_BYTES)
        except BlockingIOError:
            if not conn.held:
                self._connections.hold(conn, now_ns)
        except OSError:
            self._connections.drop(conn)
        else:
            self._slow(conn, seen, now_ns)

    def _write_all(self, answers: list[tuple[Connection, Prepared]], now_ns: int) -> None:
        gate = self._gate
        for conn, _ in answers:
            gate.settle(conn)
        super()._write_all(answers, now_ns)
        for conn, _ in answers:
            # Closed together with others, past the connections' own drop().
            if conn.state == CLOSED and conn.fd >= 0:
                gate.leave(conn.fd)


def kinds(
    limits: LimitSettings, table: ClientTable, ledger: Ledger
) -> tuple[Gate, type[Connections], type[Guide], type[HotPath]]:
    """A gate, and the three classes that ask it."""
    made = Gate(limits, table, ledger)

    class GatedConnections(LimitedConnections):
        _gate = made

    class GatedGuide(LimitedGuide):
        _gate = made

    class GatedHotPath(LimitedHotPath):
        _gate = made

    return made, GatedConnections, GatedGuide, GatedHotPath
