# Locks on a file without a name: flock(2).
#
# Rule 1: a flock belongs to the open file, which a fork shares: each process opens the file anew, through
#   /proc/self/fd, when it first needs the lock. What fds() names is the file only, and is never locked itself.
# Rule 2: threads of one process share its open file, and flock does not keep them apart: a lock of the process's own
#   stands before it.
# Rule 3: the kernel unlocks when the last process that has the open file closes it or dies, so SURVIVES_OWNER is
#   offered. A child that closes what fds() does not list never prolongs its parent's lock.
"""Synchronisation primitive `flock`."""

import contextlib
import fcntl
import os
import threading
import time
from typing import ClassVar, NamedTuple

from wsrv.engine.sync.primitive import LOCK, SURVIVES_OWNER, Lock, Primitive, Semaphore
from wsrv.plugins.hookspecs import hookimpl

# flock has no timeout: it is tried again after these pauses, doubled each time.
_FIRST_PAUSE_SECONDS = 0.000_1
_LONGEST_PAUSE_SECONDS = 0.005


class _Seat(NamedTuple):
    """One process's own: its open file, and what keeps its threads apart."""

    fd: int
    threads: threading.Lock


class FlockLock:
    """A lock on an anonymous file. Given back by the process that took it. Raises OSError."""

    __slots__ = ("_file", "_seats", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._file = os.memfd_create(f"wsrv lock {name}", os.MFD_CLOEXEC)
        self._seats: dict[int, _Seat] = {}

    def _seat(self) -> _Seat:
        """This process's. Raises OSError."""
        pid = os.getpid()
        seat = self._seats.get(pid)
        return self._sit_down(pid) if seat is None else seat

    def _sit_down(self, pid: int) -> _Seat:
        new = _Seat(os.open(f"/proc/self/fd/{self._file}", os.O_RDWR | os.O_CLOEXEC), threading.Lock())
        # One step, whichever thread comes first.
        seat = self._seats.setdefault(pid, new)
        if seat is not new:
            os.close(new.fd)
        # A parent's: its descriptor is closed here by now, or something else's.
        for other in set(self._seats) - {pid}:
            self._seats.pop(other, None)
        return seat

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the lock, for ever without a timeout. A signal handler runs, and may end the wait by raising."""
        seat = self._seat()
        if timeout_seconds is None:
            seat.threads.acquire()
            locked = False
            try:
                fcntl.flock(seat.fd, fcntl.LOCK_EX)
                locked = True
            finally:
                if not locked:
                    seat.threads.release()
            return True
        end = time.monotonic() + timeout_seconds
        if not seat.threads.acquire(timeout=timeout_seconds):
            return False
        locked = False
        try:
            locked = _try_until(seat.fd, end)
        finally:
            if not locked:
                seat.threads.release()
        return locked

    def release(self) -> None:
        """Give the lock back."""
        seat = self._seat()
        fcntl.flock(seat.fd, fcntl.LOCK_UN)
        seat.threads.release()

    def fds(self) -> list[int]:
        """The file."""
        return [self._file]

    def close(self) -> None:
        """Close the file and what this process opened of it."""
        os.close(self._file)
        self._file = -1
        seat = self._seats.pop(os.getpid(), None)
        if seat is not None:
            os.close(seat.fd)


def _try_until(fd: int, end: float) -> bool:
    """Whether `fd` was locked before `end`, a time of the monotonic clock."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return True


class Flock:
    """Locks on files: flock(2). No semaphores: a file is locked or it is not."""

    NAME: ClassVar[str] = "flock"
    OFFERS: ClassVar[frozenset[str]] = frozenset({LOCK, SURVIVES_OWNER})

    @classmethod
    def available(cls) -> str | None:
        """None, unless the kernel makes no anonymous file, or none can be opened anew and locked."""
        try:
            one = FlockLock("probe")
        except OSError as error:
            return f"the kernel makes no anonymous file to lock ({error.strerror}); use another --sync"
        with contextlib.closing(one):
            try:
                one.acquire(0)
                other = os.open(f"/proc/self/fd/{one.fds()[0]}", os.O_RDWR | os.O_CLOEXEC)
            except OSError as error:
                return f"no file of /proc/self/fd can be opened ({error.strerror}); mount /proc, or use another --sync"
            try:
                if _try_until(other, 0):
                    return "the kernel's flock locks nobody out; use another --sync"
            finally:
                os.close(other)
        return None

    @classmethod
    def lock(cls, name: str, memory: memoryview) -> Lock:
        """A lock; `memory` stays unused. Raises OSError."""
        return FlockLock(name)

    @classmethod
    def semaphore(cls, name: str, memory: memoryview, value: int) -> Semaphore:
        """Not offered. Raises NotImplementedError."""
        raise NotImplementedError(f"{name}: flock offers no semaphores")


@hookimpl
def wsrv_register_primitives() -> list[type[Primitive]]:
    return [Flock]
