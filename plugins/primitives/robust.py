# Robust POSIX mutexes, process-shared, made in the given memory, and semaphores of a mutex and a futex.
#
#   byte  0   mutex      pthread_mutex_t: 40 bytes with glibc on x86-64, 48 on aarch64
#        48   count      permits free; the futex that waits for them
#        52   quiet      a futex that nobody waits on
#        56   repaired   owners that died and were cleared up after; written by whoever holds the mutex
#
# Rule 1: whoever is told that the owner died (EOWNERDEAD) says pthread_mutex_consistent before anything else, and only
#   what was said so is ever unlocked: a mutex never becomes ENOTRECOVERABLE. A death in between is told again.
# Rule 2: the mutex guards taking only. Giving is one system call, so a worker that was stopped or killed while it gave
#   never holds what the master needs to admit. Takers subtract by such a call too, so that what is given meanwhile is
#   not overwritten.
# Rule 3: the owner is a thread: the C library keeps its list of held mutexes per thread, so a lock is given back by the
#   thread that took it, and the death of a thread is reported like that of a process.
# Rule 4: no wait is longer than a slice, then it looks again: a signal's handler has its turn, and a waiter that was
#   woken and killed before it took its permit costs the others a slice at most.
# Rule 5: what cannot block is called through PyDLL, which keeps the GIL; what waits goes through CDLL. See posix.py.
#
# Signals: a handler that raises may do so between the C library's taking of a semaphore's mutex and our knowing of it.
# That mutex checks for errors, so the thread is told that it has it already, and goes on.
"""Synchronisation primitive `robust`."""

import ctypes
import errno
import mmap
import os
import platform
import time
from typing import Any, ClassVar

from wsrv.engine.sync.primitive import CELL_BYTES, LOCK, SEMAPHORE, SURVIVES_OWNER, Lock, Primitive, Semaphore
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.primitives.futex import Futex, machine_is_known
from wsrv.plugins.primitives.timespec import deadline

_COUNT_AT, _QUIET_AT, _REPAIRED_AT = 48, 52, 56
_MOST_PERMITS = 2**31 - 1

_SLICE_SECONDS = 1.0
# How long try_acquire puts up with another process in the middle of taking: that takes some microseconds, so this is
# long enough for one that lost the CPU, and short for one that was stopped there.
_PATIENCE_SECONDS = 0.05

# glibc and musl agree (pthread.h).
_SHARED = 1
_ROBUST = 1
_NORMAL = 0
_ERRORCHECK = 2
# Larger than any pthread_mutexattr_t.
_ATTRIBUTES_BYTES = 64

_quick = ctypes.PyDLL(None)
_trylock = _quick.pthread_mutex_trylock
_unlock = _quick.pthread_mutex_unlock
_slow = ctypes.CDLL(None)
# glibc has it since 2.30, musl has not. Without it a step of the wall clock moves a deadline.
_clocklock = getattr(_slow, "pthread_mutex_clocklock", None)


