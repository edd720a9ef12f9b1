# Locks and semaphores that count, around any primitive's.
#
# Rule 1: a process counts in its own words; nobody else writes them. So what is counted in the master stays there, and
#   what is counted in a worker reaches readers through the worker's row.
# Rule 2: threads of a process share its words: `+=` is several steps, so a lock of the process's own stands around it.
# Rule 3: permits are counted one by one, as many as were had; to be short of them, or to wait, once a call. Giving
#   back is not counted.
"""Counting how often a guard was taken, how often somebody had to wait for it, and for how long."""

import threading
from array import array
from time import monotonic_ns
from typing import Generic, TypeVar

from wsrv.engine.sync.primitive import Lock, Semaphore

# What a tally has: permits or locks had; takings that waited, or got less than they asked for; the time they waited.
ACQUIRED, CONTENDED, WAIT_NS = range(3)
TALLY_WORDS = 3


class Tally:
    """The counts of one name in one process: TALLY_WORDS of `words` from `at` on."""

    __slots__ = ("_acquired", "_contended", "_enter", "_leave", "_wait_ns", "_words")

    def __init__(self, words: "array[int]", at: int) -> None:
        self._words = words
        self._acquired, self._contended, self._wait_ns = at + ACQUIRED, at + CONTENDED, at + WAIT_NS
        threads = threading.Lock()
        # Called like this they take half as long as in a with statement, which is 0.17 us.
        self._enter, self._leave = threads.acquire, threads.release

    def had(self, count: int) -> None:
        """So many were had without waiting."""
        self._enter()
        try:
            self._words[self._acquired] += count
        finally:
            self._leave()

    def short(self, count: int) -> None:
        """Fewer were had than were asked for: so many."""
        self._enter()
        try:
            self._words[self._acquired] += count
            self._words[self._contended] += 1
        finally:
            self._leave()

    def waited(self, had: bool, wait_ns: int) -> None:
        """Somebody waited so long, and had one or gave up."""
        self._enter()
        try:
            self._words[self._acquired] += had
            self._words[self._contended] += 1
            self._words[self._wait_ns] += wait_ns
        finally:
            self._leave()


Guard = TypeVar("Guard", bound=Lock | Semaphore)


class _Counted(Generic[Guard]):
    """What stands around a guard and counts in `tally`."""

    __slots__ = ("_inner", "_tally", "name")

    def __init__(self, inner: Guard, tally: Tally) -> None:
        self.name = inner.name
        self._inner = inner
        self._tally = tally

    def fds(self) -> list[int]:
        """The descriptors of what it counts for."""
        return self._inner.fds()

    def close(self) -> None:
        """Close what it counts for."""
        self._inner.close()


class CountedLock(_Counted[Lock]):
    """A lock that counts."""

    __slots__ = ()

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the lock, for ever without a timeout. Whether it is held now."""
        if self._inner.acquire(0):
            self._tally.had(1)
            return True
        return _wait(self._inner, self._tally, timeout_seconds)

    def release(self) -> None:
        """Give the lock back, by the thread that took it."""
        self._inner.release()


class CountedSemaphore(_Counted[Semaphore]):
    """A semaphore that counts."""

    __slots__ = ()

    def try_acquire(self, count: int = 1) -> int:
        """Take up to `count` permits without waiting; how many were had."""
        had = self._inner.try_acquire(count)
        if had == count:
            self._tally.had(had)
        else:
            self._tally.short(had)
        return had

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for one permit, for ever without a timeout. Whether it was had."""
        if self._inner.try_acquire():
            self._tally.had(1)
            return True
        return _wait(self._inner, self._tally, timeout_seconds)

    def release(self, count: int = 1) -> None:
        """Give `count` permits back."""
        self._inner.release(count)

    def value(self) -> int:
        """Permits free at this moment."""
        return self._inner.value()

    def reset(self, value: int) -> None:
        """Set the permits right after a holder died. Only while no other process can change them."""
        self._inner.reset(value)


def _wait(inner: Lock | Semaphore, tally: Tally, timeout_seconds: float | None) -> bool:
    """Wait for what was not to be had at once. Whether it was had."""
    began_ns = monotonic_ns()
    had = inner.acquire(timeout_seconds)
    tally.waited(had, monotonic_ns() - began_ns)
    return had
