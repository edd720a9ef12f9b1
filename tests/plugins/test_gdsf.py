"""The policy `gdsf` lets the lowest frequency by weight go, and forgets slowly what used to be asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.plugins.policies.gdsf import MOST_DEAD, Gdsf

CAPACITY_BYTES = 50
KEYS = [b"%d" % number for number in range(8)]


class ListGdsf:
    """The oracle: for each key its priority, the step of its last touch, its frequency and weight; no heap."""

    def __init__(self) -> None:
        self.step = 0
        self.inflation = 0.0
        self.held: dict[bytes, tuple[float, int, int, int]] = {}

    def request(self, key: bytes, weight: int) -> list[bytes] | None:
        """The victims of the admission; None for a hit."""
        self.step += 1
        if key in self.held:
            _, _, frequency, weight = self.held[key]
            priority = self.inflation + (frequency + 1) * 1e6 / max(weight, 1)
            self.held[key] = (priority, self.step, frequency + 1, weight)
            return None
        if weight > CAPACITY_BYTES:
            return [key]
        self.held[key] = (self.inflation + 1e6 / max(weight, 1), self.step, 1, weight)
        victims = []
        while sum(held[3] for held in self.held.values()) > CAPACITY_BYTES:
            victims.append(min(self.held, key=lambda other: self.held[other]))
            self.inflation = self.held.pop(victims[-1])[0]
        return victims


# Mostly light, so that several are held at once.
WEIGHTS = st.integers(5, 15) | st.integers(0, 60)
STEPS = st.lists(st.tuples(st.booleans() | st.just(True), st.sampled_from(KEYS), WEIGHTS), max_size=150)


@given(steps=STEPS)
def test_every_victim_is_the_oracles_victim_in_the_same_order(steps: list[tuple[bool, bytes, int]]) -> None:
    gdsf, oracle = Gdsf(CAPACITY_BYTES), ListGdsf()
    for requested, key, weight in steps:
        if not requested:
            gdsf.remove(key)
            oracle.held.pop(key, None)
        elif key in gdsf:
            gdsf.hit(key)
            assert oracle.request(key, weight) is None
        else:
            assert gdsf.admit(key, weight) == oracle.request(key, weight)
        gdsf.check_invariants()
        assert len(gdsf) == len(oracle.held)


def test_a_large_file_leaves_before_many_small_ones() -> None:
    gdsf = Gdsf(100)
    gdsf.admit(b"large", 60)
    for number in range(8):
        gdsf.admit(b"%d" % number, 5)
    assert gdsf.admit(b"one more", 5) == [b"large"]


def test_a_newcomer_of_the_lowest_priority_is_refused() -> None:
    gdsf = Gdsf(10)
    for number in range(10):
        gdsf.admit(b"%d" % number, 1)
        gdsf.hit(b"%d" % number)
    assert gdsf.admit(b"large", 8) == [b"large"]
    assert len(gdsf) == 10


def test_a_newcomer_may_be_refused_after_others_have_left_for_it() -> None:
    gdsf = Gdsf(10)
    gdsf.admit(b"old", 9)
    gdsf.admit(b"small", 1)
    gdsf.hit(b"small")
    assert gdsf.admit(b"large", 10) == [b"large"]
    assert gdsf.admit(b"middling", 5) == [b"old"]
    assert gdsf.admit(b"newest", 9) == [b"newest"]


def test_dead_entries_do_not_fill_the_heap() -> None:
    gdsf = Gdsf(10_000)
    for number in range(5000):
        gdsf.admit(b"%d" % number, 1)
        gdsf.remove(b"%d" % number)
    gdsf.check_invariants()
    assert len(gdsf._heap) <= MOST_DEAD


def test_a_hit_on_a_key_that_is_not_held_is_an_error() -> None:
    with pytest.raises(KeyError):
        Gdsf(2).hit(b"a")


def test_a_heap_out_of_order_is_found_by_the_invariants() -> None:
    gdsf = Gdsf(10)
    gdsf.admit(b"a", 1)
    gdsf.admit(b"b", 2)
    gdsf._heap.reverse()
    with pytest.raises(AssertionError, match="the heap is out of order at 1"):
        gdsf.check_invariants()
