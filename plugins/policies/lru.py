# The policy of the report: the key that was asked for longest ago leaves first.
#
# One OrderedDict holds everything: its order is the recency, oldest first, and its values are the weights.
"""Cache policy `lru`."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.engine.settings import CacheSettings
from wsrv.plugins.hookspecs import hookimpl


class Lru:
    """Least recently used: the report's cache. A stack algorithm (Mattson, Gecsei, Slutz, Traiger: "Evaluation
    techniques for storage hierarchies", IBM Systems Journal 9:2, 1970), so that what a smaller cache holds a larger
    one holds too.

    Departs from the paper: weights are bytes, so one admission may evict several keys, and the stack property is
    exact for equal weights only. Evicts before it inserts.
    """

    NAME: ClassVar[str] = "lru"

    # A hit moves the key to the young end and does nothing else; so this is OrderedDict.move_to_end itself, bound in
    # __init__: a method around it would triple the cost of a hit. KeyError when the key is not held.
    hit: Callable[[bytes], None]

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._weights: OrderedDict[bytes, int] = OrderedDict()
        self._weight_bytes = 0
        self.hit = self._weights.move_to_end

    @classmethod
    def available(cls, settings: CacheSettings) -> str | None:
        """None: it works everywhere."""
        return None

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key` as the youngest; the oldest leave until it fits. Refused only when heavier than everything."""
        room = self._capacity_bytes - weight
        if room < 0:
            return [key]
        victims = []
        while self._weight_bytes > room:
            victim, victim_weight = self._weights.popitem(last=False)
            self._weight_bytes -= victim_weight
            victims.append(victim)
        self._weights[key] = weight
        self._weight_bytes += weight
        return victims

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held."""
        self._weight_bytes -= self._weights.pop(key, 0)

    def __contains__(self, key: bytes) -> bool:
        return key in self._weights

    def __len__(self) -> int:
        return len(self._weights)

    @property
    def weight_bytes(self) -> int:
        """The sum of the weights held."""
        return self._weight_bytes

    def state(self, key: bytes) -> dict[str, object]:
        """A place in the one queue. KeyError when it is not held."""
        self._weights[key]
        return {"queue": "recency"}

    def order(self) -> Iterable[bytes]:
        """From the one asked for longest ago to the last."""
        return iter(self._weights)

    def check_invariants(self) -> None:
        """Add the weights up again."""
        weight_bytes = sum(self._weights.values())
        assert self._weight_bytes == weight_bytes, f"weight_bytes is {self._weight_bytes}, the sum is {weight_bytes}"
        assert weight_bytes <= self._capacity_bytes, f"{weight_bytes} bytes held, {self._capacity_bytes} allowed"


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [Lru]
