"""The policy `lfu` evicts what was asked for least often: compared with the plainest search that does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.plugins.policies.lfu import Lfu

CAPACITY_BYTES = 50
KEYS = [b"%d" % number for number in range(8)]


class ListLfu:
    """The oracle: for each key its frequency, the step that gave it that, and its weight."""

    def __init__(self) -> None:
        self.step = 0
        self.held: dict[bytes, tuple[int, int, int]] = {}

    def request(self, key: bytes, weight: int) -> list[bytes] | None:
        """The victims of the admission; None for a hit."""
        self.step += 1
        if key in self.held:
            frequency, _, weight = self.held[key]
            self.held[key] = (frequency + 1, self.step, weight)
            return None
        if weight > CAPACITY_BYTES:
            return [key]
        victims = []
        while sum(held[2] for held in self.held.values()) + weight > CAPACITY_BYTES:
            victims.append(min(self.held, key=lambda other: self.held[other]))
            del self.held[victims[-1]]
        self.held[key] = (1, self.step, weight)
        return victims


# Mostly light, so that several are held at once.
WEIGHTS = st.integers(5, 15) | st.integers(0, 60)
STEPS = st.lists(st.tuples(st.booleans() | st.just(True), st.sampled_from(KEYS), WEIGHTS), max_size=150)


@given(steps=STEPS)
def test_every_victim_is_the_oracles_victim_in_the_same_order(steps: list[tuple[bool, bytes, int]]) -> None:
    lfu, oracle = Lfu(CAPACITY_BYTES), ListLfu()
    for requested, key, weight in steps:
        if not requested:
            lfu.remove(key)
            oracle.held.pop(key, None)
        elif key in lfu:
            lfu.hit(key)
            assert oracle.request(key, weight) is None
        else:
            assert lfu.admit(key, weight) == oracle.request(key, weight)
        lfu.check_invariants()
        assert len(lfu) == len(oracle.held)


def test_frequency_is_forgotten_with_its_key() -> None:
    lfu = Lfu(2)
    lfu.admit(b"a", 1)
    for _ in range(9):
        lfu.hit(b"a")
    lfu.remove(b"a")
    lfu.admit(b"a", 1)
    lfu.admit(b"b", 1)
    lfu.hit(b"b")
    assert lfu.admit(b"c", 1) == [b"a"]


def test_of_equals_the_one_that_has_been_an_equal_for_longest_leaves() -> None:
    lfu = Lfu(3)
    for key in (b"a", b"b", b"c"):
        lfu.admit(key, 1)
        lfu.hit(key)
    lfu.hit(b"c")
    assert lfu.admit(b"d", 1) == [b"a"]
    assert lfu.admit(b"e", 1) == [b"d"]


def test_a_hit_on_a_key_that_is_not_held_is_an_error() -> None:
    with pytest.raises(KeyError):
        Lfu(2).hit(b"a")


def test_a_key_in_a_level_that_is_not_its_own_is_found_by_the_invariants() -> None:
    lfu = Lfu(3)
    lfu.admit(b"a", 1)
    lfu.admit(b"b", 1)
    lfu.hit(b"b")
    lfu._levels[b"a"] = lfu._levels[b"b"]
    with pytest.raises(AssertionError, match="b'a' stands in a level that is not its own"):
        lfu.check_invariants()


def test_levels_out_of_order_are_found_by_the_invariants() -> None:
    lfu = Lfu(3)
    lfu.admit(b"a", 1)
    lfu.admit(b"b", 1)
    lfu.hit(b"b")
    lfu._levels[b"a"].frequency = 3
    with pytest.raises(AssertionError, match="level 2 stands above 3"):
        lfu.check_invariants()