class _Mutex:
    """A robust mutex in the first bytes of a cell. Raises OSError."""

    __slots__ = ("_at", "_memory", "_repaired", "address", "name")

    def __init__(self, name: str, memory: memoryview, kind: int) -> None:
        if memory.nbytes < CELL_BYTES:
            raise ValueError(f"{name}: a cell has {CELL_BYTES} bytes, not {memory.nbytes}")
        self.name = name
        # Keeps the mapping from being closed under the mutex; a view can be released, what from_buffer makes cannot.
        self._memory = memoryview(memory)
        self._repaired = self._memory[_REPAIRED_AT:CELL_BYTES].cast("Q")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._at: Any = ctypes.byref(ctypes.c_char.from_address(self.address))
        try:
            self._init(kind)
        except OSError:
            self._let_go()
            raise

    def _init(self, kind: int) -> None:
        attributes = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
        _must(self.name, "pthread_mutexattr_init", attributes)
        _must(self.name, "pthread_mutexattr_setpshared", attributes, _SHARED)
        _must(self.name, "pthread_mutexattr_setrobust", attributes, _ROBUST)
        _must(self.name, "pthread_mutexattr_settype", attributes, kind)
        _must(self.name, "pthread_mutex_init", self._at, attributes)
        _must(self.name, "pthread_mutexattr_destroy", attributes)

    @property
    def repaired(self) -> int:
        """How often an owner died and was cleared up after, in all processes together."""
        return int(self._repaired[0])

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the mutex, for ever without a timeout. Whether this thread holds it now."""
        code = _trylock(self._at)
        if not code:
            return True
        if code != errno.EBUSY:
            return self._had(code)
        if timeout_seconds is None:
            while not self._wait(_SLICE_SECONDS):
                pass
            return True
        end = time.monotonic() + timeout_seconds
        while (left := end - time.monotonic()) > 0:
            if self._wait(min(left, _SLICE_SECONDS)):
                return True
        return False

    def _wait(self, seconds: float) -> bool:
        if _clocklock is None:
            return self._had(_slow.pthread_mutex_timedlock(self._at, deadline(time.CLOCK_REALTIME, seconds)))
        clock = time.CLOCK_MONOTONIC
        return self._had(_clocklock(self._at, clock, deadline(clock, seconds)))

    def _had(self, code: int) -> bool:
        """Whether the mutex was had, by what the C library said; an owner's death is cleared up after at once."""
        if code == errno.EOWNERDEAD:
            _must(self.name, "pthread_mutex_consistent", self._at)
            self._repaired[0] += 1
            return True
        if code == errno.EDEADLK:
            # Maybe the handler raised before the mutex was said to be consistent; where it is, that does nothing.
            _quick.pthread_mutex_consistent(self._at)
            return True
        if not code:
            return True
        if code in (errno.ETIMEDOUT, errno.EBUSY):
            return False
        raise OSError(code, f"{self.name}: {os.strerror(code)}")

    def release(self) -> None:
        """Give the mutex back. Raises OSError (EPERM) when it is another thread's."""
        code = _unlock(self._at)
        if code:
            raise OSError(code, f"{self.name}: {os.strerror(code)}")

    def close(self) -> None:
        """Destroy the mutex and let go of the memory, which may be unmapped now."""
        # The C library's list of what this thread holds must not lead into unmapped memory.
        _unlock(self._at)
        _quick.pthread_mutex_destroy(self._at)
        self._let_go()

    def _let_go(self) -> None:
        del self._at
        self._repaired.release()
        self._memory.release()


def _must(name: str, function: str, *arguments: Any) -> None:
    """Call `function` of the C library. Raises OSError when it fails."""
    code = getattr(_quick, function)(*arguments)
    if code:
        raise OSError(code, f"{function} of {name}: {os.strerror(code)}")


class RobustLock(_Mutex):
    """A robust mutex: pthread_mutexattr_setrobust(3). Given back by the thread that took it."""

    __slots__ = ()

    def __init__(self, name: str, memory: memoryview) -> None:
        super().__init__(name, memory, _NORMAL)

    def fds(self) -> list[int]:
        """None: it is in the memory."""
        return []


