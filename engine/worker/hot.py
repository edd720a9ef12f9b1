# The hot path: what a request costs when everything about it is known.
#
# In come connections that have something to say; out go prebuilt answers, and one record of them all.
#
#   1. read all    each connection's bytes name a prepared answer by two look-ups, or go to the slow lane
#   2. record all  counts and log lines become visible by one store, before the first byte of any answer
#   3. write all   and keep, close or stall each connection
#
# Rule 1: no lock, no hook, no allocation that the answer does not need.
# Rule 2: only status 200 is answered here; whatever else there is to say is said in the slow lane.
# Rule 3: between 1 and 3 nothing can drop a connection of the batch.
# Rule 4: connections that came, were answered and go, are closed together at the end of the batch.
"""The hot path of a worker: HotPath.turn answers a batch of connections."""

import os
from collections.abc import Callable
from time import monotonic_ns

from wsrv.engine.http.bounds import MAX_HEAD_BYTES
from wsrv.engine.ipc.closing import close_all
from wsrv.engine.log.format import Weave
from wsrv.engine.shm.histogram import BUCKET_TABLE, UNIT_SHIFT, bucket_of
from wsrv.engine.shm.row import BYTES_SENT, HITS, STATUS_INDEX, Ledger
from wsrv.engine.shm.row import CLOSED as CLOSED_COUNT
from wsrv.engine.worker.clock import Clock
from wsrv.engine.worker.connection import CLOSED, Connection, Connections
from wsrv.engine.worker.prepared import Prepared, Shelf

READ_BYTES = MAX_HEAD_BYTES
_OK = STATUS_INDEX[200]
_CRLF = b"\r\n"
_TABLE_UNITS = len(BUCKET_TABLE)

SlowLane = Callable[[Connection, bytes, int], None]
Stall = Callable[[Connection, Prepared, int, int], None]


class HotPath:
    """Answers what it can at once. `slow` takes a connection and the bytes it sent; `stall` one that cannot take
    all of its answer: the connection, the answer, and how many bytes of it are gone. `weave` makes the lines of a
    batch where they are more than their pieces."""

    def __init__(
        self,
        connections: Connections,
        shelf: Shelf,
        clock: Clock,
        ledger: Ledger,
        slow: SlowLane,
        stall: Stall,
        weave: Weave | None = None,
    ) -> None:
        self._connections = connections
        self._shelf = shelf
        self._clock = clock
        self._ledger = ledger
        self._slow = slow
        self._stall = stall
        self._weave = weave

    def turn(self, batch: list[Connection], now_ns: int) -> None:
        """Answer the idle connections of `batch`, all readable or new. `now_ns` is when they were found so."""
        connections = self._connections
        ledger = self._ledger
        remembered = self._shelf.remembered
        renew = self._shelf.renew
        hit = self._shelf.store.policy.hit
        stamp = self._clock.stamp
        read = os.read
        answers: list[tuple[Connection, Prepared]] = []
        lines: list[bytes] = []
        slow: list[tuple[Connection, bytes]] = []
        length = 0
        for conn in batch:
            try:
                seen = read(conn.fd, READ_BYTES)
            except BlockingIOError:
                if not conn.held:
                    connections.hold(conn, now_ns)
                continue
            except OSError:
                connections.drop(conn)
                continue
            line, _, block = seen.partition(_CRLF)
            known = remembered.get(block)
            if known is not None:
                prepared = known.front.get(line)
                if prepared is not None and (prepared.until_ns > now_ns or renew(prepared, now_ns)):
                    hit(prepared.key)
                    prepared.hits += 1
                    lines += (conn.opening, stamp, line, prepared.outcome, known.client)
                    answers.append((conn, prepared))
                    length += prepared.length
                    continue
            slow.append((conn, seen))
        if answers:
            counts = ledger.counts
            number = len(answers)
            counts[_OK] += number
            counts[HITS] += number
            counts[BYTES_SENT] += length
            weave = self._weave
            ledger.commit(b"".join(lines) if weave is None else weave(lines, now_ns), number)
            self._write_all(answers, now_ns)
        for conn, seen in slow:
            self._slow(conn, seen, now_ns)

    def _write_all(self, answers: list[tuple[Connection, Prepared]], now_ns: int) -> None:
        connections = self._connections
        histogram = self._ledger.histogram
        write, clock = os.write, monotonic_ns
        units = 0
        done: list[int] = []
        for conn, prepared in answers:
            try:
                wire = prepared.wire
                if wire is not None:
                    gone = write(conn.fd, wire)
                elif prepared.pages is not None:
                    gone = os.sendfile(conn.fd, prepared.pages.fd, 0, prepared.length)
                else:
                    gone = os.writev(conn.fd, prepared.parts)
            except BlockingIOError:
                gone = 0
            except OSError:
                self._ledger.counts[BYTES_SENT] -= prepared.length
                connections.drop(conn)
                continue
            if gone != prepared.length:
                self._stall(conn, prepared, gone, now_ns)
                continue
            units = (clock() - now_ns) >> UNIT_SHIFT
            histogram[BUCKET_TABLE[units] if units < _TABLE_UNITS else bucket_of(units)] += 1
            if prepared.close and not conn.held:
                conn.state = CLOSED
                done.append(conn.fd)
            elif prepared.close:
                connections.drop(conn)
            elif conn.held:
                conn.active_ns = now_ns
            else:
                connections.hold(conn, now_ns)
        self._ledger.longest(units << UNIT_SHIFT)
        if done:
            close_all(done)
            self._ledger.counts[CLOSED_COUNT] += len(done)
