# What only this primitive promises; the rest is in tests/contracts, kills at random moments are in tests/sync.
"""Robust mutexes and the semaphores made of them: deaths, stops, waits and wakes."""

import ctypes
import errno
import mmap
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.primitives import futex, robust
from wsrv.plugins.primitives.robust import RobustLock, RobustSemaphore
from wsrv.testing.processes import BOUND_SECONDS, Child, Gate


def die_holding(lock: RobustLock) -> None:
    with Child(lambda: assert_had(lock.acquire())):
        pass


def assert_had(had: bool) -> None:
    assert had


def test_deaths_of_owners_are_repaired_and_counted(lock: RobustLock) -> None:
    for deaths in range(1, 4):
        die_holding(lock)
        assert lock.acquire(0)
        lock.release()
        assert lock.repaired == deaths


def test_an_owner_killed_while_somebody_waits_is_succeeded_at_once(lock: RobustLock, gate: Gate) -> None:
    assert lock.acquire()

    def work() -> None:
        gate.open()
        assert lock.acquire(BOUND_SECONDS)
        assert lock.repaired == 1

    released = Gate()
    with Child(lambda: owner_until(lock, released), [released.fd]) as owner:
        lock.release()
        released.wait()
        with Child(work, [gate.fd]):
            gate.wait()
            owner.kill()
    released.close()


def owner_until(lock: RobustLock, taken: Gate) -> None:
    assert lock.acquire()
    taken.open()
    signal.pause()


def test_whoever_dies_before_saying_that_all_is_well_again_is_succeeded_too(lock: RobustLock) -> None:
    die_holding(lock)

    def die_before_saying_so() -> None:
        assert ctypes.PyDLL(None).pthread_mutex_trylock(lock._at) == errno.EOWNERDEAD

    with Child(die_before_saying_so):
        pass
    assert lock.acquire(0)
    lock.release()
    assert lock.acquire(0)
    lock.release()
    assert lock.repaired == 1


def test_the_death_of_a_thread_is_repaired_like_that_of_a_process(lock: RobustLock) -> None:
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    assert lock.acquire(BOUND_SECONDS)  # join() returns before the kernel has ended the thread
    assert lock.repaired == 1
    lock.release()


def test_a_lock_of_another_thread_is_not_given_back(lock: RobustLock) -> None:
    assert lock.acquire()
    refused: list[int | None] = []

    def give_back() -> None:
        try:
            lock.release()
        except OSError as error:
            refused.append(error.errno)

    thread = threading.Thread(target=give_back)
    thread.start()
    thread.join()
    assert refused == [errno.EPERM]
    lock.release()


def test_a_lock_closed_while_it_is_held_leaves_the_threads_list_of_locks_whole() -> None:
    # Else the list would lead into unmapped memory, and the next lock of this thread would write there.
    def work() -> None:
        for _ in range(3):
            mapping = mmap.mmap(-1, CELL_BYTES)
            held = RobustLock("one", memoryview(mapping))
            assert held.acquire()
            held.close()
            mapping.close()

    with Child(work):
        pass


def test_without_clocklock_a_wait_ends_in_time_too(lock: RobustLock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "_clocklock", None)
    held = threading.Event()
    done = threading.Event()

    def hold() -> None:
        lock.acquire()
        held.set()
        done.wait(BOUND_SECONDS)
        lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(BOUND_SECONDS)
    before = time.monotonic()
    assert not lock.acquire(0.02)
    assert time.monotonic() - before >= 0.019  # another clock than the one waited on
    done.set()
    assert lock.acquire(BOUND_SECONDS)
    lock.release()
    holder.join()


def test_whoever_dies_while_taking_permits_leaves_a_whole_semaphore(semaphore: RobustSemaphore) -> None:
    def die_taking() -> None:
        assert semaphore._mutex.acquire()
        semaphore._futex.subtract(1)

    with Child(die_taking):
        pass
    assert semaphore.try_acquire(3) == 2
    assert semaphore.repaired == 1
    semaphore.release(2)
    assert semaphore.value() == 2


def test_one_that_is_stopped_while_taking_keeps_nobody_waiting_and_nobody_from_giving(
    semaphore: RobustSemaphore, gate: Gate
) -> None:
    def stop_taking() -> None:
        assert semaphore._mutex.acquire()
        gate.open()
        signal.pause()

    with Child(stop_taking, [gate.fd]) as stopped:
        gate.wait()
        assert semaphore.try_acquire() == 0
        assert not semaphore.acquire(0)
        semaphore.release(4)
        assert semaphore.value() == 7
        stopped.kill()
    assert semaphore.try_acquire(9) == 7


def test_a_signal_handler_that_raised_inside_of_taking_leaves_nothing_taken(semaphore: RobustSemaphore) -> None:
    # As when the handler ran between the C library's taking of the mutex and our knowing of it.
    assert semaphore._mutex.acquire()
    assert semaphore.try_acquire(2) == 2
    semaphore.reset(5)
    assert semaphore.try_acquire(9) == 5


def test_a_signal_handler_that_raised_before_a_death_was_repaired_leaves_nothing_stuck(
    semaphore: RobustSemaphore,
) -> None:
    with Child(lambda: assert_had(semaphore._mutex.acquire())):
        pass
    assert ctypes.PyDLL(None).pthread_mutex_trylock(semaphore._mutex._at) == errno.EOWNERDEAD
    for _ in range(3):
        assert semaphore.try_acquire() == 1


def test_a_wake_that_never_came_costs_a_slice(semaphore: RobustSemaphore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "_SLICE_SECONDS", 0.01)
    semaphore.reset(0)
    with Child(lambda: assert_had(semaphore.acquire(BOUND_SECONDS))):
        semaphore._count[0] = 1
    assert semaphore.value() == 0


def test_as_many_are_woken_as_permits_are_given(
    semaphore: RobustSemaphore, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robust, "_SLICE_SECONDS", 10 * BOUND_SECONDS)  # nobody looks again unwoken
    semaphore.reset(0)

    def work() -> None:
        gate.open()
        assert semaphore.acquire()

    with ExitStack() as children:
        for _ in range(3):
            children.enter_context(Child(work, [gate.fd]))
        for _ in range(3):
            gate.wait()
        semaphore.release(3)
    assert semaphore.value() == 0


def test_whoever_takes_wakes_nobody(semaphore: RobustSemaphore, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    semaphore.reset(0)

    def sleep() -> None:
        gate.open()
        semaphore._futex.wait_while_zero(BOUND_SECONDS)

    woken: list[int] = []
    real = futex._quick

    def quick(*arguments: object) -> int:
        woken.append(real(*arguments))
        return woken[-1]

    with Child(sleep, [gate.fd]) as sleeper:
        gate.wait()
        while Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            os.sched_yield()
        monkeypatch.setattr(futex, "_quick", quick)
        semaphore._count[0] = 3  # not woken for these
        assert semaphore.try_acquire(2) == 2
        assert woken == [0]
        semaphore.release()
        assert woken == [0, 1]
