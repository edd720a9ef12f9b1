# Counters in the kernel: an eventfd with EFD_SEMAPHORE, whose every read takes one and whose write gives any number.
#
# Rule 1: the descriptor is all there is, the cell stays unused; every process that uses the object keeps fds().
# Rule 2: the descriptor is a blocking one, so that the kernel decides which of the waiting reads has a permit: those
#   that lose a race sleep on without waking Python. What must not wait reads with RWF_NOWAIT.
# Rule 3: nobody records an owner: SURVIVES_OWNER is not offered.
"""Synchronisation primitive `eventfd`."""

import contextlib
import errno
import os
import select
import time
from typing import ClassVar

from wsrv.engine.sync.primitive import LOCK, SEMAPHORE, Lock, Primitive, Semaphore
from wsrv.plugins.hookspecs import hookimpl

_WORD_BYTES = 8
# What eventfd(2) takes at most at its making; a count grows to 2^64 - 2, but no more is promised here.
_MOST_PERMITS = 2**32 - 1
_NOWAIT = os.RWF_NOWAIT
# The field of /proc/self/fdinfo, hexadecimal (proc(5)).
_COUNT_FIELD = b"eventfd-count:"


class _Counter:
    """One eventfd: what a lock and a counting semaphore share. Raises OSError."""

    __slots__ = ("_fd", "_room", "name")

    def __init__(self, name: str, value: int) -> None:
        if not 0 <= value <= _MOST_PERMITS:
            raise OSError(errno.EINVAL, f"{name} with {value} permits: {os.strerror(errno.EINVAL)}")
        self.name = name
        # What is read is always a one, so threads may share the room for it.
        self._room = [bytearray(_WORD_BYTES)]
        self._fd = os.eventfd(value, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)

    def _take(self) -> bool:
        """Whether a permit was had, without waiting."""
        try:
            os.preadv(self._fd, self._room, -1, _NOWAIT)
        except BlockingIOError:
            return False
        return True

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for one permit, for ever without a timeout. A signal handler runs, and may end the wait by raising."""
        if timeout_seconds is None:
            os.read(self._fd, _WORD_BYTES)
            return True
        if self._take():
            return True
        end = time.monotonic() + timeout_seconds
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            if poll.poll(left * 1000) and self._take():
                return True
        return False

    def fds(self) -> list[int]:
        """The eventfd."""
        return [self._fd]

    def close(self) -> None:
        """Close this process's descriptor."""
        os.close(self._fd)
        self._fd = -1


class EventfdLock(_Counter):
    """A semaphore of one permit. Whoever holds it may be another process than the one that gives it back."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name, 1)

    def release(self) -> None:
        """Give the lock back."""
        os.eventfd_write(self._fd, 1)


class EventfdSemaphore(_Counter):
    """A counting semaphore of at most 4,294,967,295 permits."""

    __slots__ = ()

    def try_acquire(self, count: int = 1) -> int:
        """Take up to `count` permits without waiting; how many were had. A system call a permit."""
        for had in range(count):
            if not self._take():
                return had
        return count

    def release(self, count: int = 1) -> None:
        """Give `count` permits back, in one system call."""
        if count:
            os.eventfd_write(self._fd, count)

    def value(self) -> int:
        """Permits free at this moment, as /proc shows them. Raises OSError where it is not mounted."""
        with open(f"/proc/self/fdinfo/{self._fd}", "rb") as fields:
            for line in fields:
                if line.startswith(_COUNT_FIELD):
                    return int(line[len(_COUNT_FIELD) :], 16)
        raise OSError(errno.ENOTSUP, f"{self.name}: /proc/self/fdinfo does not show the count")

    def reset(self, value: int) -> None:
        """Set the permits to `value`: all there are are taken first, a system call each.

        Not by the difference: where the master is confined, it may not read in /proc how many there are.
        """
        while self._take():
            pass
        self.release(value)


class Eventfd:
    """Counting descriptors: eventfd(2) with EFD_SEMAPHORE. They could wait in an epoll beside anything else."""

    NAME: ClassVar[str] = "eventfd"
    OFFERS: ClassVar[frozenset[str]] = frozenset({LOCK, SEMAPHORE})

    @classmethod
    def available(cls) -> str | None:
        """None, unless the kernel makes none, cannot read one without waiting, or does not show its count."""
        try:
            probe = EventfdSemaphore("probe", 2)
        except OSError as error:
            return f"the kernel makes no eventfd ({error.strerror}); use another --sync"
        with contextlib.closing(probe):
            try:
                if probe.try_acquire(3) != 2:
                    return "the kernel's eventfd does not count permits; use another --sync"
            except OSError as error:
                return (
                    f"the kernel reads no eventfd without waiting ({error.strerror}; Linux 5.8 can); use another --sync"
                )
            try:
                probe.value()
            except (OSError, ValueError) as error:
                return f"the count of an eventfd cannot be read ({error}); mount /proc, or use another --sync"
        return None

    @classmethod
    def lock(cls, name: str, memory: memoryview) -> Lock:
        """A lock; `memory` stays unused. Raises OSError."""
        return EventfdLock(name)

    @classmethod
    def semaphore(cls, name: str, memory: memoryview, value: int) -> Semaphore:
        """A semaphore of `value` permits; `memory` stays unused. Raises OSError."""
        return EventfdSemaphore(name, value)


@hookimpl
def wsrv_register_primitives() -> list[type[Primitive]]:
    return [Eventfd]
