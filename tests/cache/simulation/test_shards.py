"""A sample says nearly what the whole trace says, and is never too small to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.program import python
from tests.support.zipf import trace as zipf
from wsrv.engine.cache.simulation import shards
from wsrv.engine.cache.simulation.replay import Missed, replay
from wsrv.engine.cache.simulation.shards import FEWEST_OBJECTS, Sample, fitting_rate
from wsrv.engine.cache.simulation.trace import Trace
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.policies.s3fifo import S3Fifo

pytestmark = pytest.mark.once("arithmetic of cache policies")


@given(rate=st.floats(0.01, 1.0))
def test_a_key_is_in_the_sample_with_all_its_requests_or_with_none(rate: float) -> None:
    requests = zipf(200, 0.5, 600, seed=9)
    sample = Sample.of(Trace.of(requests), rate)
    taken = {*sample.trace.keys}
    assert [*zip(sample.trace.keys, sample.trace.sizes, strict=True)] == [pair for pair in requests if pair[0] in taken]


def test_a_larger_sample_has_the_smaller_one_in_it() -> None:
    trace = Trace.of(zipf(2000, 0.5, 6000, seed=9))
    samples = [{*Sample.of(trace, rate).trace.keys} for rate in (0.1, 0.3, 1.0)]
    assert samples[0] < samples[1] < samples[2] == {*trace.keys}


def test_the_share_of_the_keys_is_the_rate() -> None:
    trace = Trace.of((b"/file-%d" % number, 1) for number in range(20_000))
    assert Sample.of(trace, 0.25).trace.objects == pytest.approx(5000, abs=250)


def test_every_process_draws_the_same_keys() -> None:
    code = (
        "from wsrv.engine.cache.simulation.shards import Sample\n"
        "from wsrv.engine.cache.simulation.trace import Trace\n"
        "print([*map(int, Sample.of(Trace.of((b'%d' % n, 1) for n in range(60)), 0.2).trace.keys)])"
    )
    one, other = (python(code, env={"PYTHONHASHSEED": seed}) for seed in ("1", "2"))
    assert one.stdout == other.stdout != "[]\n"


def test_at_rate_one_the_sample_is_the_trace_itself() -> None:
    trace = Trace.of(zipf(50, 0.5, 100, seed=9))
    sample = Sample.of(trace, 1.0)
    assert sample.trace is trace
    assert sample.capacity(12_345) == 12_345
    assert sample.ratios(Missed(25, 0)) == (0.25, 0.0)


def test_requests_too_few_or_too_many_are_counted_as_hits() -> None:
    trace = Trace.of(zipf(50, 0.5, 100, seed=9))
    sample = Sample(trace, 0.5, expected_requests=50, expected_bytes=200)
    assert sample.ratios(Missed(10, 50)) == (0.2, 0.25)
    assert sample.ratios(Missed(60, 300)) == (1.0, 1.0)
    assert sample.capacity(1001) == 500


@pytest.mark.parametrize("policy", [Lru, S3Fifo])
@pytest.mark.parametrize(("unit", "most"), [(True, 0.025), (False, 0.035)])
def test_a_sample_of_ten_thousand_objects_is_off_by_little(policy: type[Lru | S3Fifo], unit: bool, most: float) -> None:
    # Some of what is popular is in the sample or not; with sizes, also some of what is large.
    trace = Trace.of(zipf(60_000, 0.8, 200_000, seed=6, unit=unit))
    sample, whole = Sample.of(trace, fitting_rate(trace, 0.001)), Sample.of(trace, 1.0)
    assert sample.trace.objects == pytest.approx(FEWEST_OBJECTS, rel=0.05)
    for part in (0.03, 0.2):
        capacity_bytes = int(trace.footprint_bytes * part)
        sampled = sample.ratios(replay(policy(sample.capacity(capacity_bytes)), sample.trace))
        exact = whole.ratios(replay(policy(capacity_bytes), trace))
        assert abs(sampled[0] - exact[0]) < most


def test_the_correction_brings_a_sample_without_the_most_popular_key_closer() -> None:
    # Half of all requests are for one key: a sample has it or not, and its miss ratio is far off either way.
    requests = [pair for number in range(20_000) for pair in ((b"popular", 1), (b"%d" % (number % 12_000), 1))]
    trace = Trace.of(requests)
    sample = Sample.of(trace, 0.5)
    missed, exact = replay(Lru(20_000), sample.trace), replay(Lru(20_000), trace).requests / len(trace)
    assert abs(sample.ratios(missed)[0] - exact) < 0.01
    assert abs(missed.requests / len(sample.trace) - exact) > 0.05


@pytest.mark.parametrize(
    ("objects", "requests", "wish", "rate"),
    [
        (100, 100, None, 1.0),
        (100, 10**9, None, 1.0),
        (100, 100, 0.5, 1.0),
        (40_000, 100_000, 0.5, 0.5),
        (40_000, 100_000, 0.01, 0.25),
        (40_000, 100_000, None, 1.0),
        (40_000, 1_000_000, None, 0.25),
        (20_000, 1_000_000, None, 0.5),
        (0, 0, None, 1.0),
    ],
)
def test_the_rate_is_what_was_wished_unless_too_few_objects_remain(
    objects: int, requests: int, wish: float | None, rate: float
) -> None:
    class Stub(Trace):
        objects = 0

        def __len__(self) -> int:
            return requests

    trace = Stub()
    trace.objects = objects
    assert fitting_rate(trace, wish) == rate


def test_the_limits_are_those_of_the_documentation() -> None:
    assert (shards.FEWEST_OBJECTS, shards.WHOLE_REQUESTS, shards.SAMPLE_REQUESTS) == (10_000, 500_000, 250_000)
