"""Waiting a moment for more connections: only while they come fast, and have for a while."""

import pytest

from wsrv.engine.master import moderation as module
from wsrv.engine.master.moderation import Moderation

_MILLISECOND_NS = 1_000_000


class Clock:
    """A clock that is put forward by hand, and by whoever sleeps."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * _MILLISECOND_NS
        self.slept_seconds = 0.0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_seconds += seconds
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic_ns", made.monotonic_ns)
    monkeypatch.setattr(module, "sleep", made.sleep)
    return made


def rounds(clock: Clock, number: int, accepted: int, limit: int = 64) -> list[bool]:
    """So many rounds, a millisecond apart, each with `accepted` connections; whether each was one of a busy server."""
    moderation, found = Moderation(), []
    for _ in range(number):
        found.append(moderation.gather())
        moderation.note(accepted, limit)
        clock.now_ns += _MILLISECOND_NS
    return found


def test_whoever_comes_first_is_not_kept_waiting(clock: Clock) -> None:
    assert rounds(clock, 1, 1) == [False]
    assert clock.slept_seconds == 0


def test_a_crowd_that_comes_once_is_not_kept_waiting(clock: Clock) -> None:
    assert rounds(clock, 15, 20) == [False] * 15
    assert clock.slept_seconds == 0


def test_a_rate_that_lasts_is_waited_for(clock: Clock) -> None:
    found = rounds(clock, 60, 20)
    assert found[0] is False
    assert found[-1] is True
    assert sorted(found) == found, "once busy, busy for as long as it lasts"
    assert clock.slept_seconds == pytest.approx(0.002 * sum(found))


def test_a_rate_of_four_thousand_a_second_is_not_busy(clock: Clock) -> None:
    assert not any(rounds(clock, 200, 4))


def test_after_a_full_round_nobody_waits_for_more(clock: Clock) -> None:
    assert rounds(clock, 60, 64)[-1] is True
    assert clock.slept_seconds == 0


def test_it_is_the_mean_that_counts(clock: Clock) -> None:
    moderation = Moderation()
    for number in range(200):
        moderation.note(1 if number % 4 else 30, 64)
        clock.now_ns += _MILLISECOND_NS
    assert moderation.is_busy()


def test_a_pause_of_the_clients_ends_it(clock: Clock) -> None:
    moderation = Moderation()
    for _ in range(60):
        moderation.note(20, 64)
        clock.now_ns += _MILLISECOND_NS
    assert moderation.is_busy()
    clock.now_ns += 200 * _MILLISECOND_NS
    assert not moderation.is_busy()
    moderation.note(20, 64)
    assert not moderation.is_busy(), "it begins anew"