class RobustSemaphore:
    """A count, a robust mutex for those who take from it, and a futex (futex(2)) for those who wait.

    The death of a process leaves it whole; permits that the dead one held are given back by whoever reaps it.
    """

    __slots__ = ("_count", "_futex", "_mutex", "name")

    def __init__(self, name: str, memory: memoryview, value: int) -> None:
        if not 0 <= value <= _MOST_PERMITS:
            raise OSError(errno.EINVAL, f"{name} with {value} permits: {os.strerror(errno.EINVAL)}")
        self._mutex = _Mutex(name, memory, _ERRORCHECK)
        self.name = name
        self._count = memory[_COUNT_AT:_QUIET_AT].cast("i")
        self._count[0] = value
        self._futex = Futex(self._mutex.address + _COUNT_AT, self._mutex.address + _QUIET_AT)

    @property
    def repaired(self) -> int:
        """How often a process died in the middle of taking and was cleared up after."""
        return self._mutex.repaired

    def try_acquire(self, count: int = 1) -> int:
        """Take up to `count` permits; how many were had. None when another process was stopped while it took some."""
        mutex = self._mutex
        # Nothing free: not worth the mutex. What is given at this very moment might as well come a moment later.
        if not self._count[0] or not mutex.acquire(_PATIENCE_SECONDS):
            return 0
        try:
            had = min(self._count[0], count)
            self._futex.subtract(had)
        finally:
            mutex.release()
        return had

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for one permit, for ever without a timeout. A signal handler runs, and may end the wait by raising."""
        if self.try_acquire():
            return True
        end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            left = _SLICE_SECONDS if end is None else min(_SLICE_SECONDS, end - time.monotonic())
            if left <= 0:
                return False
            self._futex.wait_while_zero(left)
            if self.try_acquire():
                return True

    def release(self, count: int = 1) -> None:
        """Give `count` permits back and wake as many. Raises OSError (EOVERFLOW) past 2,147,483,647."""
        if self._count[0] + count > _MOST_PERMITS:
            raise OSError(errno.EOVERFLOW, f"{self.name}: {os.strerror(errno.EOVERFLOW)}")
        self._futex.add(count)

    def value(self) -> int:
        """Permits free at this moment."""
        return int(self._count[0])

    def reset(self, value: int) -> None:
        """Set the permits to `value` and wake whoever waits."""
        self._mutex.acquire()
        try:
            self._count[0] = value
        finally:
            self._mutex.release()
        self._futex.wake_all()

    def fds(self) -> list[int]:
        """None: it is in the memory."""
        return []

    def close(self) -> None:
        """Let go of the memory, which may be unmapped now."""
        del self._futex
        self._count.release()
        self._mutex.close()


class Robust:
    """Robust mutexes: pthread_mutexattr_setrobust(3), Linux's robust futexes (Documentation/locking/robust-futexes)."""

    NAME: ClassVar[str] = "robust"
    OFFERS: ClassVar[frozenset[str]] = frozenset({LOCK, SEMAPHORE, SURVIVES_OWNER})

    @classmethod
    def available(cls) -> str | None:
        """None, unless the system does not tell of an owner's death, or has no futex call that we know."""
        if not machine_is_known():
            return f"the number of the futex call on {platform.machine()} is not known to wsrv; use another --sync"
        with mmap.mmap(-1, CELL_BYTES) as memory, memoryview(memory) as cell:
            try:
                return _probe(cell)
            except (OSError, AttributeError) as error:
                return f"the system makes no robust process-shared locks ({error}); use another --sync"

    @classmethod
    def lock(cls, name: str, memory: memoryview) -> Lock:
        """A lock in `memory`. Raises OSError."""
        return RobustLock(name, memory)

    @classmethod
    def semaphore(cls, name: str, memory: memoryview, value: int) -> Semaphore:
        """A semaphore of `value` permits in `memory`. Raises OSError."""
        return RobustSemaphore(name, memory, value)


def _probe(cell: memoryview) -> str | None:
    """Let a process die with a lock in its hands, and see. Raises OSError."""
    lock = RobustLock("probe", cell)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                lock.acquire(0)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        if not lock.acquire(0) or not lock.repaired:
            return "the kernel does not tell of the death of a lock's owner; use another --sync"
    finally:
        lock.close()
    cell[:] = bytes(CELL_BYTES)
    semaphore = RobustSemaphore("probe", cell, 0)
    try:
        semaphore.release(2)
        if semaphore.try_acquire(3) != 2:
            return "the kernel has no FUTEX_WAKE_OP; use another --sync"
    finally:
        semaphore.close()
    return None


@hookimpl
def wsrv_register_primitives() -> list[type[Primitive]]:
    return [Robust]
