"""Percentiles, what coordination omits, and adding up. The oracle is HdrHistogram."""

from math import ceil, isclose
from statistics import mean, stdev

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.bench.tally import Tally, filled, with_omitted
from wsrv.engine.shm.histogram import bucket_of, bucket_top_ns

# From 1 us to a minute, as many short as long ones.
DURATIONS = st.lists(st.floats(3.0, 10.7).map(lambda power: int(10**power)), min_size=1, max_size=200)


def tally_of(durations_ns: list[int]) -> Tally:
    tally = Tally(answers=len(durations_ns), total_ns=sum(durations_ns), squares=sum(ns * ns for ns in durations_ns))
    tally.least_ns, tally.most_ns = min(durations_ns), max(durations_ns)
    for ns in durations_ns:
        tally.raw[bucket_of(ns >> 10)] += 1
    return tally


def oracle() -> HdrHistogram:
    return HdrHistogram(1, 100_000_000_000, 3)


def at(theirs: HdrHistogram, fraction: float) -> float:
    """Its percentile, of the rank that we mean: it rounds ranks to the nearest, we upwards."""
    number = theirs.get_total_count()
    value: float = theirs.get_value_at_percentile(100 * max(1, ceil(number * fraction)) / number)
    return value


def is_same(ours_ns: int, theirs_ns: float) -> bool:
    """Whether both lie in one bucket, or in neighbouring ones: the oracle has its own edges."""
    return abs(bucket_of(ours_ns >> 10) - bucket_of(int(theirs_ns) >> 10)) <= 1


@settings(max_examples=50)
@given(DURATIONS)
def test_percentiles_are_those_of_the_oracle_to_within_a_bucket(durations_ns: list[int]) -> None:
    theirs = oracle()
    for ns in durations_ns:
        theirs.record_value(ns)
    ours = tally_of(durations_ns)
    for fraction in (0.1, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0):
        found = ours.percentile_ns(fraction)
        assert found is not None
        assert is_same(found, at(theirs, fraction))


@settings(max_examples=50)
@given(DURATIONS, st.floats(5.0, 9.0).map(lambda power: int(10**power)))
def test_what_was_omitted_is_what_the_oracle_puts_in(durations_ns: list[int], interval_ns: int) -> None:
    interval_ns = max(interval_ns, max(durations_ns) // 200)
    theirs = oracle()
    for ns in durations_ns:
        # As the histogram knows it: by the top of its bucket.
        theirs.record_corrected_value(bucket_top_ns(bucket_of(ns >> 10)), interval_ns)
    ours = with_omitted(tally_of(durations_ns).raw, interval_ns)
    assert sum(ours) == theirs.get_total_count()
    for fraction in (0.5, 0.9, 0.99):
        found = Tally(corrected=ours).percentile_ns(fraction, corrected=True)
        assert found is not None
        assert is_same(found, at(theirs, fraction))


def test_where_nothing_waited_nothing_was_omitted() -> None:
    raw = tally_of([1_000_000] * 100).raw
    assert with_omitted(raw, 2_000_000) == raw
    assert with_omitted(raw, 0) == raw


@given(DURATIONS)
def test_mean_and_deviation_are_exact(durations_ns: list[int]) -> None:
    ours = tally_of(durations_ns)
    assert isclose(ours.mean_ns, mean(durations_ns))
    if len(durations_ns) > 1:
        assert isclose(ours.deviation_ns, stdev(durations_ns), rel_tol=1e-3, abs_tol=1e4)


@given(DURATIONS, DURATIONS)
def test_tallies_added_are_the_tally_of_all(one: list[int], other: list[int]) -> None:
    whole = Tally()
    for part in (one, other):
        whole.add(Tally.of(tally_of(part).plain()))
    together = tally_of([*one, *other])
    for name in ("raw", "answers", "total_ns", "squares", "least_ns", "most_ns"):
        assert getattr(whole, name) == getattr(together, name), name


def test_what_is_counted_by_name_is_added_by_name() -> None:
    whole = Tally()
    for _ in range(2):
        part = Tally()
        part.statuses.update([200, 200, 404])
        part.errors.update(["reset"])
        part.late[3] += 1
        part.corrected[4] += 1
        part.processing[5] += 1
        whole.add(Tally.of(part.plain()))
    assert (whole.statuses, whole.errors) == ({200: 4, 404: 2}, {"reset": 2})
    assert whole.failures == 4
    histograms = (whole.late, whole.corrected, whole.processing)
    assert [list(filled(each)) for each in histograms] == [[(3, 2)], [(4, 2)], [(5, 2)]]


def test_nothing_counted_has_no_percentile() -> None:
    empty = Tally()
    assert empty.percentile_ns(0.5) is None
    assert (empty.rate, empty.mean_ns, empty.deviation_ns) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("fraction", [0.5, 0.99, 1.0])
def test_no_percentile_exceeds_what_was_seen(fraction: float) -> None:
    found = tally_of([1_000_001, 70_000_000]).percentile_ns(fraction)
    assert found is not None
    assert found <= 70_000_000
