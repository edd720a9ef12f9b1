# A hit costs room: the weight of its object, in every step from the request before until this one.
#
#   request      1  2  3  4  5  6        a hit at 4 keeps `a` for 3 steps, one at 6 keeps `b` for 4:
#   key          a  b  c  a  d  b        3 x weight of a + 4 x weight of b <= 6 steps x capacity
#
# No cache has more room than its capacity in each step, so none has more than steps x capacity in all. Whoever may
# spend that sum as he likes, on the cheapest hits first, gets at least as many as any policy, one that knows the future
# included. A cache that is full at the wrong time cannot; so the bound is not always reached.
"""The bound that no policy beats."""

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from wsrv.engine.cache.simulation.replay import Missed
from wsrv.engine.cache.simulation.trace import Trace


class Hit(NamedTuple):
    """A request that could be a hit: room that it costs at least, its bytes, and the lightest that its object was."""

    room: int
    size_bytes: int
    weight: int


class Pfoo:
    """PFOO-L of Berger, Beckmann, Harchol-Balter: "Practical bounds on optimal caching with variable object sizes",
    POMACS 2:2 (SIGMETRICS), 2018; for requests, and in the same way for bytes.

    Departs from the paper: sizes may change. A cache holds an object with the weight that it came in with, so a hit is
    charged the lightest that the object had been; and a request that weighs more than the capacity whenever it could
    have come in is no hit.
    """

    def __init__(self, trace: Trace) -> None:
        self._requests = len(trace)
        self._requested_bytes = trace.requested_bytes
        hits: list[Hit] = []
        latest: dict[bytes, tuple[int, int]] = {}
        for number, (key, size) in enumerate(zip(trace.keys, trace.sizes, strict=True)):
            weight = size
            if key in latest:
                before, weight = latest[key]
                hits.append(Hit((number - before) * weight, size, weight))
                weight = min(weight, size)
            latest[key] = (number, weight)
        self._heaviest = max((hit.weight for hit in hits), default=0)
        self._by_request = sorted(hits)
        self._by_byte = sorted((hit for hit in hits if hit.size_bytes), key=lambda hit: hit.room / hit.size_bytes)
        self._room_by_request = [*accumulate(hit.room for hit in self._by_request)]
        self._room_by_byte = [*accumulate(hit.room for hit in self._by_byte)]
        self._bytes_by_byte = [*accumulate(hit.size_bytes for hit in self._by_byte)]

    def at(self, capacity_bytes: int) -> Missed:
        """What is missed at least at this capacity."""
        room = self._requests * capacity_bytes
        rooms, byte_rooms, sums, by_byte = (
            self._room_by_request,
            self._room_by_byte,
            self._bytes_by_byte,
            self._by_byte,
        )
        if capacity_bytes < self._heaviest:
            rooms = [*accumulate(hit.room for hit in self._by_request if hit.weight <= capacity_bytes)]
            by_byte = [hit for hit in by_byte if hit.weight <= capacity_bytes]
            byte_rooms = [*accumulate(hit.room for hit in by_byte)]
            sums = [*accumulate(hit.size_bytes for hit in by_byte)]
        hits = bisect_right(rooms, room)
        whole = bisect_right(byte_rooms, room)
        hit_bytes = sums[whole - 1] if whole else 0
        if whole < len(by_byte):  # a part of the next: half a hit, but the bound must not be too low
            left = room - (byte_rooms[whole - 1] if whole else 0)
            hit_bytes += by_byte[whole].size_bytes * left // by_byte[whole].room
        return Missed(self._requests - hits, self._requested_bytes - hit_bytes)
