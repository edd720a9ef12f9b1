# Many small things that are asked for often are worth more than one large thing.
#
# `_current` has the entry of each key as its last hit made it; the heap has the entry that was current when the key
# was last put there. An entry only ever grows, so the heap may be late: what comes to its top is compared with the
# current one and put back where it belongs, unless they are the same. A hit therefore touches two dicts and no heap.
"""Cache policy `gdsf`."""

import heapq
from collections.abc import Iterable
from itertools import count
from math import inf
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.weighed import Weighed

# What a miss costs, for all keys alike: the object hit ratio is what counts. Large, so that the ratios to weights are.
COST = 1e6

# Entries of removed keys stay in the heap until they outnumber the held ones by this many.
MOST_DEAD = 64

# Priority, number of the touch that gave it, key. Of equal priorities the one touched longest ago leaves first.
Entry = tuple[float, int, bytes]


def _worth(frequency: int, weight: int) -> float:
    """What is asked for so often is worth; what weighs nothing is worth keeping for ever."""
    return frequency * COST / weight if weight else inf


class Gdsf(Weighed):
    """GreedyDual-Size with Frequency (Cherkasova: "Improving WWW proxies performance with
    Greedy-Dual-Size-Frequency caching policy", HP Labs HPL-98-69R1, 1998). The priority of a key is inflation +
    frequency x cost / weight; the lowest leaves, and the inflation becomes its priority.

    Departs from the paper: ties are settled, by the last touch. It inserts before it evicts, as the paper does, so that
    a newcomer may be refused after others have left for it.

    O(log n) an admission, amortised: each hit makes at most one entry of the heap late. O(1) a hit.
    """

    NAME: ClassVar[str] = "gdsf"

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._frequency: dict[bytes, int] = {}
        self._current: dict[bytes, Entry] = {}
        self._queued: dict[bytes, Entry] = {}
        self._heap: list[Entry] = []
        self._inflation = 0.0
        self._touch = count().__next__

    def hit(self, key: bytes) -> None:
        """Count, and raise the priority. KeyError when `key` is not held."""
        frequency = self._frequency[key] + 1
        self._frequency[key] = frequency
        self._current[key] = (self._inflation + _worth(frequency, self._weights[key]), self._touch(), key)

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key`, then let the lowest go until all fits: `key` itself, last, when it is the lowest."""
        if weight > self._capacity_bytes:
            return [key]
        entry = (self._inflation + _worth(1, weight), self._touch(), key)
        self._frequency[key] = 1
        self._current[key] = self._queued[key] = entry
        heapq.heappush(self._heap, entry)
        self._weights[key] = weight
        self._weight_bytes += weight
        victims = []
        while self._weight_bytes > self._capacity_bytes:
            lowest = self._pop_lowest()
            self._inflation = lowest[0]
            self._forget(lowest[2])
            victims.append(lowest[2])
        return victims

    def _pop_lowest(self) -> Entry:
        heap = self._heap
        while True:
            entry = heap[0]
            key = entry[2]
            if self._queued.get(key) is not entry:  # of a key that was removed
                heapq.heappop(heap)
            elif (current := self._current[key]) is not entry:
                self._queued[key] = current
                heapq.heapreplace(heap, current)
            else:
                return heapq.heappop(heap)

    def _forget(self, key: bytes) -> None:
        self._weight_bytes -= self._weights.pop(key)
        del self._frequency[key], self._current[key], self._queued[key]
        if len(self._heap) > 2 * len(self._weights) + MOST_DEAD:
            self._heap = list(self._queued.values())
            heapq.heapify(self._heap)

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held, and how often it was asked for."""
        if key in self._weights:
            self._forget(key)

    def state(self, key: bytes) -> dict[str, object]:
        """How often it was asked for, and its priority. KeyError when it is not held."""
        return {"frequency": self._frequency[key], "priority": round(self._current[key][0], 3)}

    def order(self) -> Iterable[bytes]:
        """By priority."""
        return sorted(self._current, key=self._current.__getitem__)

    def check_invariants(self) -> None:
        """The heap is one, has each held key once, never above its current priority, and few dead entries."""
        super().check_invariants()
        heap = self._heap
        for place, entry in enumerate(heap[1:], start=1):
            assert heap[(place - 1) // 2] <= entry, f"the heap is out of order at {place}"
        self._check_keys((entry[2] for entry in heap if self._queued.get(entry[2]) is entry), "the heap")
        self._check_keys(self._frequency, "frequencies")
        self._check_keys(self._current, "priorities")
        for key, entry in self._queued.items():
            assert entry <= self._current[key], f"{key!r} stands above its priority in the heap"
        assert len(heap) <= 2 * len(self._weights) + MOST_DEAD, f"{len(heap)} entries for {len(self._weights)} keys"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [Gdsf]
