# What whoever guards something with a lock relies on, whatever the primitive.
"""The contract of a synchronisation primitive that offers locks, across processes."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import ClassVar

import pytest

from wsrv.engine.sync.primitive import CELL_BYTES, LOCK, SURVIVES_OWNER, Lock
from wsrv.testing.primitive import PROCESSES, ROUNDS, PrimitiveContract, Shared, kept
from wsrv.testing.processes import BOUND_SECONDS, Child, Gate, open_fds


class LockContract(PrimitiveContract):
    """What a primitive does that offers locks."""

    covered: ClassVar[frozenset[str]] = frozenset({LOCK})

    @pytest.fixture
    def lock(self, shared: Shared) -> Iterator[Lock]:
        made = self.primitive.lock("the thing", shared.cell)
        yield made
        made.close()

    def test_of_several_processes_one_at_a_time_is_inside_a_lock(self, lock: Lock, shared: Shared) -> None:
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

    def test_a_lock_that_is_held_is_not_had_in_time_and_is_had_after_its_release(self, lock: Lock, gate: Gate) -> None:
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

    def test_a_child_does_not_hold_the_lock_that_its_parent_held_at_the_fork(self, lock: Lock) -> None:
        assert lock.acquire()

        def work() -> None:
            assert not lock.acquire(0.02)

        with Child(work, kept(lock)):
            pass
        lock.release()

    def test_of_several_threads_one_at_a_time_is_inside_a_lock(self, lock: Lock) -> None:
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

    def test_a_thread_of_a_child_is_kept_out_by_another_of_its_threads(self, lock: Lock) -> None:
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

    def test_a_process_killed_while_it_waited_for_a_lock_is_not_waited_for(self, lock: Lock, gate: Gate) -> None:
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

    def test_the_death_of_a_locks_owner_is_survived_where_that_is_offered_and_only_there(
        self, shared: Shared, gate: Gate
    ) -> None:
        lock = self.primitive.lock("the thing", shared.cell)

        def work() -> None:
            assert lock.acquire()
            gate.open()
            signal.pause()

        with Child(work, kept(lock, gate)) as owner:
            gate.wait()
            owner.kill()
        assert lock.acquire(0.1) is (SURVIVES_OWNER in self.primitive.OFFERS)
        lock.close()

    def test_the_descriptors_that_a_lock_names_are_open_and_close_on_exec(self, lock: Lock) -> None:
        assert not [fd for fd in lock.fds() if os.get_inheritable(fd)]

    def test_close_of_a_lock_gives_back_descriptors_and_memory(self, shared: Shared) -> None:
        # The fixture closes the mapping, which fails while anything holds its memory.
        before = open_fds()
        for _ in range(50):
            lock = self.primitive.lock("the thing", shared.cell)
            assert lock.acquire()
            lock.release()
            lock.close()
            shared.cell[:] = bytes(CELL_BYTES)
        assert open_fds() == before
