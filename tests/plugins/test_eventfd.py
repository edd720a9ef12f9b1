# What only this primitive promises; the rest is in tests/contracts, kills at random moments are in tests/sync.
"""Eventfds: counts, limits, and what makes them unavailable."""

import errno
import os
from collections.abc import Iterator

import pytest

from tests.support.refusing import refusing
from wsrv.plugins.primitives import eventfd
from wsrv.plugins.primitives.eventfd import Eventfd, EventfdSemaphore
from wsrv.testing.processes import Child, open_fds

UNUSED = memoryview(bytearray(64))


@pytest.fixture
def semaphore() -> Iterator[EventfdSemaphore]:
    """Three permits."""
    made = EventfdSemaphore("the queue", 3)
    yield made
    made.close()


@pytest.mark.parametrize("value", [0, 9, 10, 0xFFFF_FFFF])
def test_the_count_is_read_as_the_hexadecimal_that_it_is(value: int) -> None:
    semaphore = EventfdSemaphore("the queue", value)
    assert semaphore.value() == value
    semaphore.close()


@pytest.mark.parametrize("value", [-1, 2**32])
def test_more_permits_than_there_can_be_are_refused_by_name(value: int) -> None:
    with pytest.raises(OSError, match=f"the queue with {value} permits") as refused:
        Eventfd.semaphore("the queue", UNUSED, value)
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize("value", [0, 1, 3, 300])
def test_reset_goes_either_way(semaphore: EventfdSemaphore, value: int) -> None:
    semaphore.reset(value)
    assert semaphore.value() == value


def test_each_names_its_one_descriptor(semaphore: EventfdSemaphore) -> None:
    before = open_fds()
    lock = Eventfd.lock("the mutex", UNUSED)
    assert {*lock.fds()} == open_fds() - before
    assert lock.fds() != semaphore.fds()
    lock.close()


def test_a_process_that_did_not_keep_the_descriptor_is_told(semaphore: EventfdSemaphore) -> None:
    def work() -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            semaphore.try_acquire()

    with Child(work):
        pass


def test_the_cell_stays_untouched() -> None:
    memory = memoryview(bytearray(64))
    semaphore = Eventfd.semaphore("the queue", memory, 5)
    semaphore.close()
    assert bytes(memory) == bytes(64)


def test_without_proc_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventfd, "_COUNT_FIELD", b"not-there:")
    reason = Eventfd.available()
    assert reason is not None
    assert "mount /proc" in reason


def test_a_kernel_that_reads_none_without_waiting_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "preadv", refusing(errno.EOPNOTSUPP))
    reason = Eventfd.available()
    assert reason is not None
    assert "Linux 5.8" in reason
    assert "--sync" in reason


def test_a_kernel_that_makes_none_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "eventfd", refusing(errno.ENOSYS))
    reason = Eventfd.available()
    assert reason is not None
    assert "Function not implemented" in reason
