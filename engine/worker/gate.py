# Bounds on a connection and on a client address: made only where one of them is set.
#
# Rule 1: where none is set, nothing of this is even imported; the classes of limited.py take the places of their bases.
# Rule 2: what a client has is in shared memory, so the bounds hold over all workers together.
# Rule 3: a guest is known by its descriptor from its arrival to its close, so neither connection nor loop know of it.
"""Who is here, how often each has asked, and who is turned away."""

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING

from wsrv.engine.ipc.record import Arrival
from wsrv.engine.ipc.transport import ConnectionSource
from wsrv.engine.settings import LimitSettings
from wsrv.engine.shm.clients import ClientTable, Places, client_key, places_of
from wsrv.engine.shm.row import LIMIT_INDEX, OPENED, Ledger
from wsrv.engine.sync.primitive import Semaphore
from wsrv.engine.worker.connection import Connection

if TYPE_CHECKING:
    from wsrv.engine.worker.reception import Reception

_REQUESTS = LIMIT_INDEX["requests"]
_CONNECTIONS = LIMIT_INDEX["connections_per_client"]
_RATE = LIMIT_INDEX["rate_per_client"]
# Clients that are being turned away at the same time; then the first of them is let go, heard out or not.
_MOST_TURNED_AWAY = 64


class Guest:
    """One connection. `places` of its client, None where that is not bounded; `counted` among its connections.

    `requests` so far; `prepaid_ns` is when one was charged that the hot path may answer, or 0.
    """

    __slots__ = ("counted", "places", "prepaid_ns", "relayed", "requests")

    def __init__(self, places: Places | None, counted: bool, relayed: bool) -> None:
        self.places = places
        self.counted = counted
        # It is a named proxy's: each request has a client of its own.
        self.relayed = relayed
        self.requests = 0
        self.prepaid_ns = 0


class Gate:
    """The bounds, and the guests by descriptor."""

    def __init__(self, limits: LimitSettings, table: ClientTable, ledger: Ledger) -> None:
        self._requests = limits.requests
        self._connections = limits.connections_per_client
        self._rate = limits.rate_per_client
        self._burst = limits.burst_per_client or limits.rate_per_client
        self._table = table
        self._counts = ledger.counts
        self.guests: dict[int, Guest] = {}

    def enter(self, fd: int, family: int, address: bytes, relayed: bool) -> bool:
        """Note a connection that has arrived; False when its client has too many."""
        client = b"" if relayed else client_key(family, address)
        places = places_of(client) if client else None
        counted = self._connections > 0 and places is not None
        if counted and places is not None and not self._table.enter(places, self._connections):
            self._counts[_CONNECTIONS] += 1
            return False
        self.guests[fd] = Guest(places, counted, relayed)
        return True

    def leave(self, fd: int) -> None:
        """Forget a connection that is closed, if it was noted."""
        guest = self.guests.pop(fd, None)
        if guest is None or guest.places is None:
            return
        self._refund(guest)
        if guest.counted:
            self._table.leave(guest.places)

    # Requests by the hot path.

    def prepay(self, conn: Connection, now_ns: int) -> bool:
        """Whether the hot path may answer a request of `conn`, should there be one; it is charged already."""
        guest = self.guests.get(conn.fd)
        if guest is None:
            return True
        if self._requests and guest.requests + 1 >= self._requests:
            return False
        if not self._rate or guest.places is None:
            return True
        if not self._table.charge(guest.places, now_ns, self._rate, self._burst):
            return False
        guest.prepaid_ns = now_ns
        return True

    def settle(self, conn: Connection) -> None:
        """The hot path answers the request that was paid for."""
        guest = self.guests.get(conn.fd)
        if guest is not None:
            guest.requests += 1
            guest.prepaid_ns = 0

    def refund(self, conn: Connection) -> None:
        """There was no request after all."""
        guest = self.guests.get(conn.fd)
        if guest is not None:
            self._refund(guest)

    def _refund(self, guest: Guest) -> None:
        if guest.prepaid_ns and guest.places is not None:
            self._table.refund(guest.places, guest.prepaid_ns, self._rate, self._burst)
            guest.prepaid_ns = 0

    # Requests by the slow lane.

    def is_last(self, conn: Connection) -> bool:
        """Count a request; whether it is the last that its connection may have."""
        guest = self.guests.get(conn.fd)
        if guest is None or not self._requests:
            return False
        guest.requests += 1
        if guest.requests != self._requests:
            return guest.requests > self._requests
        self._counts[_REQUESTS] += 1
        return True

    def admits(self, conn: Connection, now_ns: int) -> bool:
        """Charge a request; whether its client may have one more."""
        guest = self.guests.get(conn.fd)
        if guest is None or not self._rate:
            return True
        if guest.prepaid_ns:
            guest.prepaid_ns = 0
            return True
        places = self._places_behind(conn) if guest.relayed else guest.places
        if places is None or self._table.charge(places, now_ns, self._rate, self._burst):
            return True
        self._counts[_RATE] += 1
        return False

    @staticmethod
    def _places_behind(conn: Connection) -> Places | None:
        """Those of the client for whom a named proxy asks; None where it does not say."""
        try:
            address = conn.client_address()
        except OSError:
            return None
        if address is None:
            return None
        packed = address.packed
        return places_of(packed if len(packed) == 4 else packed[:8])


class Admission:
    """A source that passes on only those whose client has room. The others are answered by `refuse`."""

    def __init__(
        self,
        source: ConnectionSource,
        queue: Semaphore | None,
        gate: Gate,
        reception: "Reception | None",
        ledger: Ledger,
        refuse: Callable[[Connection, int], None],
        drop: Callable[[Connection], None],
    ) -> None:
        self.events = source.events
        self._source = source
        self._queue = queue
        self._gate = gate
        self._reception = reception
        self._counts = ledger.counts
        self._refuse = refuse
        self._drop = drop
        self._turned_away: deque[Connection] = deque()

    @property
    def lost(self) -> int:
        """As the source says."""
        return self._source.lost

    @lost.setter
    def lost(self, count: int) -> None:
        self._source.lost = count

    def fds(self) -> Sequence[int]:
        """Those of the source."""
        return self._source.fds()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def take(self) -> list[Arrival]:
        """Those of the source whose client has room."""
        arrivals = self._source.take()
        reception = self._reception
        taken = []
        for arrival in arrivals:
            fd, (_, _, _, _, family, address) = arrival
            relayed = reception is not None and reception.is_relayed(arrival)
            if self._gate.enter(fd, family, address, relayed):
                taken.append(arrival)
            else:
                self._turn_away(arrival)
        if self._queue is not None and len(taken) < len(arrivals):
            self._queue.release(len(arrivals) - len(taken))
        return taken

    def _turn_away(self, arrival: Arrival) -> None:
        now_ns = monotonic_ns()
        reception = self._reception
        conn: Connection
        if reception is not None and reception.wants(arrival):
            conn = reception.connection(arrival, b"", now_ns)
        else:
            conn = Connection(arrival[0], b"", now_ns)
        self._counts[OPENED] += 1
        self._refuse(conn, now_ns)
        self._turned_away.append(conn)
        if len(self._turned_away) > _MOST_TURNED_AWAY:
            self._drop(self._turned_away.popleft())
