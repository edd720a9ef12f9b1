"""Robust semaphores: limits, errors, what a closed one does, and what makes them unavailable."""

import ctypes
import errno
import mmap
import os

import pytest

from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.primitives import futex, robust
from wsrv.plugins.primitives.robust import Robust, RobustSemaphore

MOST_PERMITS = 2**31 - 1


def test_more_permits_than_one_call_can_add_or_take(semaphore: RobustSemaphore) -> None:
    semaphore.release(100_000)
    assert semaphore.value() == 100_003
    assert semaphore.try_acquire(99_999) == 99_999
    assert semaphore.value() == 4


def test_a_permit_past_the_most_there_can_be_is_an_error(semaphore: RobustSemaphore) -> None:
    semaphore.reset(MOST_PERMITS)
    with pytest.raises(OSError, match="the queue") as refused:
        semaphore.release()
    assert refused.value.errno == errno.EOVERFLOW
    assert semaphore.value() == MOST_PERMITS


@pytest.mark.parametrize("value", [-1, MOST_PERMITS + 1])
def test_more_permits_than_there_can_be_are_refused_by_name(memory: memoryview, value: int) -> None:
    with pytest.raises(OSError, match=f"the queue with {value} permits") as refused:
        Robust.semaphore("the queue", memory, value)
    assert refused.value.errno == errno.EINVAL


def test_a_cell_that_is_too_small_is_refused(memory: memoryview) -> None:
    with pytest.raises(ValueError, match="a cell has 64 bytes, not 16"):
        Robust.lock("the queue", memory[:16])


def test_closed_ones_touch_no_memory(memory: memoryview) -> None:
    lock = Robust.lock("the queue", memory)
    lock.close()
    with pytest.raises(AttributeError):
        lock.acquire()
    memory[:] = bytes(CELL_BYTES)
    semaphore = Robust.semaphore("the queue", memory, 1)
    semaphore.close()
    with pytest.raises(ValueError, match="released"):
        semaphore.try_acquire()
    with pytest.raises(ValueError, match="released"):
        semaphore.release()


def test_the_mapping_cannot_be_closed_under_an_open_one() -> None:
    mapping = mmap.mmap(-1, CELL_BYTES)
    semaphore = Robust.semaphore("the queue", memoryview(mapping), 1)
    with pytest.raises(BufferError):
        mapping.close()
    semaphore.close()
    mapping.close()


def test_what_the_c_library_refuses_is_told_by_name(memory: memoryview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "_ROBUST", 77)
    with pytest.raises(OSError, match="pthread_mutexattr_setrobust of the writer"):
        Robust.lock("the writer", memory)
    reason = Robust.available()
    assert reason is not None
    assert "makes no robust process-shared locks" in reason
    assert "--sync" in reason


def test_a_system_that_does_not_tell_of_deaths_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "_ROBUST", 0)
    reason = Robust.available()
    assert reason is not None
    assert "death of a lock's owner" in reason


def test_a_machine_whose_futex_call_is_not_known_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futex, "_NUMBER", ctypes.c_long(-1))
    reason = Robust.available()
    assert reason is not None
    assert os.uname().machine in reason


def test_a_kernel_that_refuses_the_futex_call_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futex, "_WAKE_OP", 99)
    reason = Robust.available()
    assert reason is not None
    assert "Function not implemented" in reason
