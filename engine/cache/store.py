# The store: what one worker keeps, by key, within a budget of bytes.
#
# Rule 1: the policy decides who leaves; the store owns what is kept and drops exactly the policy's victims.
# Rule 2: whoever leaves is told, so that nothing prebuilt outlives its entity.
# Rule 3: the last departures are remembered, with the reason: a cache has to be able to say why something is not in it.
"""The store of one worker's cache."""

from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic_ns
from typing import Generic, NamedTuple, TypeVar

from wsrv.engine.cache.policy import Policy, order_of

Kept = TypeVar("Kept")

# Why something has left.
CAPACITY = "capacity"
REFUSED = "refused"
CHANGED = "changed"
GONE = "gone"
CLEARED = "cleared"
SWITCHED = "switched"

# Departures remembered: a page of a terminal, and some.
DEPARTURES = 64


class Departure(NamedTuple):
    """What has left, when (CLOCK_MONOTONIC) and why. `pushed_by`: for whom there had to be room."""

    at_ns: int
    key: bytes
    weight: int
    reason: str
    pushed_by: bytes | None


class Store(Generic[Kept]):
    """Keeps values by key; `left` is called with each value that leaves."""

    def __init__(self, policy: Policy, left: Callable[[Kept], None]) -> None:
        self.policy = policy
        self._left = left
        self._kept: dict[bytes, Kept] = {}
        self._weights: dict[bytes, int] = {}
        self.evictions = 0
        self.departures: deque[Departure] = deque(maxlen=DEPARTURES)
        # What has come or gone since a change of policy has begun; None while there is none.
        self._stirred: set[bytes] | None = None

    def get(self, key: bytes) -> Kept | None:
        """What is kept under `key`. Says nothing to the policy: a hit is told by whoever serves it."""
        return self._kept.get(key)

    def weight(self, key: bytes) -> int:
        """What `key`, which is kept, weighs."""
        return self._weights[key]

    def held(self) -> list[bytes]:
        """Every key that is kept now."""
        return list(self._kept)

    def put(self, key: bytes, value: Kept, weight: int) -> bool:
        """Keep `value` in place of what was there; whether the policy took it in."""
        self.drop(key)
        self._kept[key] = value
        self._weights[key] = weight
        if self._stirred is not None:
            self._stirred.add(key)
        victims = self.policy.admit(key, weight)
        taken = key not in victims
        for victim in victims:
            self._let_go(victim, CAPACITY if victim != key else REFUSED, key if victim != key else None)
        self.evictions += len(victims) - (not taken)
        return taken

    def drop(self, key: bytes, reason: str = CHANGED) -> None:
        """Let go of what is kept under `key`, if anything is: it has changed, or is gone."""
        if key in self._kept:
            self.policy.remove(key)
            self._let_go(key, reason, None)

    def _let_go(self, key: bytes, reason: str, pushed_by: bytes | None) -> None:
        value = self._kept.pop(key)
        self.departures.append(Departure(monotonic_ns(), key, self._weights.pop(key), reason, pushed_by))
        if self._stirred is not None:
            self._stirred.add(key)
        self._left(value)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """The weights kept."""
        return self.policy.weight_bytes

    # Another policy.

    @property
    def changes(self) -> bool:
        """Whether a change of policy is under way."""
        return self._stirred is not None

    def succeed(self, heir: Policy) -> Iterator[None]:
        """Hand everything to `heir`, in small steps, in the order of the policy that it follows; the last step makes it
        the policy. What it does not take leaves. Meanwhile the store is used as ever.

        One at a time: raises RuntimeError.
        """
        if self._stirred is not None:
            raise RuntimeError("a change of policy is under way")
        self._stirred = set()
        refused: dict[bytes, None] = {}
        try:
            for key in list(order_of(self.policy, self._kept)):
                if key in self._kept:
                    refused.update(dict.fromkeys(heir.admit(key, self._weights[key])))
                yield
            for key in self._stirred:
                heir.remove(key)
                if key in self._kept:
                    refused.update(dict.fromkeys(heir.admit(key, self._weights[key])))
            self.policy = heir
            for key in refused:
                if key in self._kept and key not in heir:
                    self._let_go(key, SWITCHED, None)
        finally:
            self._stirred = None
