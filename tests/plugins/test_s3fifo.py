"""The policy `s3fifo` lets most newcomers leave soon, and remembers whom it was wrong about."""

import pytest

from wsrv.plugins.policies.s3fifo import S3Fifo


def full() -> S3Fifo:
    """Ten keys of weight 1: `0` in the small queue, the others in the main one, which the first keys fill."""
    policy = S3Fifo(10)
    for number in range(10):
        assert policy.admit(b"%d" % number, 1) == []
    assert [*policy._small] == [b"0"]
    assert len(policy._main) == 9
    return policy


def test_a_newcomer_that_nobody_asks_for_is_the_next_to_leave() -> None:
    policy = full()
    assert policy.admit(b"x", 1) == [b"0"]
    assert policy.admit(b"y", 1) == [b"x"]


def test_one_request_in_the_small_queue_is_not_enough_to_stay() -> None:
    policy = full()
    policy.hit(b"0")
    assert policy.admit(b"x", 1) == [b"0"]


def test_two_requests_in_the_small_queue_lead_into_the_main_one() -> None:
    policy = full()
    policy.hit(b"0")
    policy.hit(b"0")
    assert policy.admit(b"x", 1) == [b"1"]
    assert b"0" in policy._main


def test_a_ghost_comes_into_the_main_queue() -> None:
    policy = full()
    policy.admit(b"x", 1)
    assert b"0" in policy._ghost
    policy.admit(b"0", 1)
    assert b"0" in policy._main
    assert b"0" not in policy._ghost


def test_what_was_asked_for_in_the_main_queue_goes_round_once_a_request() -> None:
    policy = full()
    for _ in range(9):
        policy.hit(b"1")
    assert policy._asked[b"1"] == 3
    policy.hit(b"0")
    policy.hit(b"0")
    assert policy.admit(b"x", 1) == [b"2"]
    assert [*policy._main][-1] == b"1"
    assert policy._asked[b"1"] == 2


def test_a_heavy_newcomer_is_taken_in_unless_bounded() -> None:
    assert S3Fifo(100).admit(b"a", 50) == []
    assert S3Fifo(100, bounded=True).admit(b"a", 50) == [b"a"]
    assert S3Fifo(100, bounded=True).admit(b"a", 10) == [b"a"]
    assert S3Fifo(100, bounded=True).admit(b"a", 9) == []


def test_a_hit_on_a_key_that_is_not_held_is_an_error() -> None:
    with pytest.raises(KeyError):
        S3Fifo(2).hit(b"a")


def test_a_key_that_is_held_and_a_ghost_is_found_by_the_invariants() -> None:
    policy = full()
    policy._ghost[b"1"] = 0
    with pytest.raises(AssertionError, match="a key is held and a ghost"):
        policy.check_invariants()


def test_too_many_ghosts_are_found_by_the_invariants() -> None:
    policy = full()
    policy._ghost[b"x"] = policy._ghost_bytes = 10
    with pytest.raises(AssertionError, match="10 bytes of ghosts"):
        policy.check_invariants()
