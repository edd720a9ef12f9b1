# Belady's MIN knows the future and is the best there is for objects of one size: a bound has to lie below it too.
"""No policy misses less than PFOO-L, and PFOO-L is no lower than it has to be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.zipf import trace as zipf
from wsrv.engine.cache.simulation.pfoo import Pfoo
from wsrv.engine.cache.simulation.replay import replay
from wsrv.engine.cache.simulation.trace import Trace
from wsrv.plugins.registry import load

pytestmark = pytest.mark.once("arithmetic of cache policies")

POLICIES = load().policies

KEYS = [b"%d" % number for number in range(10)]
FIXED = st.lists(st.sampled_from([(key, (7 * number) % 11) for number, key in enumerate(KEYS)]), max_size=80)
CHANGING = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 40)), max_size=80)


def belady(capacity: int, keys: list[bytes]) -> int:
    """Misses of MIN at unit weights: whoever is asked for again latest leaves, the newcomer too."""
    held: set[bytes] = set()
    missed = 0
    for number, key in enumerate(keys):
        missed += key not in held
        held.add(key)
        if len(held) > capacity:
            later = keys[number + 1 :]
            held.remove(max(held, key=lambda other: later.index(other) if other in later else len(keys)))
    return missed


@pytest.mark.parametrize("name", POLICIES)
@given(requests=FIXED | CHANGING, capacity_bytes=st.integers(0, 120))
@settings(max_examples=60)
def test_no_policy_beats_it(name: str, requests: list[tuple[bytes, int]], capacity_bytes: int) -> None:
    trace = Trace.of(requests)
    missed, bound = replay(POLICIES[name](capacity_bytes), trace), Pfoo(trace).at(capacity_bytes)
    assert missed.requests >= bound.requests
    assert missed.size_bytes >= bound.size_bytes


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("exponent", [0.6, 1.0])
def test_no_policy_beats_it_on_zipf_traces(exponent: float, unit: bool) -> None:
    trace = Trace.of(zipf(1000, exponent, 10_000, seed=8, unit=unit))
    pfoo = Pfoo(trace)
    for part in (0.001, 0.01, 0.1, 0.5, 1.0):
        capacity_bytes = int(trace.footprint_bytes * part)
        bound = pfoo.at(capacity_bytes)
        for policy in POLICIES.values():
            missed = replay(policy(capacity_bytes), trace)
            assert missed.requests >= bound.requests
            assert missed.size_bytes >= bound.size_bytes


@given(keys=st.lists(st.sampled_from(KEYS), max_size=60), capacity=st.integers(1, 9))
def test_not_even_who_knows_the_future_beats_it(keys: list[bytes], capacity: int) -> None:
    bound = Pfoo(Trace.of((key, 1) for key in keys)).at(capacity)
    assert belady(capacity, keys) >= bound.requests == bound.size_bytes


def test_it_is_close_to_who_knows_the_future_on_a_zipf_trace() -> None:
    keys = [key for key, _ in zipf(200, 0.8, 1500, seed=1, unit=True)]
    best, bound = belady(40, keys), Pfoo(Trace.of((key, 1) for key in keys)).at(40).requests
    assert 0.9 * best < bound <= best


def test_the_cheapest_hits_are_taken_as_long_as_there_is_room() -> None:
    # Hits: `b` for 1 step x 2 bytes, `a` for 4 steps x 1 byte. Room: 5 steps x capacity.
    pfoo = Pfoo(Trace.of([(b"a", 1), (b"b", 2), (b"b", 2), (b"c", 1), (b"a", 1)]))
    assert [pfoo.at(capacity).requests for capacity in (0, 1, 2)] == [5, 4, 3]


def test_bytes_are_bounded_by_a_part_of_the_next_hit() -> None:
    # One hit, of 10 bytes for 2 steps; room for 15 of its 20.
    pfoo = Pfoo(Trace.of([(b"a", 10), (b"b", 1), (b"a", 10)]))
    assert pfoo.at(5).requests == 3  # heavier than the capacity
    pfoo = Pfoo(Trace.of([(b"a", 6), (b"b", 4), (b"a", 6), (b"b", 4)]))
    # Room 4 x 6 = 24: `b` takes 8 and `a` 12, so both fit; at 4 there is no `a`.
    assert (pfoo.at(6).requests, pfoo.at(6).size_bytes) == (2, 10)
    assert (pfoo.at(4).requests, pfoo.at(4).size_bytes) == (3, 16)


def test_a_cache_for_everything_misses_first_requests_only() -> None:
    trace = Trace.of(zipf(300, 0.9, 3000, seed=2))
    bound = Pfoo(trace).at(trace.footprint_bytes)
    assert (bound.requests, bound.size_bytes) == (trace.objects, trace.footprint_bytes)


def test_without_room_everything_that_weighs_is_missed() -> None:
    trace = Trace.of([(b"a", 3), (b"a", 3), (b"empty", 0), (b"empty", 0)])
    assert (Pfoo(trace).at(0).requests, Pfoo(trace).at(0).size_bytes) == (3, 6)


def test_an_object_that_was_light_when_it_came_in_is_charged_that() -> None:
    trace = Trace.of([(b"a", 1), (b"b", 1), (b"a", 50)])
    assert replay(POLICIES["lru"](2), trace).requests == 2
    assert Pfoo(trace).at(2).requests == 2


def test_nothing_was_asked_for_and_nothing_is_missed() -> None:
    assert (Pfoo(Trace()).at(10).requests, Pfoo(Trace()).at(10).size_bytes) == (0, 0)
