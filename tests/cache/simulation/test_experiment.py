"""Curves have a point for each size; the choice is the smallest size that is worth it."""

from itertools import pairwise

import pytest

from tests.support.zipf import trace as zipf
from wsrv.engine.cache.simulation.choice import choose
from wsrv.engine.cache.simulation.experiment import Curve, Experiment, usual_sizes
from wsrv.engine.cache.simulation.trace import Trace
from wsrv.plugins.policies.lru import Lru


def trace() -> Trace:
    return Trace.of(zipf(300, 0.8, 3000, seed=3))


@pytest.mark.parametrize(
    ("footprint", "first", "last", "count"),
    [(0, 1, 1, 1), (1, 1, 1, 1), (3, 1, 4, 3), (1000, 4, 1024, 9), (1024, 4, 1024, 9), (1025, 8, 2048, 9)],
)
def test_sizes_double_until_everything_fits(footprint: int, first: int, last: int, count: int) -> None:
    sizes = usual_sizes(footprint)
    assert (sizes[0], sizes[-1], len(sizes)) == (first, last, count)
    assert all(larger == 2 * smaller for smaller, larger in pairwise(sizes))


def test_a_curve_has_the_ratio_of_misses_for_each_size() -> None:
    # At 3 bytes `b` sends `a` away; the second request for `b` is a hit.
    experiment = Experiment.of(Trace.of([(b"a", 1), (b"b", 3), (b"b", 3), (b"a", 1)]), [3, 4])
    assert experiment.curve(Lru) == Curve((0.75, 0.5), (0.625, 0.5))


def test_the_bound_is_below_the_curve_and_meets_it_where_everything_fits() -> None:
    experiment = Experiment.of(trace(), [])
    bound, curve = experiment.bound(), experiment.curve(Lru)
    assert all(low <= high for low, high in zip(bound.objects, curve.objects, strict=True))
    assert all(low <= high for low, high in zip(bound.bytes, curve.bytes, strict=True))
    assert (bound.objects[-1], bound.bytes[-1]) == (curve.objects[-1], curve.bytes[-1])


@pytest.mark.parametrize(("count", "places"), [(1, [0]), (2, [1]), (3, [1]), (5, [1, 4]), (9, [1, 4, 7])])
def test_the_sampling_error_is_that_against_the_whole_trace(count: int, places: list[int]) -> None:
    whole, sizes = trace(), [20_000 * (1 + place) for place in range(count)]
    experiment = Experiment.of(whole, sizes, rate=0.5)
    sampled = experiment.curve(Lru)
    exact = Experiment.of(whole, sizes).curve(Lru)
    error = experiment.sampling_error(Lru, sampled)
    assert error.sizes_bytes == tuple(sizes[place] for place in places)
    for ours, theirs, mean, most in (
        (sampled.objects, exact.objects, error.objects_mean, error.objects_most),
        (sampled.bytes, exact.bytes, error.bytes_mean, error.bytes_most),
    ):
        apart = [abs(ours[place] - theirs[place]) for place in places]
        assert mean == pytest.approx(sum(apart) / len(places))
        assert most == max(apart) > 0


SIZES = (1, 2, 4, 8)


def curve(*objects: float) -> Curve:
    return Curve(objects, objects)


def test_the_smallest_size_is_chosen_that_a_larger_one_hardly_betters() -> None:
    curves = {"lru": curve(0.9, 0.5, 0.21, 0.1), "new": curve(0.8, 0.3, 0.109, 0.1)}
    choice = choose(SIZES, curves, "lru")
    assert (choice.policy, choice.size_bytes, choice.object_miss_ratio) == ("new", 4, 0.109)
    assert (choice.usual_object_miss_ratio, choice.usual_needs_bytes) == (0.21, 8)


def test_what_the_usual_policy_needs_is_the_size_at_which_it_misses_no_more() -> None:
    curves = {"lru": curve(0.9, 0.5, 0.3, 0.109), "new": curve(0.9, 0.5, 0.109, 0.105)}
    assert choose(SIZES, curves, "lru").usual_needs_bytes == 8


def test_of_equals_the_first_is_chosen() -> None:
    curves = {"lru": curve(0.9, 0.5, 0.3, 0.1005), "new": curve(0.9, 0.5, 0.3, 0.1)}
    assert choose(SIZES, curves, "lru").policy == choose(SIZES, dict(reversed(curves.items())), "lru").policy == "lru"
    curves = {"lru": curve(0.9, 0.5, 0.3, 0.1015), "new": curve(0.9, 0.5, 0.3, 0.1)}
    choice = choose(SIZES, curves, "lru")
    assert (choice.policy, choice.usual_needs_bytes) == ("new", None)


def test_what_is_chosen_is_never_further_from_the_best_than_is_said() -> None:
    # At 4, `old` is nearly as good as `new`, but a larger cache would save more than 1 % beside it.
    curves = {"old": curve(0.9, 0.5, 0.1105, 0.1), "new": curve(0.9, 0.5, 0.1099, 0.1)}
    choice = choose(SIZES, curves, "old")
    assert (choice.policy, choice.size_bytes) == ("new", 4)


def test_sizes_may_come_in_any_order() -> None:
    assert choose((8, 1), {"lru": curve(0.1, 0.105)}, "lru").size_bytes == 1
