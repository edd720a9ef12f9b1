"""The policy `lru` evicts what was asked for longest ago: compared with the plainest list that does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.plugins.policies.lru import Lru

CAPACITY_BYTES = 50
KEYS = [b"%d" % number for number in range(12)]


class ListLru:
    """The oracle: pairs of key and weight, the youngest last."""

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, int]] = []

    def request(self, key: bytes, weight: int) -> list[bytes] | None:
        """The victims of the admission; None for a hit."""
        for pair in self.pairs:
            if pair[0] == key:
                self.pairs.remove(pair)
                self.pairs.append(pair)
                return None
        if weight > CAPACITY_BYTES:
            return [key]
        victims = []
        while sum(held for _, held in self.pairs) + weight > CAPACITY_BYTES:
            victims.append(self.pairs.pop(0)[0])
        self.pairs.append((key, weight))
        return victims

    def remove(self, key: bytes) -> None:
        self.pairs = [pair for pair in self.pairs if pair[0] != key]


STEPS = st.lists(st.tuples(st.booleans() | st.just(True), st.sampled_from(KEYS), st.integers(0, 60)), max_size=150)


@given(steps=STEPS)
@settings(deadline=None)
def test_every_victim_is_the_oracles_victim_in_the_same_order(steps: list[tuple[bool, bytes, int]]) -> None:
    lru, oracle = Lru(CAPACITY_BYTES), ListLru()
    for requested, key, weight in steps:
        if not requested:
            lru.remove(key)
            oracle.remove(key)
        elif key in lru:
            lru.hit(key)
            assert oracle.request(key, weight) is None
        else:
            assert lru.admit(key, weight) == oracle.request(key, weight)
        lru.check_invariants()
        assert len(lru) == len(oracle.pairs)
        assert lru.weight_bytes == sum(held for _, held in oracle.pairs)


def test_a_hit_saves_a_key_from_being_the_next_victim() -> None:
    lru = Lru(2)
    lru.admit(b"a", 1)
    lru.admit(b"b", 1)
    lru.hit(b"a")
    assert lru.admit(b"c", 1) == [b"b"]


def test_a_hit_on_a_key_that_is_not_held_is_an_error() -> None:
    with pytest.raises(KeyError):
        Lru(2).hit(b"a")


def test_a_wrong_sum_is_found_by_the_invariants() -> None:
    lru = Lru(10)
    lru.admit(b"a", 3)
    lru._weight_bytes = 4
    with pytest.raises(AssertionError, match="weight_bytes is 4, the sum is 3"):
        lru.check_invariants()


def test_more_held_than_allowed_is_found_by_the_invariants() -> None:
    lru = Lru(10)
    lru.admit(b"a", 8)
    lru._capacity_bytes = 7
    with pytest.raises(AssertionError, match="8 bytes held, 7 allowed"):
        lru.check_invariants()
