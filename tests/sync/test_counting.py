# Counts are exact, whoever counts: threads at once, waits that end with nothing, processes that share the guard.
"""Locks and semaphores that count."""

import mmap
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from time import monotonic_ns
from typing import Any

import pytest

from wsrv.engine.shm.row import COUNTERS, FIRST_GUARD, GUARD_INDEX, GUARD_WORDS, GUARDS
from wsrv.engine.sync.counting import ACQUIRED, CONTENDED, TALLY_WORDS, WAIT_NS, CountedLock, CountedSemaphore, Tally
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.primitives.eventfd import Eventfd
from wsrv.plugins.primitives.posix import Posix
from wsrv.testing.processes import Child

PERMITS = 3
AT = 2


@pytest.fixture
def words() -> "array[int]":
    """A tally's words, with others around them."""
    return array("Q", [7] * AT + [0] * TALLY_WORDS + [7])


@pytest.fixture
def memory() -> Iterator[memoryview]:
    with mmap.mmap(-1, CELL_BYTES) as mapping, memoryview(mapping) as cell:
        yield cell


@pytest.fixture
def semaphore(memory: memoryview, words: "array[int]") -> Iterator[CountedSemaphore]:
    made = CountedSemaphore(Posix.semaphore("queue", memory, PERMITS), Tally(words, AT))
    yield made
    made.close()
    assert list(words[:AT]) == [7] * AT
    assert words[AT + TALLY_WORDS] == 7


@pytest.fixture
def lock(memory: memoryview, words: "array[int]") -> Iterator[CountedLock]:
    made = CountedLock(Posix.lock("pool_mutex", memory), Tally(words, AT))
    yield made
    made.close()


def counts(words: "array[int]") -> tuple[int, int, int]:
    return words[AT + ACQUIRED], words[AT + CONTENDED], words[AT + WAIT_NS]


def test_permits_had_at_once_are_counted_one_by_one(semaphore: CountedSemaphore, words: "array[int]") -> None:
    assert semaphore.try_acquire(2) == 2
    assert semaphore.acquire()
    assert counts(words) == (3, 0, 0)


def test_giving_back_is_not_counted(semaphore: CountedSemaphore, words: "array[int]") -> None:
    semaphore.release(5)
    semaphore.reset(1)
    assert semaphore.value() == 1
    assert counts(words) == (0, 0, 0)


def test_to_get_fewer_than_asked_for_is_contended_once(semaphore: CountedSemaphore, words: "array[int]") -> None:
    assert semaphore.try_acquire(PERMITS + 5) == PERMITS
    assert counts(words) == (PERMITS, 1, 0)
    assert semaphore.try_acquire() == 0
    assert counts(words) == (PERMITS, 2, 0)


def test_to_ask_for_nothing_is_neither_acquired_nor_contended(semaphore: CountedSemaphore, words: "array[int]") -> None:
    assert semaphore.try_acquire(0) == 0
    assert counts(words) == (0, 0, 0)


def test_a_wait_in_vain_is_contended_and_timed_but_nothing_acquired(lock: CountedLock, words: "array[int]") -> None:
    assert lock.acquire()
    began_ns = monotonic_ns()
    assert not lock.acquire(0.02)
    took_ns = monotonic_ns() - began_ns
    acquired, contended, wait_ns = counts(words)
    assert (acquired, contended) == (1, 1)
    assert 20_000_000 <= wait_ns <= took_ns


class Late:
    """A semaphore that has a permit only for those who wait; how long they would is noted."""

    name = "queue"

    def __init__(self) -> None:
        self.asked: list[float | None] = []

    def try_acquire(self, count: int = 1) -> int:
        return 0

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        self.asked.append(timeout_seconds)
        time.sleep(0.001)
        return True

    def release(self, count: int = 1) -> None: ...

    def value(self) -> int:
        return 0

    def reset(self, value: int) -> None: ...

    def fds(self) -> list[int]:
        return []

    def close(self) -> None: ...


def test_a_wait_that_ends_with_a_permit_is_acquired_contended_and_timed(words: "array[int]") -> None:
    inner = Late()
    semaphore = CountedSemaphore(inner, Tally(words, AT))
    assert semaphore.acquire()
    assert semaphore.acquire(2.5)
    assert inner.asked == [None, 2.5]
    assert counts(words)[:2] == (2, 2)
    assert counts(words)[2] >= 2_000_000


class Interruptible(array):  # type: ignore[type-arg]  # array is no generic class at run time
    """Words that a thread may be interrupted over between reading and writing one: Python code runs in between."""

    def __getitem__(self, at: Any) -> Any:
        return super().__getitem__(at)


def test_counts_are_exact_under_threads(memory: memoryview) -> None:
    threads, rounds = 8, 2000
    words = Interruptible("Q", [0] * TALLY_WORDS)
    semaphore = CountedSemaphore(Posix.semaphore("queue", memory, threads), Tally(words, 0))

    def work() -> None:
        for _ in range(rounds):
            assert semaphore.try_acquire() == 1
            semaphore.release()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert list(words) == [threads * rounds, 0, 0]
    semaphore.close()


def test_another_process_counts_for_itself(semaphore: CountedSemaphore, words: "array[int]") -> None:
    def work() -> None:
        assert semaphore.acquire()
        assert counts(words) == (1, 0, 0)

    with Child(work):
        pass
    assert counts(words) == (0, 0, 0)
    assert semaphore.value() == PERMITS - 1


def test_the_wrapper_passes_on_the_name_and_the_descriptors(memory: memoryview, words: "array[int]") -> None:
    inner = Eventfd.semaphore("queue", memory, 1)
    counted = CountedSemaphore(inner, Tally(words, AT))
    assert (counted.name, counted.fds()) == ("queue", inner.fds())
    counted.close()
    lock = Eventfd.lock("pool_mutex", memory)
    counted_lock = CountedLock(lock, Tally(words, AT))
    assert (counted_lock.name, counted_lock.fds()) == ("pool_mutex", lock.fds())
    counted_lock.close()


def test_a_row_has_the_words_of_a_tally_for_each_guard() -> None:
    # The rooms do not know each other, so each has the number; here they meet.
    assert GUARD_WORDS == TALLY_WORDS
    assert [GUARD_INDEX[name] for name in GUARDS] == list(range(FIRST_GUARD, COUNTERS, TALLY_WORDS))
