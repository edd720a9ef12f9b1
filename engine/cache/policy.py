# What a cache policy is, and what it may tell beside.
#
# A policy sees keys and weights and nothing else; the store owns the bytes. One policy object belongs to one
# store in one process and is called by one thread, so it needs no lock.
"""The protocol of a cache policy."""

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from wsrv.engine.settings import CacheSettings


class Policy(Protocol):
    """Decides what leaves a cache of `capacity_bytes` when something new comes in.

    A class is registered by its NAME and made once a worker with the capacity as its one argument.
    """

    NAME: ClassVar[str]

    def __init__(self, capacity_bytes: int) -> None: ...

    @classmethod
    def available(cls, settings: CacheSettings) -> str | None:
        """None, or in a sentence why this policy cannot work here."""

    def hit(self, key: bytes) -> None:
        """Note that `key`, which is held, was asked for. The hot path pays for this call."""

    def admit(self, key: bytes, weight: int) -> list[bytes]:
        """Take in `key` (not held now), of `weight` bytes; return the keys that leave.

        A key that is refused is its own victim, and the last: a policy that inserts before it evicts may have sent
        others away for it. A weight above the capacity is always refused, and nothing else leaves.
        """

    def remove(self, key: bytes) -> None:
        """Forget `key` if it is held: the store dropped it for a reason of its own."""

    def __contains__(self, key: bytes) -> bool:
        """Whether `key` is held."""

    def __len__(self) -> int:
        """How many keys are held."""

    @property
    def weight_bytes(self) -> int:
        """The sum of the weights held; never above the capacity."""

    def check_invariants(self) -> None:
        """Walk every structure. Raises AssertionError naming what does not hold."""


def state_of(policy: Policy, key: bytes) -> dict[str, Any]:
    """Where `key`, which is held, stands with the policy, in words and numbers: a queue, a frequency.

    What its method `state(key) -> dict` says; empty for a policy that has none.
    """
    state = getattr(policy, "state", None)
    return {} if state is None else dict(state(key))


def order_of(policy: Policy, kept: Iterable[bytes]) -> Iterable[bytes]:
    """Every key held, the first to leave first, or so: what its method `order() -> Iterable[bytes]` says.

    For a policy that has none, `kept`, which are the same keys in the order in which they came.
    """
    order = getattr(policy, "order", None)
    return kept if order is None else order()
