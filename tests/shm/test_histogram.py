# The oracle is a sorted list of the durations themselves.
"""Buckets are ordered, narrow and leave no gap; percentiles are those of the sorted durations."""

import math
from bisect import bisect_left
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsrv.engine.shm.histogram import (
    BUCKET_TABLE,
    BUCKETS,
    UNIT_SHIFT,
    bucket_of,
    bucket_top_ns,
    percentile_ns,
)

UNIT_NS = 1 << UNIT_SHIFT
# What the last bucket still tells apart, and the linear part below which a bucket is one unit.
TOP_UNITS = 1 << 26
LINEAR_UNITS = 64
PRECISION = 0.032

durations = st.one_of(st.integers(0, 200_000), st.integers(0, TOP_UNITS * UNIT_NS - 1))
FRACTIONS = (0.5, 0.9, 0.99, 0.999)


def bottom_ns(bucket: int) -> int:
    """The shortest duration of `bucket`."""
    return bucket_top_ns(bucket - 1) + 1 if bucket else 0


def counts_of(durations_ns: list[int]) -> list[int]:
    counts = [0] * BUCKETS
    for duration_ns in durations_ns:
        counts[bucket_of(duration_ns >> UNIT_SHIFT)] += 1
    return counts


@given(duration_ns=durations)
@example(duration_ns=LINEAR_UNITS * UNIT_NS - 1)
@example(duration_ns=LINEAR_UNITS * UNIT_NS)
@example(duration_ns=TOP_UNITS * UNIT_NS - 1)
def test_a_duration_lies_within_the_bounds_of_its_bucket(duration_ns: int) -> None:
    bucket = bucket_of(duration_ns >> UNIT_SHIFT)
    assert bottom_ns(bucket) <= duration_ns <= bucket_top_ns(bucket)


def test_buckets_follow_each_other_without_gap_and_none_is_left_out() -> None:
    seen = [bucket_of(top >> UNIT_SHIFT) for top in map(bucket_top_ns, range(BUCKETS))]
    assert seen == list(range(BUCKETS))
    assert [bucket_of(bottom_ns(bucket) >> UNIT_SHIFT) for bucket in range(BUCKETS)] == seen


@given(shorter=durations, longer=durations)
def test_a_longer_duration_is_in_no_lower_bucket(shorter: int, longer: int) -> None:
    shorter, longer = sorted((shorter, longer))
    assert bucket_of(shorter >> UNIT_SHIFT) <= bucket_of(longer >> UNIT_SHIFT)


def test_above_the_linear_part_a_bucket_is_narrower_than_its_precision() -> None:
    for bucket in range(LINEAR_UNITS, BUCKETS):
        assert bucket_top_ns(bucket) <= bottom_ns(bucket) * (1 + PRECISION), bucket


def test_in_the_linear_part_a_bucket_is_one_unit() -> None:
    for bucket in range(LINEAR_UNITS):
        assert bucket_top_ns(bucket) - bottom_ns(bucket) + 1 == UNIT_NS, bucket


@pytest.mark.parametrize("units", [-5, -1])
def test_a_clock_that_went_back_counts_as_no_time(units: int) -> None:
    assert bucket_of(units) == 0


@pytest.mark.parametrize("units", [TOP_UNITS, TOP_UNITS * 4, 1 << 60])
def test_what_lasts_too_long_is_in_the_last_bucket(units: int) -> None:
    assert bucket_of(units) == BUCKETS - 1


def test_the_table_says_what_the_function_says() -> None:
    assert list(BUCKET_TABLE) == [bucket_of(units) for units in range(len(BUCKET_TABLE))]


@given(durations_ns=st.lists(durations, min_size=1, max_size=300), fraction=st.sampled_from(FRACTIONS))
def test_a_percentile_is_that_of_the_sorted_durations(durations_ns: list[int], fraction: float) -> None:
    found = percentile_ns(counts_of(durations_ns), fraction)
    rank = math.ceil(len(durations_ns) * Fraction(str(fraction)))
    true = sorted(durations_ns)[rank - 1]
    assert found is not None
    assert true <= found <= max(true * (1 + PRECISION), true + UNIT_NS)


@given(durations_ns=st.lists(durations, min_size=1, max_size=50))
def test_the_whole_is_the_longest_and_next_to_nothing_the_shortest(durations_ns: list[int]) -> None:
    counts = counts_of(durations_ns)
    assert percentile_ns(counts, 1.0) == bucket_top_ns(bucket_of(max(durations_ns) >> UNIT_SHIFT))
    assert percentile_ns(counts, 0.0) == bucket_top_ns(bucket_of(min(durations_ns) >> UNIT_SHIFT))


def test_ranks_are_exact_for_every_total_that_rounds_badly() -> None:
    # One request a unit, so that the bucket found is the rank itself.
    for fraction in FRACTIONS:
        for total in range(1, LINEAR_UNITS):
            found = percentile_ns([1] * total, fraction)
            rank = math.ceil(total * Fraction(str(fraction)))
            tops = [bucket_top_ns(bucket) for bucket in range(total)]
            assert found is not None
            assert bisect_left(tops, found) + 1 == rank, f"{fraction} of {total}"


def test_nothing_has_no_percentile() -> None:
    assert percentile_ns([0] * BUCKETS, 0.5) is None
