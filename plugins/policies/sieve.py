# CLOCK whose survivors stay where they are: one queue, one hand, one bit an object.
#
#   old end                    hand                    young end
#      [ spared: behind the hand ][ ahead of it ............ ] <- what comes in
#
# The queue is kept as its two halves, each an OrderedDict, and cut where the hand stands. So the hand needs no links
# between keys: it takes the oldest of `ahead`, and appends to `behind` what it spares. When `ahead` is empty the hand
# has come to the young end and begins again at the old one: the halves change places at once, because what comes in
# next stands before the hand's new round, not after it.
"""Cache policy `sieve`."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.weighed import Weighed


class Sieve(Weighed):
    """SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is simpler than LRU", NSDI '24): a hand moves from old to
    young, clears the mark of what was asked for and leaves it in its place, and takes the first without a mark.

    Departs from the paper: weights are bytes, so one admission may evict several keys. Evicts before it inserts.
    """

    NAME: ClassVar[str] = "sieve"

    # set.add of the marks itself, bound in __init__: a method around it would double the cost of a hit.
    hit: Callable[[bytes], None]

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._ahead: OrderedDict[bytes, None] = OrderedDict()
        self._behind: OrderedDict[bytes, None] = OrderedDict()
        self._marked: set[bytes] = set()
        self.hit = self._marked.add

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key` as the youngest; the hand goes on until it fits. Refused only when heavier than everything."""
        room = self._capacity_bytes - weight
        if room < 0:
            return [key]
        victims = []
        while self._weight_bytes > room:
            seen, _ = self._ahead.popitem(last=False)
            if seen in self._marked:
                self._marked.remove(seen)
                self._behind[seen] = None
            else:
                self._weight_bytes -= self._weights.pop(seen)
                victims.append(seen)
            self._begin_again_at_the_end()
        self._ahead[key] = None
        self._weights[key] = weight
        self._weight_bytes += weight
        return victims

    def _begin_again_at_the_end(self) -> None:
        if not self._ahead:
            self._ahead, self._behind = self._behind, self._ahead

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held; a hand that stood on it goes on to the next."""
        if key in self._weights:
            self._weight_bytes -= self._weights.pop(key)
            self._marked.discard(key)
            if key in self._ahead:
                del self._ahead[key]
                self._begin_again_at_the_end()
            else:
                del self._behind[key]

    def state(self, key: bytes) -> dict[str, object]:
        """On which side of the hand, and whether it is marked. KeyError when it is not held."""
        self._weights[key]
        return {"queue": "ahead" if key in self._ahead else "behind", "marked": key in self._marked}

    def order(self) -> Iterable[bytes]:
        """As the hand would come to them: the marked ones after the others."""
        return sorted((*self._ahead, *self._behind), key=self._marked.__contains__)

    def check_invariants(self) -> None:
        """Each key stands on one side of the hand; only what is held is marked."""
        super().check_invariants()
        self._check_keys([*self._behind, *self._ahead], "the queue")
        assert self._ahead or not self._behind, "the hand stands past the young end"
        assert self._marked <= self._weights.keys(), "a key is marked that is not held"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [Sieve]
