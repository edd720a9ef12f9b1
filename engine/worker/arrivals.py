# Connections as they come in: admitted, counted, given the beginning of their log lines.
#
# Rule 1: whatever was taken, or lost on the way, gives its permit back at once.
# Rule 2: a worker holds no more connections than it has descriptors for, a reserve apart. The one above is answered
#         503 and counted as refused; nothing of it is read, logged or counted as a request.
"""A worker's intake of connections."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsrv.engine.ipc.record import Arrival, peer_text
from wsrv.engine.ipc.reserve import first_reserved
from wsrv.engine.ipc.transport import ConnectionSource
from wsrv.engine.log.format import Format
from wsrv.engine.shm.histogram import UNIT_SHIFT, bucket_of
from wsrv.engine.shm.row import LOST, OPENED, REFUSED, Ledger
from wsrv.engine.sync.primitive import Semaphore
from wsrv.engine.worker.connection import Connection, Connections

if TYPE_CHECKING:
    from wsrv.engine.worker.reception import Reception

# Openings of log lines, by address; forgotten all at once.
_MAX_OPENINGS = 10_000
# Clients that are being refused at the same time; then the first of them is let go, heard out or not.
_MOST_TURNED_AWAY = 32


class Arrivals:
    """Takes connections from `source`; `queue` is where their permits go, None where nobody asked for any.

    `refuse` answers a connection for which there is no room. `reception` takes what is not the hot path's, if there is
    such.
    """

    def __init__(
        self,
        source: ConnectionSource,
        queue: Semaphore | None,
        connections: Connections,
        ledger: Ledger,
        log_format: Format,
        refuse: Callable[[Connection, int], None],
        reception: "Reception | None" = None,
    ) -> None:
        self._reception = reception
        self.source = source
        self._queue = queue
        self._connections = connections
        self._ledger = ledger
        self._format = log_format
        self._refuse = refuse
        self._openings: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._lost = 0
        self._reserve = first_reserved()
        self._turned_away: deque[Connection] = deque()

    def take(self, now_ns: int) -> list[Connection]:
        """What has arrived, without waiting. Raises OSError when descriptors or memory are exhausted."""
        source, queue = self.source, self._queue
        arrivals = source.take()
        if source.lost != self._lost:
            self._lose(source.lost - self._lost)
        if not arrivals:
            return []
        if queue is not None:
            queue.release(len(arrivals))
            self._waited(now_ns, arrivals)
        counts = self._ledger.counts
        counts[OPENED] += len(arrivals)
        if self._reception is not None:
            arrivals = self._receive(arrivals, self._reception, now_ns)
        openings, reserve = self._openings, self._reserve
        taken = []
        for fd, (_, _, _, _, family, address) in arrivals:
            opening = openings[family].get(address)
            if opening is None:
                opening = self._opening(family, address)
            conn = Connection(fd, opening, now_ns)
            if fd < reserve:
                taken.append(conn)
            else:
                self._turn_away(conn, now_ns)
        return taken

    def _receive(self, arrivals: list[Arrival], reception: "Reception", now_ns: int) -> list[Arrival]:
        """Have those received that are not the hot path's; the others."""
        others = []
        for arrival in arrivals:
            if not reception.wants(arrival):
                others.append(arrival)
                continue
            fd, (_, _, _, _, family, address) = arrival
            opening = self._openings[family].get(address) or self._opening(family, address)
            conn = reception.connection(arrival, opening, now_ns)
            if fd < self._reserve:
                reception.begin(conn, now_ns)
            else:
                self._turn_away(conn, now_ns)
        return others

    def _turn_away(self, conn: Connection, now_ns: int) -> None:
        self._ledger.counts[REFUSED] += 1
        self._refuse(conn, now_ns)
        self._turned_away.append(conn)
        if len(self._turned_away) > _MOST_TURNED_AWAY:
            self._connections.drop(self._turned_away.popleft())

    def _lose(self, count: int) -> None:
        """Connections that were sent and had no descriptor left for them here."""
        self._lost += count
        self._ledger.counts[LOST] += count
        if self._queue is not None:
            self._queue.release(count)

    def _waited(self, now_ns: int, arrivals: list[Arrival]) -> None:
        """Count how long these were on their way. A message mostly holds what was accepted at one time."""
        first_ns, last_ns = arrivals[0][1][0], arrivals[-1][1][0]
        # The round began before, and what it takes may have been accepted since.
        now_ns = max(now_ns, last_ns)
        histogram = self._ledger.wait_histogram
        if first_ns == last_ns:
            histogram[bucket_of((now_ns - first_ns) >> UNIT_SHIFT)] += len(arrivals)
        else:
            for _, (accept_ns, *_) in arrivals:
                histogram[bucket_of((now_ns - accept_ns) >> UNIT_SHIFT)] += 1
        self._ledger.longest_wait(now_ns - first_ns)

    def _opening(self, family: int, address: bytes) -> bytes:
        openings = self._openings[family]
        if len(openings) >= _MAX_OPENINGS:
            openings.clear()
        opening = openings[address] = self._format.opening(peer_text(family, address))
        return opening
