# What a synchronisation primitive is.
#
# Objects are made by the master before the first fork, in cells of the shared mapping, and used by every process
# through the Python object it inherited: the mapping stands at the same address in all of them. A process keeps the
# descriptors that an object names, and may close all others that it inherited.
"""The protocols of a primitive and of the locks and semaphores it makes."""

from typing import ClassVar, Protocol

# A cell is one cache line, so that two objects never share one. With glibc on x86-64 sem_t takes 32 bytes of it and
# pthread_mutex_t 40.
CELL_BYTES = 64

LOCK = "lock"
SEMAPHORE = "semaphore"
SURVIVES_OWNER = "survives-owner"


class Lock(Protocol):
    """Mutual exclusion over the thing it is named after."""

    name: str

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the lock, for ever without a timeout. Whether it is held now."""

    def release(self) -> None:
        """Give the lock back, by the thread that took it."""

    def fds(self) -> list[int]:
        """The descriptors that a forked process must keep to use the object; empty where the memory is enough."""

    def close(self) -> None:
        """Give back what the object took from the system. Once, by the process that made it."""


class Semaphore(Protocol):
    """A count of permits for the thing it is named after."""

    name: str

    def try_acquire(self, count: int = 1) -> int:
        """Take up to `count` permits without waiting; how many were had."""

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for one permit, for ever without a timeout. Whether it was had."""

    def release(self, count: int = 1) -> None:
        """Give `count` permits back."""

    def value(self) -> int:
        """Permits free at this moment."""

    def reset(self, value: int) -> None:
        """Set the permits right after a holder died. Only while no other process can change them."""

    def fds(self) -> list[int]:
        """The descriptors that a forked process must keep to use the object; empty where the memory is enough."""

    def close(self) -> None:
        """Give back what the object took from the system. Once, by the process that made it."""


class Primitive(Protocol):
    """A way to make locks and semaphores that processes share.

    OFFERS says which of LOCK, SEMAPHORE and SURVIVES_OWNER it can promise; whoever needs more refuses it by name.
    `memory` is one zeroed cell of CELL_BYTES in a shared, writable mapping.
    """

    NAME: ClassVar[str]
    OFFERS: ClassVar[frozenset[str]]

    @classmethod
    def available(cls) -> str | None:
        """None, or in a sentence why this primitive cannot work here."""

    @classmethod
    def lock(cls, name: str, memory: memoryview) -> Lock:
        """Make a lock in `memory`. Raises OSError."""

    @classmethod
    def semaphore(cls, name: str, memory: memoryview, value: int) -> Semaphore:
        """Make a semaphore of `value` permits in `memory`. Raises OSError."""
