# What only this primitive promises; the rest is in tests/contracts.
"""POSIX semaphores: limits, errors, and what a closed one does."""

import errno
import mmap
import time

import pytest

from tests.support.refusing import refusing
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.primitives import posix
from wsrv.plugins.primitives.posix import Posix, PosixSemaphore

SEM_VALUE_MAX = 2**31 - 1


def test_more_permits_than_there_can_be_are_refused_by_name(memory: memoryview) -> None:
    with pytest.raises(OSError, match="sem_init of the queue with 2147483648") as refused:
        Posix.semaphore("the queue", memory, SEM_VALUE_MAX + 1)
    assert refused.value.errno == errno.EINVAL


def test_a_permit_past_the_most_there_can_be_is_an_error(memory: memoryview) -> None:
    semaphore = Posix.semaphore("the queue", memory, SEM_VALUE_MAX)
    with pytest.raises(OSError, match="the queue") as refused:
        semaphore.release()
    assert refused.value.errno == errno.EOVERFLOW
    assert semaphore.value() == SEM_VALUE_MAX
    semaphore.close()


def test_a_cell_that_is_too_small_is_refused(memory: memoryview) -> None:
    with pytest.raises(ValueError, match="a cell has 64 bytes, not 16"):
        Posix.lock("the queue", memory[:16])


def test_a_closed_semaphore_touches_no_memory(memory: memoryview) -> None:
    semaphore = Posix.semaphore("the queue", memory, 1)
    semaphore.close()
    with pytest.raises(AttributeError):
        semaphore.try_acquire()


def test_the_mapping_cannot_be_closed_under_an_open_semaphore() -> None:
    mapping = mmap.mmap(-1, CELL_BYTES)
    semaphore = Posix.semaphore("the queue", memoryview(mapping), 1)
    with pytest.raises(BufferError):
        mapping.close()
    semaphore.close()
    mapping.close()


def test_without_sem_clockwait_a_wait_ends_in_time_too(memory: memoryview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posix, "_sem_clockwait", None)
    semaphore = PosixSemaphore("the queue", memory, 0)
    before = time.monotonic()
    assert not semaphore.acquire(0.02)
    assert time.monotonic() - before >= 0.019  # another clock than the one waited on
    semaphore.close()


def test_a_library_that_cannot_share_semaphores_makes_posix_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Posix, "lock", refusing(errno.ENOSYS))
    reason = Posix.available()
    assert reason is not None
    assert "Function not implemented" in reason
    assert "--sync" in reason
