# What admission and the file pool rely on, whatever the primitive.
"""The contract of a synchronisation primitive that offers semaphores, across processes."""

import mmap
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from types import FrameType
from typing import ClassVar

import pytest

from wsrv.engine.sync.primitive import CELL_BYTES, SEMAPHORE, Semaphore
from wsrv.testing.primitive import PERMITS, PROCESSES, ROUNDS, PrimitiveContract, Shared, kept
from wsrv.testing.processes import Child, Gate, open_fds


class SemaphoreContract(PrimitiveContract):
    """What a primitive does that offers semaphores."""

    covered: ClassVar[frozenset[str]] = frozenset({SEMAPHORE})

    @pytest.fixture
    def semaphore(self, shared: Shared) -> Iterator[Semaphore]:
        """PERMITS permits."""
        made = self.primitive.semaphore("the thing", shared.cell, PERMITS)
        yield made
        made.close()

    def test_permits_are_given_up_to_their_number_and_then_none(self, semaphore: Semaphore) -> None:
        assert semaphore.value() == PERMITS
        assert semaphore.try_acquire() == 1
        assert semaphore.try_acquire(PERMITS) == PERMITS - 1
        assert semaphore.try_acquire(5) == 0
        assert semaphore.value() == 0
        semaphore.release(PERMITS)
        assert semaphore.value() == PERMITS

    def test_nothing_is_taken_when_nothing_is_asked_for(self, semaphore: Semaphore) -> None:
        assert semaphore.try_acquire(0) == 0
        semaphore.release(0)
        assert semaphore.value() == PERMITS

    def test_try_acquire_does_not_wait_for_permits_that_another_process_holds(self, semaphore: Semaphore) -> None:
        def work() -> None:
            assert semaphore.try_acquire(PERMITS) == PERMITS

        with Child(work, kept(semaphore)):
            pass

        def work_without_permits() -> None:
            assert semaphore.try_acquire() == 0

        with Child(work_without_permits, kept(semaphore)):
            pass

    def test_several_processes_together_get_every_permit_once(self, semaphore: Semaphore, shared: Shared) -> None:
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

    def test_permits_are_neither_lost_nor_made_under_contention(self, semaphore: Semaphore) -> None:
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

    def test_a_permit_given_back_wakes_a_process_that_waits_for_it(self, semaphore: Semaphore, gate: Gate) -> None:
        assert semaphore.try_acquire(PERMITS) == PERMITS

        def work() -> None:
            gate.open()
            assert semaphore.acquire()

        with Child(work, kept(semaphore, gate)):
            gate.wait()
            semaphore.release()
        assert semaphore.value() == 0

    def test_a_permit_that_does_not_come_is_not_had_in_time(self, semaphore: Semaphore) -> None:
        semaphore.reset(0)
        before = time.monotonic()
        assert not semaphore.acquire(0.05)
        assert time.monotonic() - before >= 0.05
        assert not semaphore.acquire(0)

    def test_signals_neither_end_a_wait_nor_lengthen_it(self, semaphore: Semaphore) -> None:
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

    def test_a_signal_handler_that_raises_ends_a_wait(self, semaphore: Semaphore) -> None:
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
        self, semaphore: Semaphore, gate: Gate, value: int
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

    def test_reset_forgets_a_process_that_was_killed_while_it_waited(self, semaphore: Semaphore, gate: Gate) -> None:
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

    def test_the_descriptors_that_are_named_are_open_and_close_on_exec(self, semaphore: Semaphore) -> None:
        assert not [fd for fd in semaphore.fds() if os.get_inheritable(fd)]

    def test_two_objects_in_neighbouring_cells_do_not_touch_each_other(self) -> None:
        memory = mmap.mmap(-1, 2 * CELL_BYTES)
        one = self.primitive.semaphore("one", memoryview(memory)[:CELL_BYTES], 1)
        two = self.primitive.semaphore("two", memoryview(memory)[CELL_BYTES:], 2)
        assert one.try_acquire(9) == 1
        two.release(3)
        assert (one.value(), two.value()) == (0, 5)
        assert (one.name, two.name) == ("one", "two")
        one.close()
        two.close()
        memory.close()

    def test_close_of_a_semaphore_gives_back_descriptors_and_memory(self, shared: Shared) -> None:
        # The fixture closes the mapping, which fails while anything holds its memory.
        before = open_fds()
        for _ in range(50):
            self.primitive.semaphore("the thing", shared.cell, PERMITS).close()
            shared.cell[:] = bytes(CELL_BYTES)
        assert open_fds() == before
