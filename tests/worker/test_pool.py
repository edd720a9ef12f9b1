# The pool's threads are real; the disk is not: work that ends when the test lets it.
"""The file pool: bounded, told to nobody but the loop, and not ended by what its work raises."""

import os
import select
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.worker.guards import BOUND_SECONDS, guards, send_home
from wsrv.engine.static.entity import Entity, NotServed, Redirect
from wsrv.engine.worker.pool import FilePool, Finished

PLACES = 3
Outcome = Callable[[], Entity]


class SlowWork:
    """Work that takes as long as the test says, and gives what the test says."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self, outcome: Outcome) -> object:
        self.begun.release()
        assert self.go_on.acquire(timeout=BOUND_SECONDS)
        return outcome()


def missing() -> Entity:
    raise NotServed(404, "not there")


def broken() -> Entity:
    raise ZeroDivisionError


class Pool:
    """A pool with slow work to do."""

    def __init__(self, threads: int = 1) -> None:
        self.work = SlowWork()
        self.locks = guards(PLACES)
        self.pool = FilePool(threads, self.locks)

    def submit(self, ticket: bytes, outcome: Outcome = missing) -> bool:
        return self.pool.submit(ticket, partial(self.work, outcome), 7)

    def saturate(self) -> None:
        """Have the one thread busy, and every place taken."""
        assert self.submit(b"busy")
        assert self.work.begun.acquire(timeout=BOUND_SECONDS)
        for number in range(PLACES):
            assert self.submit(b"waiting-%d" % number)

    def finished(self, count: int) -> list[Finished]:
        """So many results, waited for."""
        poll = select.poll()
        poll.register(self.pool.fileno(), select.POLLIN)
        found: list[Finished] = []
        while len(found) < count:
            assert poll.poll(BOUND_SECONDS * 1000), f"{len(found)} of {count} results came"
            found += self.pool.take()
        return found

    def close(self) -> None:
        self.work.go_on.release(100)
        send_home(self.locks)
        os.close(self.pool.fileno())


@pytest.fixture
def pool(_no_descriptor_left: None) -> Iterator[Pool]:
    made = Pool()
    yield made
    made.close()


@pytest.fixture
def wide_pool(_no_descriptor_left: None) -> Iterator[Pool]:
    made = Pool(threads=3)
    yield made
    made.close()


def pool_threads() -> int:
    return sum(thread.name.startswith("wsrv-pool-") for thread in threading.enumerate())


def test_no_thread_is_started_before_there_is_something_to_do(wide_pool: Pool) -> None:
    assert pool_threads() == 0
    assert wide_pool.pool.take() == []
    wide_pool.submit(b"a")
    assert pool_threads() == 3


def test_an_outcome_comes_back_under_its_ticket_with_the_time_of_its_job(pool: Pool) -> None:
    pool.work.go_on.release()
    assert pool.submit(b"dir")
    (found,) = pool.finished(1)
    assert (found.ticket, found.began_ns) == (b"dir", 7)
    assert isinstance(found.outcome, NotServed)
    assert found.outcome.status == 404


def test_an_entity_comes_back(pool: Pool) -> None:
    entity = Redirect.to(b"/dir/")
    pool.work.go_on.release()
    pool.submit(b"dir", lambda: entity)
    assert pool.finished(1)[0].outcome is entity


def test_a_full_queue_refuses_and_takes_again_when_there_is_room(pool: Pool) -> None:
    pool.saturate()
    assert not pool.submit(b"one too many")
    assert not pool.submit(b"one too many")
    pool.work.go_on.release()
    assert pool.work.begun.acquire(timeout=BOUND_SECONDS)
    assert pool.submit(b"again")
    pool.work.go_on.release(PLACES + 1)
    keys = {found.ticket for found in pool.finished(PLACES + 2)}
    assert keys == {b"busy", b"again", *(b"waiting-%d" % number for number in range(PLACES))}


def test_every_permit_comes_back(pool: Pool) -> None:
    pool.saturate()
    pool.submit(b"refused")
    pool.work.go_on.release(PLACES + 1)
    pool.finished(PLACES + 1)
    assert [guard.value() for guard in (pool.locks.empty, pool.locks.filled)] == [PLACES, 0]


def test_threads_work_side_by_side(wide_pool: Pool) -> None:
    for number in range(3):
        assert wide_pool.submit(b"%d" % number)
    for _ in range(3):
        assert wide_pool.work.begun.acquire(timeout=BOUND_SECONDS)
    wide_pool.work.go_on.release(3)
    assert {found.ticket for found in wide_pool.finished(3)} == {b"0", b"1", b"2"}


def test_work_that_fails_is_a_500_and_its_thread_goes_on(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.work.go_on.release(2)
    pool.submit(b"bad", broken)
    pool.submit(b"missing")
    bad, good = pool.finished(2)
    assert isinstance(bad.outcome, NotServed)
    assert isinstance(good.outcome, NotServed)
    assert (bad.outcome.status, good.outcome.status) == (500, 404)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_results_that_came_together_are_taken_together(wide_pool: Pool) -> None:
    wide_pool.work.go_on.release(3)
    for number in range(3):
        wide_pool.submit(b"%d" % number)
    wide_pool.finished(3)
    assert wide_pool.pool.take() == []


def test_threads_leave_signals_to_the_loop(pool: Pool) -> None:
    pool.submit(b"a")
    assert pool.work.begun.acquire(timeout=BOUND_SECONDS)
    (thread,) = [thread for thread in threading.enumerate() if thread.name.startswith("wsrv-pool-")]
    with open(f"/proc/self/task/{thread.native_id}/status") as status:
        (blocked,) = [line.split()[1] for line in status if line.startswith("SigBlk:")]
    # SIGTERM, SIGINT and SIGHUP are 15, 2 and 1.
    assert all(int(blocked, 16) & 1 << number - 1 for number in (15, 2, 1))
