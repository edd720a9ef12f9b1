# The plainest policy: whoever came first leaves first, asked for or not.
#
# One OrderedDict holds everything: its order is that of arrival, and its values are the weights.
"""Cache policy `fifo`."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import ClassVar

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.weighed import Weighed


class Fifo(Weighed):
    """First in, first out (Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
    Journal 5:2, 1966). What the others are measured against; a larger cache may miss more (Belady's anomaly).

    Departs from the paper: weights are bytes, so one admission may evict several keys. Evicts before it inserts.
    """

    NAME: ClassVar[str] = "fifo"

    # A hit changes nothing, so this is the cheapest call there is: a look-up whose answer nobody reads.
    hit: Callable[[bytes], None]

    _weights: OrderedDict[bytes, int]

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._weights = OrderedDict()
        self.hit = self._weights.__contains__  # type: ignore[assignment]  # returns what nobody reads

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key` as the last; the first leave until it fits. Refused only when heavier than everything."""
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

    def state(self, key: bytes) -> dict[str, object]:
        """A place in the one queue. KeyError when it is not held."""
        self._weights[key]
        return {"queue": "arrival"}

    def order(self) -> Iterable[bytes]:
        """From the first that came to the last."""
        return iter(self._weights)


@hookimpl
def wsrv_register_policies() -> list[type[Policy]]:
    return [Fifo]
