# What a cache was asked for, in order. Everything else in this room reads it.
#
# Rule: a key is one object in memory however often it is asked for, so that a long trace is a list of references.
"""Traces of requests."""

from array import array
from collections.abc import Callable, Iterable

# Is told how many requests were dealt with since it was last told.
Progress = Callable[[int], object]


def nobody(requests: int) -> None:
    """The Progress that nobody watches."""


class Trace:
    """Requests in order: `keys[n]` was asked for as the n-th, and weighed `sizes[n]` bytes then."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.sizes: array[int] = array("Q")
        self._largest: dict[bytes, int] = {}
        self._known: dict[bytes, bytes] = {}

    @classmethod
    def of(cls, requests: Iterable[tuple[bytes, int]]) -> "Trace":
        """The trace of these pairs of key and size."""
        trace = cls()
        for key, size in requests:
            trace.add(key, size)
        return trace

    def add(self, key: bytes, size: int) -> None:
        """One more request. OverflowError when `size` is negative or has more than 64 bits."""
        self.sizes.append(size)
        key = self._known.setdefault(key, key)
        self.keys.append(key)
        if size > self._largest.get(key, -1):
            self._largest[key] = size

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def objects(self) -> int:
        """How many different keys there are."""
        return len(self._known)

    @property
    def object_sizes(self) -> Iterable[int]:
        """The size of each object, the largest that it ever had."""
        return self._largest.values()

    @property
    def footprint_bytes(self) -> int:
        """What a cache would hold that never has to let anything go."""
        return sum(self._largest.values())

    @property
    def requested_bytes(self) -> int:
        """The sizes of all requests together."""
        return sum(self.sizes)
