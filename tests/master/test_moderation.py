"""Waiting a moment for more connections: only while they come fast."""

from time import monotonic_ns

from wsrv.engine.master.moderation import Moderation

_MILLISECOND_NS = 1_000_000


def _took_ns(moderation: Moderation) -> int:
    before = monotonic_ns()
    moderation.gather()
    return monotonic_ns() - before


def test_whoever_comes_first_is_not_kept_waiting() -> None:
    moderation = Moderation()
    assert not moderation.is_busy()
    assert not moderation.gather()


def test_a_round_of_many_says_that_more_are_coming() -> None:
    moderation = Moderation()
    moderation.note(50_000, 100_000)
    assert moderation.is_busy()
    assert moderation.gather()
    assert _took_ns(moderation) >= _MILLISECOND_NS


def test_how_long_it_is_busy_depends_on_how_many_came() -> None:
    moderation = Moderation()
    before = monotonic_ns()
    moderation.note(25, 64)
    while moderation.is_busy():
        assert monotonic_ns() - before < 10_000 * _MILLISECOND_NS
    assert monotonic_ns() - before >= 5 * _MILLISECOND_NS


def test_a_round_that_brought_nobody_is_no_sign() -> None:
    moderation = Moderation()
    moderation.note(50_000, 100_000)
    moderation.note(0, 64)
    assert not moderation.is_busy()


def test_after_a_full_round_nobody_waits_for_more() -> None:
    moderation = Moderation()
    moderation.note(64, 64)
    assert not moderation.gather()
