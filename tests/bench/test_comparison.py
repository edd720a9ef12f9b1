"""Intervals of medians, and winners."""

import random
from statistics import NormalDist

from wsrv.engine.bench.comparison import CONFIDENCE, Interval, interval, ratios, winner


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    draw = random.Random(3)
    for number in (6, 7, 10, 25):
        held = sum(
            found.low <= 1.0 <= found.high
            for found in (interval([draw.lognormvariate(0, 1) for _ in range(number)]) for _ in range(4000))
        )
        # Three standard deviations below what is promised.
        least = CONFIDENCE - 3 * (CONFIDENCE * (1 - CONFIDENCE) / 4000) ** 0.5
        assert held / 4000 > least, number


def test_the_interval_is_no_wider_than_it_must_be() -> None:
    # Binomial: of 20 values the 6th and the 15th hold the median with 95.9 %, the 7th and the 14th with 88 %.
    assert interval(range(1, 21)) == Interval(10.5, 6, 15)
    assert interval([3.0, 1.0, 2.0]) == Interval(2.0, 1.0, 3.0)
    assert interval([5.0]) == Interval(5.0, 5.0, 5.0)


def test_a_winner_needs_more_than_chance() -> None:
    normal = NormalDist(100, 5)
    alike = {"a": normal.samples(9, seed=1), "b": normal.samples(9, seed=2)}
    assert winner(alike, more_is_better=True) is None
    apart = {"a": normal.samples(9, seed=1), "b": [value * 1.5 for value in normal.samples(9, seed=2)]}
    assert winner(apart, more_is_better=True) == "b"
    assert winner(apart, more_is_better=False) == "a"


def test_a_round_in_which_all_were_slow_decides_nothing() -> None:
    machine = [1, 1, 3, 1, 5, 1, 1]
    found = {"a": [100.0 * slow for slow in machine], "b": [90.0 * slow for slow in machine]}
    assert winner(found, more_is_better=False) == "b"


def test_few_rounds_have_no_winner() -> None:
    assert winner({"a": [1.0] * 5, "b": [100.0] * 5}, more_is_better=True) is None
    assert winner({"a": [1.0] * 6, "b": [100.0] * 6}, more_is_better=True) == "b"


def test_the_best_of_three_must_beat_both() -> None:
    close = {"a": [1.0] * 8, "b": [10.0] * 8, "c": [10.0, 10.1] * 4}
    assert winner(close, more_is_better=True) is None


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
