# What admission, the file pool and the shared cache rely on, whatever the primitive.
"""Every registered synchronisation primitive does what the protocol says, across processes."""

import mmap
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from types import FrameType

import pytest

from tests.contracts.processes import BOUND_SECONDS, Child, Gate, open_fds
from wsrv.engine.sync.primitive import CELL_BYTES, LOCK, SEMAPHORE, SURVIVES_OWNER, Lock, Primitive, Semaphore
from wsrv.plugins.registry import load

PRIMITIVES = load().primitives
LOCKS = [name for name, primitive in PRIMITIVES.items() if LOCK in primitive.OFFERS]
SEMAPHORES = [name for name, primitive in PRIMITIVES.items() if SEMAPHORE in primitive.OFFERS]

PERMITS = 3
PROCESSES = 4
ROUNDS = 400


class Shared:
    """A shared mapping: cell 0 for the object under test, the words of cell 1 for the test's own counting."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 2 * CELL_BYTES)
        self.cell = memoryview(self.memory)[:CELL_BYTES]
        self.words = memoryview(self.memory)[CELL_BYTES:].cast("Q")

    def close(self) -> None:
        """Raises BufferError when somebody still holds the memory."""
        self.cell.release()
        self.words.release()
        self.memory.close()


@pytest.fixture
def shared(nothing_left_behind: None) -> Iterator[Shared]:
    made = Shared()
    yield made
    made.close()


def usable(name: str) -> type[Primitive]:
    reason = PRIMITIVES[name].available()
    if reason is not None:
        pytest.skip(reason)
    return PRIMITIVES[name]


@pytest.fixture(params=LOCKS)
def lock(request: pytest.FixtureRequest, shared: Shared) -> Iterator[Lock]:
    made = usable(request.param).lock("the thing", shared.cell)
    yield made
    made.close()


@pytest.fixture(params=SEMAPHORES)
def semaphore(request: pytest.FixtureRequest, shared: Shared) -> Iterator[Semaphore]:
    """PERMITS permits."""
    made = usable(request.param).semaphore("the thing", shared.cell, PERMITS)
    yield made
    made.close()


@pytest.fixture
def gate(nothing_left_behind: None) -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


def kept(guard: Lock | Semaphore, *gates: Gate) -> set[int]:
    """What a child must not close: what the guard names, and the gates."""
    return {*guard.fds(), *(gate.fd for gate in gates)}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_the_class_says_its_name_what_it_offers_and_whether_it_is_available(name: str) -> None:
    primitive = PRIMITIVES[name]
    assert name == primitive.NAME
    assert primitive.__doc__
    assert primitive.OFFERS.issubset({LOCK, SEMAPHORE, SURVIVES_OWNER})
    assert primitive.OFFERS & {LOCK, SEMAPHORE}
    reason = primitive.available()
    assert reason is None or " " in reason


def test_of_several_processes_one_at_a_time_is_inside_a_lock(lock: Lock, shared: Shared) -> None:
    def work() -> None:
        for _ in range(ROUNDS):
            assert lock.acquire()
            seen = shared.words[0]
            os.sched_yield()  # whoever is not kept out comes in here
            shared.words[0] = seen + 1
            lock.release()

    with ExitStack() as children:
        for _ in range(PROCESSES):
            children.enter_context(Child(work, kept(lock)))
    assert shared.words[0] == PROCESSES * ROUNDS


def test_a_lock_that_is_held_is_not_had_in_time_and_is_had_after_its_release(lock: Lock, gate: Gate) -> None:
    held, done = gate, Gate()

    def work() -> None:
        assert lock.acquire()
        held.open()
        done.wait()
        lock.release()

    with Child(work, kept(lock, held, done)) as owner:
        held.wait()
        before = time.monotonic()
        assert not lock.acquire(0.05)
        assert time.monotonic() - before >= 0.05
        done.open()
        assert lock.acquire()
        lock.release()
        owner.join()
    done.close()


def test_a_child_does_not_hold_the_lock_that_its_parent_held_at_the_fork(lock: Lock) -> None:
    assert lock.acquire()

    def work() -> None:
        assert not lock.acquire(0.02)

    with Child(work, kept(lock)):
        pass
    lock.release()


def test_of_several_threads_one_at_a_time_is_inside_a_lock(lock: Lock) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(ROUNDS // 4):
            assert lock.acquire()
            inside.append(1)
            most.append(len(inside))
            os.sched_yield()
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == PROCESSES * (ROUNDS // 4)


def test_a_thread_of_a_child_is_kept_out_by_another_of_its_threads(lock: Lock) -> None:
    def work() -> None:
        assert lock.acquire()
        tried: list[bool] = []
        other = threading.Thread(target=lambda: tried.append(lock.acquire(0)))
        other.start()
        other.join()
        assert tried == [False]
        lock.release()

    with Child(work, kept(lock)):
        pass
    assert lock.acquire(0)
    lock.release()


def test_a_process_killed_while_it_waited_for_a_lock_is_not_waited_for(lock: Lock, gate: Gate) -> None:
    assert lock.acquire()

    def work() -> None:
        gate.open()
        lock.acquire()

    with Child(work, kept(lock, gate)) as waiter:
        gate.wait()
        waiter.kill()
    lock.release()
    assert lock.acquire(BOUND_SECONDS)
    lock.release()


@pytest.mark.parametrize("name", LOCKS)
def test_the_death_of_a_locks_owner_is_survived_where_that_is_offered_and_only_there(
    name: str, shared: Shared, gate: Gate
) -> None:
    primitive = usable(name)
    lock = primitive.lock("the thing", shared.cell)

    def work() -> None:
        assert lock.acquire()
        gate.open()
        signal.pause()

    with Child(work, kept(lock, gate)) as owner:
        gate.wait()
        owner.kill()
    assert lock.acquire(0.1) is (SURVIVES_OWNER in primitive.OFFERS)
    lock.close()


def test_permits_are_given_up_to_their_number_and_then_none(semaphore: Semaphore) -> None:
    assert semaphore.value() == PERMITS
    assert semaphore.try_acquire() == 1
    assert semaphore.try_acquire(PERMITS) == PERMITS - 1
    assert semaphore.try_acquire(5) == 0
    assert semaphore.value() == 0
    semaphore.release(PERMITS)
    assert semaphore.value() == PERMITS


def test_nothing_is_taken_when_nothing_is_asked_for(semaphore: Semaphore) -> None:
    assert semaphore.try_acquire(0) == 0
    semaphore.release(0)
    assert semaphore.value() == PERMITS


def test_try_acquire_does_not_wait_for_permits_that_another_process_holds(semaphore: Semaphore) -> None:
    def work() -> None:
        assert semaphore.try_acquire(PERMITS) == PERMITS

    with Child(work, kept(semaphore)):
        pass

    def work_without_permits() -> None:
        assert semaphore.try_acquire() == 0

    with Child(work_without_permits, kept(semaphore)):
        pass


def test_several_processes_together_get_every_permit_once(semaphore: Semaphore, shared: Shared) -> None:
    semaphore.reset(1000)

    def work(number: int) -> None:
        while had := semaphore.try_acquire(7):
            shared.words[number] += had
            os.sched_yield()

    with ExitStack() as children:
        for number in range(PROCESSES):
            children.enter_context(Child(partial(work, number), kept(semaphore)))
    assert sum(shared.words) == 1000
    assert semaphore.value() == 0


def test_permits_are_neither_lost_nor_made_under_contention(semaphore: Semaphore) -> None:
    def work() -> None:
        for _ in range(ROUNDS):
            assert semaphore.acquire()
            os.sched_yield()
            more = semaphore.try_acquire(2)
            semaphore.release(1 + more)

    with ExitStack() as children:
        for _ in range(PROCESSES):
            children.enter_context(Child(work, kept(semaphore)))
    assert semaphore.value() == PERMITS


def test_a_permit_given_back_wakes_a_process_that_waits_for_it(semaphore: Semaphore, gate: Gate) -> None:
    assert semaphore.try_acquire(PERMITS) == PERMITS

    def work() -> None:
        gate.open()
        assert semaphore.acquire()

    with Child(work, kept(semaphore, gate)):
        gate.wait()
        semaphore.release()
    assert semaphore.value() == 0


def test_a_permit_that_does_not_come_is_not_had_in_time(semaphore: Semaphore) -> None:
    semaphore.reset(0)
    before = time.monotonic()
    assert not semaphore.acquire(0.05)
    assert time.monotonic() - before >= 0.05
    assert not semaphore.acquire(0)


def test_signals_neither_end_a_wait_nor_lengthen_it(semaphore: Semaphore) -> None:
    def work() -> None:
        rung = 0

        def ring(number: int, frame: FrameType | None) -> None:
            nonlocal rung
            rung += 1

        semaphore.reset(0)
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        before = time.monotonic()
        assert not semaphore.acquire(0.1)
        assert time.monotonic() - before >= 0.1
        assert rung > 1

    with Child(work, kept(semaphore)):
        pass


def test_a_signal_handler_that_raises_ends_a_wait(semaphore: Semaphore) -> None:
    def work() -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            raise InterruptedError

        semaphore.reset(0)
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        with pytest.raises(InterruptedError):
            semaphore.acquire()

    with Child(work, kept(semaphore)):
        pass


@pytest.mark.parametrize("value", [0, 1, 5000])
def test_reset_sets_the_permits_right_after_their_holder_was_killed(
    semaphore: Semaphore, gate: Gate, value: int
) -> None:
    def work() -> None:
        assert semaphore.try_acquire(2) == 2
        gate.open()
        signal.pause()

    with Child(work, kept(semaphore, gate)) as holder:
        gate.wait()
        holder.kill()
    semaphore.reset(value)
    assert semaphore.value() == value
    assert semaphore.try_acquire(value + 1) == value


def test_reset_forgets_a_process_that_was_killed_while_it_waited(semaphore: Semaphore, gate: Gate) -> None:
    def work() -> None:
        gate.open()
        semaphore.acquire()

    semaphore.reset(0)
    with Child(work, kept(semaphore, gate)) as waiter:
        gate.wait()
        waiter.kill()
    semaphore.reset(0)
    semaphore.release(2)
    assert semaphore.try_acquire(3) == 2


def test_the_descriptors_that_are_named_are_open_and_close_on_exec(semaphore: Semaphore) -> None:
    assert not [fd for fd in semaphore.fds() if os.get_inheritable(fd)]


def test_the_descriptors_that_a_lock_names_are_open_and_close_on_exec(lock: Lock) -> None:
    assert not [fd for fd in lock.fds() if os.get_inheritable(fd)]


@pytest.mark.parametrize("name", PRIMITIVES)
def test_close_gives_back_descriptors_and_memory(name: str, shared: Shared) -> None:
    # The fixture closes the mapping, which fails while anything holds its memory; and compares descriptors.
    primitive = usable(name)
    before = open_fds()
    for _ in range(50):
        if LOCK in primitive.OFFERS:
            lock = primitive.lock("the thing", shared.cell)
            assert lock.acquire()
            lock.release()
            lock.close()
            shared.cell[:] = bytes(CELL_BYTES)
        if SEMAPHORE in primitive.OFFERS:
            primitive.semaphore("the thing", shared.cell, PERMITS).close()
            shared.cell[:] = bytes(CELL_BYTES)
    assert open_fds() == before


@pytest.mark.parametrize("name", SEMAPHORES)
def test_two_objects_in_neighbouring_cells_do_not_touch_each_other(name: str) -> None:
    primitive = usable(name)
    memory = mmap.mmap(-1, 2 * CELL_BYTES)
    one = primitive.semaphore("one", memoryview(memory)[:CELL_BYTES], 1)
    two = primitive.semaphore("two", memoryview(memory)[CELL_BYTES:], 2)
    assert one.try_acquire(9) == 1
    two.release(3)
    assert (one.value(), two.value()) == (0, 5)
    assert (one.name, two.name) == ("one", "two")
    one.close()
    two.close()
    memory.close()
