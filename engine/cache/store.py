# The store: what one worker keeps, by key, within a budget of bytes.
#
# Rule 1: the policy decides who leaves; the store owns what is kept and drops exactly the policy's victims.
# Rule 2: whoever leaves is told, so that nothing prebuilt outlives its entity.
"""The store of one worker's cache."""

from collections.abc import Callable
from typing import Generic, TypeVar

from wsrv.engine.cache.policy import Policy

Kept = TypeVar("Kept")


class Store(Generic[Kept]):
    """Keeps values by key; `left` is called with each value that leaves."""

    def __init__(self, policy: Policy, left: Callable[[Kept], None]) -> None:
        self.policy = policy
        self._left = left
        self._kept: dict[bytes, Kept] = {}
        self.evictions = 0

    def get(self, key: bytes) -> Kept | None:
        """What is kept under `key`. Says nothing to the policy: a hit is told by whoever serves it."""
        return self._kept.get(key)

    def put(self, key: bytes, value: Kept, weight: int) -> bool:
        """Keep `value` in place of what was there; whether the policy took it in."""
        self.drop(key)
        self._kept[key] = value
        victims = self.policy.admit(key, weight)
        for victim in victims:
            self._left(self._kept.pop(victim))
        taken = key not in victims
        self.evictions += len(victims) - (not taken)
        return taken

    def drop(self, key: bytes) -> None:
        """Let go of what is kept under `key`, if anything is: it has changed, or is gone."""
        value = self._kept.pop(key, None)
        if value is not None:
            self.policy.remove(key)
            self._left(value)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """The weights kept."""
        return self.policy.weight_bytes
