# Process-shared unnamed POSIX semaphores, made in the given memory by sem_init(3).
#
# They need neither /dev/shm nor a descriptor, and vanish with the mapping. Nobody records an owner: a permit or a
# lock that was held stays taken when its holder is killed, so SURVIVES_OWNER is not offered.
#
# Rule 1: what cannot block is called through PyDLL, which keeps the GIL: an uncontended pair through CDLL, which
#   gives the GIL up, was seen to stall for 5.6 ms behind another thread. Only what waits goes through CDLL.
# Rule 2: a closed object has lost its address: using it raises AttributeError instead of writing to freed memory.
"""Synchronisation primitive `posix`."""

import ctypes
import errno
import mmap
import os
import time
from typing import Any, ClassVar

from wsrv.engine.sync.primitive import CELL_BYTES, LOCK, SEMAPHORE, Lock, Primitive, Semaphore
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.primitives.timespec import deadline

_PSHARED = 1

# The semaphore is always given as byref(cell), and argtypes are left undeclared: with them, and the address as an int,
# an uncontended pair takes 0.24 us instead of 0.18.
_quick = ctypes.PyDLL(None)
_sem_trywait = _quick.sem_trywait
_sem_post = _quick.sem_post
_sem_getvalue = _quick.sem_getvalue

_slow = ctypes.CDLL(None, use_errno=True)
_sem_init = _slow.sem_init
_sem_init.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint)
_sem_destroy = _slow.sem_destroy
_sem_wait = _slow.sem_wait
_sem_timedwait = _slow.sem_timedwait
# glibc has it since 2.30, musl has not. Without it a step of the wall clock moves a deadline.
_sem_clockwait = getattr(_slow, "sem_clockwait", None)


class _Cell:
    """One semaphore in one cell: what a lock and a counting semaphore share. Raises OSError."""

    __slots__ = ("_memory", "_sem", "name")

    def __init__(self, name: str, memory: memoryview, value: int) -> None:
        if memory.nbytes < CELL_BYTES:
            raise ValueError(f"{name}: a cell has {CELL_BYTES} bytes, not {memory.nbytes}")
        self.name = name
        # Keeps the mapping from being closed under the semaphore. A view, for it can be released: an object made by
        # from_buffer would hold the mapping until the last traceback that mentions it is gone.
        self._memory = memoryview(memory)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._sem: Any = ctypes.byref(ctypes.c_char.from_address(address))
        try:
            self._init(value)
        except OSError:
            self._memory.release()
            raise

    def _init(self, value: int) -> None:
        if _sem_init(self._sem, _PSHARED, value):
            code = ctypes.get_errno()
            raise OSError(code, f"sem_init of {self.name} with {value}: {os.strerror(code)}")

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for one permit, for ever without a timeout. A signal handler runs, and may end the wait by raising."""
        sem = self._sem
        if not _sem_trywait(sem):
            return True
        if timeout_seconds is None:
            while _sem_wait(sem):
                _must_be(errno.EINTR)
            return True
        clock = time.CLOCK_REALTIME if _sem_clockwait is None else time.CLOCK_MONOTONIC
        until = deadline(clock, timeout_seconds)
        while _sem_timedwait(sem, until) if _sem_clockwait is None else _sem_clockwait(sem, clock, until):
            if _must_be(errno.EINTR, errno.ETIMEDOUT) == errno.ETIMEDOUT:
                return False
        return True

    def fds(self) -> list[int]:
        """None: it is in the memory."""
        return []

    def close(self) -> None:
        """Destroy the semaphore and let go of the memory, which may be unmapped now."""
        _sem_destroy(self._sem)
        del self._sem
        self._memory.release()


def _must_be(*expected: int) -> int:
    """The errno of the wait that has failed. Raises OSError when it is none of these."""
    code = ctypes.get_errno()
    if code not in expected:
        raise OSError(code, os.strerror(code))
    return code


class PosixLock(_Cell):
    """A semaphore of one permit. Whoever holds it may be another process than the one that gives it back."""

    __slots__ = ()

    def __init__(self, name: str, memory: memoryview) -> None:
        super().__init__(name, memory, 1)

    def release(self) -> None:
        """Give the lock back."""
        _sem_post(self._sem)


class PosixSemaphore(_Cell):
    """A counting semaphore of at most SEM_VALUE_MAX (2,147,483,647) permits."""

    __slots__ = ()

    def try_acquire(self, count: int = 1) -> int:
        """Take up to `count` permits without waiting; how many were had. 0.1 us a permit."""
        sem, trywait = self._sem, _sem_trywait
        for had in range(count):
            if trywait(sem):
                return had
        return count

    def release(self, count: int = 1) -> None:
        """Give `count` permits back. Raises OSError (EOVERFLOW) past SEM_VALUE_MAX."""
        sem, post = self._sem, _sem_post
        for _ in range(count):
            if post(sem):
                raise OSError(errno.EOVERFLOW, f"{self.name}: {os.strerror(errno.EOVERFLOW)}")

    def value(self) -> int:
        """Permits free at this moment."""
        value = ctypes.c_int()
        _sem_getvalue(self._sem, ctypes.byref(value))
        return value.value

    def reset(self, value: int) -> None:
        """Make the semaphore anew, with `value` permits: that forgets those who were killed while they waited, too."""
        _sem_destroy(self._sem)
        self._init(value)


class Posix:
    """Process-shared unnamed semaphores: sem_init(3), sem_overview(7). The report's own five were of this kind."""

    NAME: ClassVar[str] = "posix"
    OFFERS: ClassVar[frozenset[str]] = frozenset({LOCK, SEMAPHORE})

    @classmethod
    def available(cls) -> str | None:
        """None, unless the C library refuses to share a semaphore between processes."""
        with mmap.mmap(-1, CELL_BYTES) as memory:
            try:
                probe = cls.lock("probe", memoryview(memory))
            except OSError as error:
                return f"the C library makes no process-shared semaphores ({error.strerror}); use another --sync"
            probe.close()
        return None

    @classmethod
    def lock(cls, name: str, memory: memoryview) -> Lock:
        """A lock in `memory`. Raises OSError."""
        return PosixLock(name, memory)

    @classmethod
    def semaphore(cls, name: str, memory: memoryview, value: int) -> Semaphore:
        """A semaphore of `value` permits in `memory`. Raises OSError."""
        return PosixSemaphore(name, memory, value)


@hookimpl
def wsrv_register_primitives() -> list[type[Primitive]]:
    return [Posix]
