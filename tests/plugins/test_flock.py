# What only this primitive promises; the rest is in tests/contracts, kills at random moments are in tests/sync.
"""Locks on files: who has opened what, and what makes them unavailable."""

import errno
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.support.refusing import refusing
from wsrv.plugins.primitives.flock import Flock, FlockLock
from wsrv.testing.processes import Child, Gate, open_fds

UNUSED = memoryview(bytearray(64))


@pytest.fixture
def lock() -> Iterator[FlockLock]:
    made = FlockLock("the writer")
    yield made
    made.close()


def test_a_process_opens_the_file_when_it_first_needs_the_lock_and_once(lock: FlockLock) -> None:
    before = open_fds()
    for _ in range(3):
        assert lock.acquire()
        lock.release()
    assert len(open_fds() - before) == 1


def test_threads_that_need_it_first_at_once_open_it_once(lock: FlockLock) -> None:
    before = open_fds()
    together = threading.Barrier(8)

    def work() -> None:
        together.wait()
        assert lock.acquire()
        lock.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(open_fds() - before) == 1


def test_only_the_file_is_named_not_what_this_process_opened_of_it(lock: FlockLock) -> None:
    named = lock.fds()
    assert lock.acquire()
    assert lock.fds() == named
    lock.release()


def test_a_child_that_kept_everything_opens_the_file_anew_all_the_same(lock: FlockLock) -> None:
    assert lock.acquire()

    def work() -> None:
        assert not lock.acquire(0)

    with Child(work, open_fds()):
        pass
    lock.release()


def test_a_childs_child_opens_it_anew_too(lock: FlockLock) -> None:
    def work() -> None:
        assert lock.acquire()

        def grandchild() -> None:
            assert not lock.acquire(0)

        with Child(grandchild, lock.fds()):
            pass
        lock.release()

    with Child(work, lock.fds()):
        pass


def test_the_file_has_no_name(lock: FlockLock) -> None:
    assert os.fstat(lock.fds()[0]).st_nlink == 0


def test_a_wait_that_a_signal_handler_ended_leaves_nothing_taken(lock: FlockLock) -> None:
    released, done = Gate(), Gate()

    def work() -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            raise InterruptedError

        signal.signal(signal.SIGALRM, stop)
        for timeout_seconds in (None, 20.0):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(InterruptedError):
                lock.acquire(timeout_seconds)
        released.open()
        done.wait()
        assert lock.acquire(0)

    assert lock.acquire()
    with Child(work, [*lock.fds(), released.fd, done.fd]):
        released.wait()
        lock.release()
        done.open()
    released.close()
    done.close()


def test_semaphores_are_not_offered() -> None:
    with pytest.raises(NotImplementedError, match="the queue: flock offers no semaphores"):
        Flock.semaphore("the queue", UNUSED, 1)


def test_without_proc_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", refusing(errno.ENOENT))
    reason = Flock.available()
    assert reason is not None
    assert "mount /proc" in reason
    assert "--sync" in reason


def test_a_kernel_without_anonymous_files_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "memfd_create", refusing(errno.ENOSYS))
    reason = Flock.available()
    assert reason is not None
    assert "Function not implemented" in reason


def test_a_kernel_whose_locks_lock_nobody_out_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    reason = Flock.available()
    assert reason is not None
    assert "locks nobody out" in reason
