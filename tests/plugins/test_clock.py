"""The policy `clock` spares once what was asked for since the hand came by."""

import pytest

from wsrv.plugins.policies.clock import Clock


def full() -> Clock:
    clock = Clock(3)
    for key in (b"a", b"b", b"c"):
        assert clock.admit(key, 1) == []
    return clock


def test_a_marked_key_is_passed_by_and_is_the_youngest_then() -> None:
    clock = full()
    clock.hit(b"a")
    assert clock.admit(b"d", 1) == [b"b"]
    assert [clock.admit(key, 1) for key in (b"e", b"f", b"g")] == [[b"c"], [b"a"], [b"d"]]


def test_a_mark_counts_once_however_often_it_was_set() -> None:
    clock = full()
    for _ in range(5):
        clock.hit(b"a")
    assert clock.admit(b"d", 1) == [b"b"]
    assert clock.admit(b"e", 1) == [b"c"]
    assert clock.admit(b"f", 1) == [b"a"]


def test_when_all_are_marked_the_oldest_leaves() -> None:
    clock = full()
    for key in (b"c", b"b", b"a"):
        clock.hit(key)
    assert clock.admit(b"d", 1) == [b"a"]


def test_a_mark_does_not_outlive_its_key() -> None:
    clock = full()
    clock.hit(b"a")
    clock.remove(b"a")
    clock.admit(b"a", 1)
    assert [clock.admit(key, 1) for key in (b"d", b"e", b"f")] == [[b"b"], [b"c"], [b"a"]]


def test_a_mark_of_nobody_is_found_by_the_invariants() -> None:
    clock = full()
    clock.hit(b"stranger")
    with pytest.raises(AssertionError, match="a key is marked that is not held"):
        clock.check_invariants()
