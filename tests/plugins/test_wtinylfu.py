"""The policy `wtinylfu` lets a newcomer in for what was asked for less often, and for nothing else."""

import pytest

from wsrv.plugins.policies.sketch import MOST
from wsrv.plugins.policies.wtinylfu import FEWEST_SAMPLES, WTinyLfu


def full() -> WTinyLfu:
    """A hundred keys of weight 1; the last of them is in the window, each of the others was asked for twice."""
    policy = WTinyLfu(100)
    for number in range(100):
        assert policy.admit(b"%d" % number, 1) == []
        if number < 99:
            policy.hit(b"%d" % number)
    assert [*policy._window] == [b"99"]
    return policy


def test_newcomers_of_one_request_push_each_other_out_of_the_window() -> None:
    policy = full()
    assert policy.admit(b"x", 1) == [b"99"]
    assert policy.admit(b"y", 1) == [b"x"]


def test_what_comes_back_often_enough_gets_into_the_main_part() -> None:
    policy = full()
    for _ in range(3):
        policy.admit(b"x", 1)
        policy.remove(b"x")
    policy.admit(b"x", 1)
    assert policy.admit(b"y", 1) == [b"0"]
    assert b"x" in policy._probation


def test_a_heavy_candidate_has_to_outweigh_all_that_would_leave_for_it() -> None:
    policy = full()
    for _ in range(5):
        assert policy.admit(b"heavy", 3) == [b"heavy"]
    assert policy._sketch.count(b"heavy") == 5
    for _ in range(2):
        policy.admit(b"heavy", 3)
        policy.remove(b"heavy")
    assert policy._sketch.count(b"heavy") == 7
    assert b"heavy" not in policy


def test_a_heavy_candidate_that_outweighs_them_comes_in() -> None:
    policy = full()
    victims = []
    for _ in range(7):
        victims = policy.admit(b"heavy", 3)
    # Three keys, of two requests each, lose against seven.
    assert victims == [b"0", b"1", b"2"]
    assert b"heavy" in policy


def test_one_that_fills_everything_lends_the_window_its_room_only_against_more_requests() -> None:
    policy = WTinyLfu(100)
    assert policy.admit(b"heavy", 100) == []
    assert policy.admit(b"x", 1) == [b"x"]
    policy.check_invariants()
    assert policy.admit(b"x", 1) == [b"heavy"]
    assert [*policy._probation] == [b"x"]


def test_a_candidate_that_needs_everything_takes_the_windows_room_too() -> None:
    policy = WTinyLfu(100)
    policy.admit(b"main", 50)
    policy.admit(b"window", 1)
    assert policy.admit(b"heavy", 100) == [b"heavy"]
    assert policy.admit(b"heavy", 100) == [b"heavy"]
    assert policy.admit(b"heavy", 100) == [b"main", b"window"]
    policy.check_invariants()


def test_a_hit_in_probation_protects_and_too_many_protected_go_back() -> None:
    policy = full()
    for number in range(99):
        policy.hit(b"%d" % number)
    assert policy._protected_bytes == policy._protected_share_bytes == 79
    assert len(policy._probation) == 20
    policy.check_invariants()


def test_all_counts_are_halved_when_the_sample_is_full() -> None:
    policy = WTinyLfu(10)
    policy.admit(b"a", 1)
    for _ in range(30):
        policy.hit(b"a")
    assert policy._counts[b"a"] == MOST
    policy._sketch.raise_to(b"b", 6)
    policy._samples = FEWEST_SAMPLES
    policy.admit(b"c", 1)
    assert policy._counts[b"a"] == MOST // 2
    assert policy._sketch.count(b"b") == 3
    assert policy._samples == FEWEST_SAMPLES // 2 + 1


def test_the_sketch_grows_with_the_keys_that_are_held() -> None:
    policy = WTinyLfu(2000)
    cells = policy._sketch.cells
    for number in range(1000):
        policy.admit(b"%d" % number, 1)
    assert policy._sketch.cells >= 8 * 999 > cells


def test_a_hit_on_a_key_that_is_not_held_is_an_error() -> None:
    with pytest.raises(KeyError):
        WTinyLfu(2).hit(b"a")


@pytest.mark.parametrize(
    ("attribute", "finding"),
    [("_window_bytes", "the window: added up wrong"), ("_protected_bytes", "protected: added up wrong")],
)
def test_wrong_books_are_found_by_the_invariants(attribute: str, finding: str) -> None:
    policy = full()
    setattr(policy, attribute, 50)
    with pytest.raises(AssertionError, match=finding):
        policy.check_invariants()
