# LRU by one bit an object: a hit marks, and only the hand that looks for a victim moves anything.
#
# The circle is an OrderedDict read from its old end; what the hand spares goes to the young end. The marks are a set,
# so that a hit is one call into C.
"""Cache policy `clock`."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.weighed import Weighed


class Clock(Weighed):
    """CLOCK, or second chance (Corbató, "A paging experiment with the Multics system", MIT Project MAC report
    MAC-M-384, 1968): a hand goes round, clears the mark of what was asked for since its last visit, and takes what
    carries none.

    Departs from the paper: weights are bytes, so one admission may evict several keys. What comes in carries no mark.
    """

    NAME: ClassVar[str] = "clock"

    # set.add of the marks itself, bound in __init__: a method around it would double the cost of a hit.
    hit: Callable[[bytes], None]

    _weights: OrderedDict[bytes, int]

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._weights = OrderedDict()
        self._marked: set[bytes] = set()
        self.hit = self._marked.add

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key` behind the hand; the hand goes on until it fits. Refused only when heavier than everything."""
        room = self._capacity_bytes - weight
        if room < 0:
            return [key]
        weights, marked = self._weights, self._marked
        victims = []
        while self._weight_bytes > room:
            victim, victim_weight = weights.popitem(last=False)
            if victim in marked:
                marked.remove(victim)
                weights[victim] = victim_weight
            else:
                self._weight_bytes -= victim_weight
                victims.append(victim)
        weights[key] = weight
        self._weight_bytes += weight
        return victims

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held."""
        self._weight_bytes -= self._weights.pop(key, 0)
        self._marked.discard(key)

    def state(self, key: bytes) -> dict[str, object]:
        """Whether it is marked. KeyError when it is not held."""
        self._weights[key]
        return {"queue": "circle", "marked": key in self._marked}

    def order(self) -> Iterable[bytes]:
        """As the hand would take them: the marked ones after the others."""
        return sorted(self._weights, key=self._marked.__contains__)

    def check_invariants(self) -> None:
        """Only what is held is marked."""
        super().check_invariants()
        assert self._marked <= self._weights.keys(), "a key is marked that is not held"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [Clock]
