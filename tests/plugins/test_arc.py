"""The policy `arc` moves its target by what it was wrong about."""

import pytest

from wsrv.plugins.policies.arc import Arc


def full() -> Arc:
    """`a` and `b` were asked for twice, `c` and `d` once."""
    arc = Arc(4)
    for key in (b"a", b"b", b"c", b"d"):
        assert arc.admit(key, 1) == []
    arc.hit(b"a")
    arc.hit(b"b")
    return arc


def test_a_scan_leaves_alone_what_was_asked_for_twice() -> None:
    arc = full()
    victims = [victim for number in range(20) for victim in arc.admit(b"%d" % number, 1)]
    assert len(victims) == 20
    assert b"a" in arc
    assert b"b" in arc


def test_a_ghost_of_once_raises_the_target_and_comes_among_those_asked_for_twice() -> None:
    arc = full()
    assert arc.admit(b"e", 1) == [b"c"]
    assert arc._target_bytes == 0
    assert arc.admit(b"c", 1) == [b"d"]
    assert arc._target_bytes == 1
    assert [*arc._twice] == [b"a", b"b", b"c"]


def test_a_ghost_of_twice_lowers_the_target() -> None:
    arc = full()
    arc.admit(b"e", 1)
    arc.admit(b"c", 1)
    arc._target_bytes = 2.0
    assert arc.admit(b"f", 1) == [b"a"]
    assert [*arc._twice_ghosts] == [b"a"]
    arc.admit(b"a", 1)
    assert arc._target_bytes == 1
    assert [*arc._twice][-1] == b"a"


def test_the_target_moves_by_the_ratio_of_the_ghosts() -> None:
    arc = full()
    arc._once_ghosts[b"x"] = arc._once_ghost_bytes = 1
    arc._twice_ghosts.update({b"y": 1, b"z": 1})
    arc._twice_ghost_bytes = 2
    arc.check_invariants()
    arc.admit(b"x", 1)
    assert arc._target_bytes == 2


def test_what_was_removed_is_no_ghost() -> None:
    arc = full()
    arc.remove(b"a")
    arc.remove(b"c")
    assert not arc._once_ghosts
    assert not arc._twice_ghosts


def test_a_hit_on_a_key_that_is_not_held_is_an_error() -> None:
    with pytest.raises(KeyError):
        Arc(2).hit(b"a")


@pytest.mark.parametrize(
    ("attribute", "finding"),
    [
        ("_target_bytes", "the target is 99"),
        ("_once_bytes", "once: added up wrong"),
        ("_twice_ghost_bytes", "the ghosts of twice: added up wrong"),
    ],
)
def test_wrong_books_are_found_by_the_invariants(attribute: str, finding: str) -> None:
    arc = full()
    setattr(arc, attribute, 99)
    with pytest.raises(AssertionError, match=finding):
        arc.check_invariants()


def test_a_directory_that_is_too_long_is_found_by_the_invariants() -> None:
    arc = full()
    arc._twice_ghosts[b"x"] = arc._twice_ghost_bytes = 5
    with pytest.raises(AssertionError, match="the directory weighs 9 bytes"):
        arc.check_invariants()
