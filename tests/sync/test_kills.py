# Whoever is killed at whatever instruction, nothing is stuck afterwards: each primitive in each of its uses.
#
# The moments come from a seed, so that a failure can be looked for again; where a process is at such a moment the
# scheduler decides.
"""Holders of guards killed at random moments."""

import fcntl
import mmap
import os
import random
import struct
import termios
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from wsrv.engine.shm.row import COUNTERS
from wsrv.engine.sync.primitive import CELL_BYTES, LOCK, SEMAPHORE, SURVIVES_OWNER, Primitive
from wsrv.engine.worker.pool import FilePool, PoolLocks
from wsrv.plugins.registry import load
from wsrv.testing.processes import BOUND_SECONDS, Child, Gate

PRIMITIVES = load().primitives
SEMAPHORES = [name for name, primitive in PRIMITIVES.items() if SEMAPHORE in primitive.OFFERS]
POOLS = [name for name, primitive in PRIMITIVES.items() if {SEMAPHORE, LOCK} <= primitive.OFFERS]
SURVIVING = [name for name, primitive in PRIMITIVES.items() if {LOCK, SURVIVES_OWNER} <= primitive.OFFERS]

SEED = 20261123
KILLS = 40
LONGEST_SECONDS = 0.004
CELLS = 3


class Arena:
    """Cells for guards, and words that parent and children see."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, (CELLS + 1) * CELL_BYTES)
        self.cells = [memoryview(self._map)[i * CELL_BYTES : (i + 1) * CELL_BYTES] for i in range(CELLS)]
        self.words = memoryview(self._map)[CELLS * CELL_BYTES :].cast("Q")

    def clear(self) -> None:
        for cell in self.cells:
            cell[:] = bytes(CELL_BYTES)

    def close(self) -> None:
        for view in (*self.cells, self.words):
            view.release()
        self._map.close()


@pytest.fixture
def arena(nothing_left_behind: None) -> Iterator[Arena]:
    made = Arena()
    yield made
    made.close()


@pytest.fixture
def moments() -> random.Random:
    return random.Random(SEED)


def usable(name: str) -> type[Primitive]:
    reason = PRIMITIVES[name].available()
    if reason is not None:
        pytest.skip(reason)
    return PRIMITIVES[name]


def let_pass(seconds: float) -> None:
    """Let some time pass: the moment of a kill, never a wait for something."""
    time.sleep(seconds)


def goes_on(words: memoryview) -> None:
    """Wait until word 0 has grown, for BOUND_SECONDS at most."""
    before, end = words[0], time.monotonic() + BOUND_SECONDS
    while words[0] <= before + 10:
        assert time.monotonic() < end, "the survivors do not go on"
        os.sched_yield()


@pytest.mark.parametrize("name", SEMAPHORES)
def test_admission_goes_on_when_workers_are_killed_and_reaped(name: str, arena: Arena, moments: random.Random) -> None:
    # As between master and worker: permits are taken before sending and given back after taking; the truth is what
    # lies in the channel.
    capacity = 64
    queue = usable(name).semaphore("queue", arena.cells[0], capacity)
    receiver, sender = os.pipe()

    def depth() -> int:
        return int(struct.unpack("i", fcntl.ioctl(receiver, termios.FIONREAD, bytes(4)))[0])

    def serve() -> None:
        while taken := os.read(receiver, 16):
            queue.release(len(taken))

    for _ in range(KILLS):
        with Child(serve, [*queue.fds(), receiver]) as worker:
            end = time.monotonic() + moments.uniform(0, LONGEST_SECONDS)
            while time.monotonic() < end:
                os.write(sender, bytes(queue.try_acquire(moments.randint(1, 16))))
            worker.kill()
        queue.reset(capacity - depth())
        assert queue.value() == capacity - depth()
    with Child(serve, [*queue.fds(), receiver]):
        os.write(sender, bytes(queue.try_acquire(capacity)))
        os.close(sender)
    assert queue.value() == capacity
    os.close(receiver)
    queue.close()


@pytest.mark.parametrize("name", SEMAPHORES)
def test_kills_lose_no_more_permits_than_were_held_and_make_none(
    name: str, arena: Arena, moments: random.Random
) -> None:
    permits = 8 * KILLS
    semaphore = usable(name).semaphore("the thing", arena.cells[0], permits)

    def work() -> None:
        while True:
            had = semaphore.try_acquire(2)
            arena.words[0] += 1
            semaphore.release(had)

    for _ in range(KILLS):
        with Child(work, semaphore.fds()) as one, Child(work, semaphore.fds()) as other:
            let_pass(moments.uniform(0, LONGEST_SECONDS))
            one.kill()
            goes_on(arena.words)
            other.kill()
    assert permits - 2 * 2 * KILLS <= semaphore.value() <= permits
    semaphore.reset(7)
    assert semaphore.try_acquire(9) == 7
    semaphore.close()


def find_nothing() -> None:
    """The least that a job can be."""


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_works_with_guards_made_anew_in_the_cells_of_a_killed_worker(
    name: str, arena: Arena, moments: random.Random
) -> None:
    primitive = usable(name)
    threads, places = 4, 8

    def serve(locks: PoolLocks, works: Gate) -> None:
        pool = FilePool(threads, locks.counted(array("Q", [0] * COUNTERS)))
        done = 0
        while done <= places:
            pool.submit(b"key", find_nothing, 0)
            done += len(pool.take())
        works.open()
        while True:
            pool.submit(b"key", find_nothing, 0)
            pool.take()

    for _ in range(KILLS // 2):
        arena.clear()
        locks = PoolLocks(
            primitive.semaphore("pool_empty", arena.cells[0], places),
            primitive.semaphore("pool_filled", arena.cells[1], 0),
            primitive.lock("pool_mutex", arena.cells[2]),
        )
        works = Gate()
        kept = [works.fd, *(fd for guard in locks for fd in guard.fds())]
        with Child(partial(serve, locks, works), kept) as worker:
            works.wait()
            let_pass(moments.uniform(0, LONGEST_SECONDS))
            worker.kill()
        for guard in locks:
            guard.close()
        works.close()


@pytest.mark.parametrize("name", SURVIVING)
def test_others_go_on_when_the_owner_of_a_surviving_lock_is_killed(
    name: str, arena: Arena, moments: random.Random
) -> None:
    lock = usable(name).lock("the writer", arena.cells[0])
    words = arena.words

    def work() -> None:
        while True:
            assert lock.acquire()
            seen = words[0]
            words[0] = seen + 1
            words[1] = seen + 1
            lock.release()

    with ExitStack() as stack:
        children = [stack.enter_context(Child(work, lock.fds())) for _ in range(3)]
        for _ in range(KILLS):
            let_pass(moments.uniform(0, LONGEST_SECONDS))
            children.pop(0).kill()
            goes_on(words)
            children.append(stack.enter_context(Child(work, lock.fds())))
        for child in children:
            child.kill()
    # Whoever was killed between the two words left the second one behind by one; the next put it right.
    assert lock.acquire(BOUND_SECONDS)
    assert words[0] - words[1] in (0, 1)
    lock.release()
    lock.close()
