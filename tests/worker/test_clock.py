"""The Clock turns once a second of the wall, and its texts are those of that second."""

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.dates import http_date
from wsrv.engine.log.format import Combined
from wsrv.engine.worker.clock import SECOND_NS, Clock

WALL_SECOND = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT


class Wall:
    """A wall clock that stands where it is put."""

    def __init__(self) -> None:
        self.ns = WALL_SECOND * SECOND_NS

    def time_ns(self) -> int:
        return self.ns


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """The wall clock that the worker's clock reads."""
    made = Wall()
    monkeypatch.setattr(
        "wsrv.engine.worker.clock.time", SimpleNamespace(time_ns=made.time_ns, monotonic_ns=time.monotonic_ns)
    )
    return made


def test_both_texts_are_those_of_the_second(wall: Wall) -> None:
    clock = Clock(Combined())
    clock.turn(5)
    assert clock.date == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert clock.stamp == Combined().stamp(WALL_SECOND)


@given(past_ns=st.integers(0, SECOND_NS - 1), now_ns=st.integers(0, 2**62))
def test_it_expires_when_the_wall_second_does(past_ns: int, now_ns: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        wall = Wall()
        wall.ns += past_ns
        patch.setattr("wsrv.engine.worker.clock.time", SimpleNamespace(time_ns=wall.time_ns))
        clock = Clock(Combined())
        clock.turn(now_ns)
        assert clock.second_ends_ns == now_ns + SECOND_NS - past_ns
        wall.ns += SECOND_NS
        clock.turn(clock.second_ends_ns - 1)
        assert clock.date == http_date(WALL_SECOND)
        clock.turn(clock.second_ends_ns)
        assert clock.date == http_date(WALL_SECOND + 1)
        assert clock.stamp == Combined().stamp(WALL_SECOND + 1)


@given(past_ns=st.integers(0, SECOND_NS - 1), now_ns=st.integers(0, 2**62), ago_ns=st.integers(-(10**10), 10**10))
def test_it_tells_the_wall_second_of_any_moment(past_ns: int, now_ns: int, ago_ns: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        wall = Wall()
        wall.ns += past_ns
        patch.setattr("wsrv.engine.worker.clock.time", SimpleNamespace(time_ns=wall.time_ns))
        clock = Clock(Combined())
        clock.turn(now_ns)
        assert clock.wall_seconds(now_ns - ago_ns) == (wall.ns - ago_ns) // SECOND_NS


def test_a_wall_clock_that_was_set_is_noticed_within_a_second(wall: Wall) -> None:
    clock = Clock(Combined())
    clock.turn(0)
    wall.ns -= 3600 * SECOND_NS
    clock.turn(SECOND_NS)
    assert clock.date == http_date(WALL_SECOND - 3600)


def test_it_never_lags_a_second_behind_the_real_time() -> None:
    clock = Clock(Combined())
    before = time.time_ns() // SECOND_NS
    clock.turn(time.monotonic_ns())
    after = time.time_ns() // SECOND_NS
    assert clock.date in {http_date(second) for second in range(before, after + 1)}


def test_it_turns_for_a_file_that_was_modified_in_a_second_that_began_since(wall: Wall) -> None:
    clock = Clock(Combined())
    began_ns = time.monotonic_ns() - SECOND_NS
    clock.turn(began_ns)
    wall.ns += SECOND_NS
    clock.not_before(WALL_SECOND)
    assert clock.date == http_date(WALL_SECOND)
    clock.not_before(WALL_SECOND + 1)
    assert clock.date == http_date(WALL_SECOND + 1)
