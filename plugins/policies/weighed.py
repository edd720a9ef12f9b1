# What the policies here share: who is held, with which weight, and the sum of it. Not a policy.
#
# Rule 1: `_weights` is the truth of who is held; the queues of a policy only say in which order.
# Rule 2: nothing here is on the path of a hit.
"""Keys and their weights within a capacity."""

from collections.abc import Iterable

from wsrv.engine.settings import CacheSettings


class Weighed:
    """The part of the protocol that every policy of this folder answers alike."""

    _weights: dict[bytes, int]

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._weights = {}
        self._weight_bytes = 0

    @classmethod
    def available(cls, settings: CacheSettings) -> str | None:
        """None: it works everywhere."""
        return None

    def __contains__(self, key: bytes) -> bool:
        return key in self._weights

    def __len__(self) -> int:
        return len(self._weights)

    @property
    def weight_bytes(self) -> int:
        """The sum of the weights held."""
        return self._weight_bytes

    def check_invariants(self) -> None:
        """Add the weights up again."""
        weight_bytes = sum(self._weights.values())
        assert self._weight_bytes == weight_bytes, f"weight_bytes is {self._weight_bytes}, the sum is {weight_bytes}"
        assert weight_bytes <= self._capacity_bytes, f"{weight_bytes} bytes held, {self._capacity_bytes} allowed"

    def _check_keys(self, keys: Iterable[bytes], what: str) -> None:
        """Each key that is held stands in `keys` exactly once, and no other does."""
        found = list(keys)
        assert len(found) == len(self._weights), f"{what}: {len(found)} keys for {len(self._weights)} held"
        assert set(found) == self._weights.keys(), f"{what}: other keys than those held"
