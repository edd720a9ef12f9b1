# The oracle is the paper's picture, word by word: one list, youngest first, and a hand that is a place in it.
"""The policy `sieve` is the algorithm of the paper, whatever is removed in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.plugins.policies.sieve import Sieve

CAPACITY_BYTES = 50
KEYS = [b"%d" % number for number in range(8)]


class ListSieve:
    """The oracle: [key, weight, marked], youngest first; the hand is the key that it stands on, or None."""

    def __init__(self) -> None:
        self.queue: list[list[object]] = []
        self.hand: object = None

    def place(self, key: object) -> int | None:
        return next((place for place, entry in enumerate(self.queue) if entry[0] == key), None)

    def weight(self) -> int:
        return sum(int(str(entry[1])) for entry in self.queue)

    def younger(self, place: int) -> object:
        """Where the hand goes from here; None past the young end."""
        return self.queue[place - 1][0] if place else None

    def request(self, key: bytes, weight: int) -> list[object] | None:
        """The victims of the admission; None for a hit."""
        found = self.place(key)
        if found is not None:
            self.queue[found][2] = True
            return None
        if weight > CAPACITY_BYTES:
            return [key]
        victims = []
        while self.weight() + weight > CAPACITY_BYTES:
            place = self.place(self.hand)
            if place is None:
                place = len(self.queue) - 1
            while self.queue[place][2]:
                self.queue[place][2] = False
                place = place - 1 if place else len(self.queue) - 1
            self.hand = self.younger(place)
            victims.append(self.queue.pop(place)[0])
        self.queue.insert(0, [key, weight, False])
        return victims

    def remove(self, key: bytes) -> None:
        place = self.place(key)
        if place is not None:
            if self.hand == key:
                self.hand = self.younger(place)
            del self.queue[place]


# Mostly light, so that several are held at once.
WEIGHTS = st.integers(5, 15) | st.integers(0, 60)
STEPS = st.lists(st.tuples(st.booleans() | st.just(True), st.sampled_from(KEYS), WEIGHTS), max_size=150)


@given(steps=STEPS)
def test_every_victim_is_the_oracles_victim_in_the_same_order(steps: list[tuple[bool, bytes, int]]) -> None:
    sieve, oracle = Sieve(CAPACITY_BYTES), ListSieve()
    for requested, key, weight in steps:
        if not requested:
            sieve.remove(key)
            oracle.remove(key)
        elif key in sieve:
            sieve.hit(key)
            assert oracle.request(key, weight) is None
        else:
            assert sieve.admit(key, weight) == oracle.request(key, weight)
        sieve.check_invariants()
        assert len(sieve) == len(oracle.queue)


def test_what_is_spared_stays_where_it_is_and_the_hand_goes_on() -> None:
    sieve = Sieve(3)
    for key in (b"a", b"b", b"c"):
        sieve.admit(key, 1)
    sieve.hit(b"a")
    assert sieve.admit(b"d", 1) == [b"b"]
    assert sieve.admit(b"e", 1) == [b"c"]
    # CLOCK would have made `a` the youngest; here the hand comes to `d` and `e` first, and then back to `a`.
    assert [sieve.admit(key, 1) for key in (b"f", b"g")] == [[b"d"], [b"e"]]


def test_when_the_last_ahead_of_the_hand_is_removed_the_hand_begins_again() -> None:
    sieve = Sieve(3)
    for key in (b"a", b"b", b"c"):
        sieve.admit(key, 1)
    sieve.hit(b"a")
    sieve.hit(b"b")
    sieve.remove(b"c")
    sieve.admit(b"c", 1)
    # `a` and `b` are spared, `c` leaves, and the hand is past the young end: back to `a`.
    assert sieve.admit(b"d", 1) == [b"c"]
    sieve.hit(b"a")
    assert sieve.admit(b"e", 1) == [b"b"]
    sieve.remove(b"d")
    sieve.remove(b"e")
    sieve.check_invariants()
    assert sieve.admit(b"f", 3) == [b"a"]


def test_a_mark_of_nobody_is_found_by_the_invariants() -> None:
    sieve = Sieve(3)
    sieve.hit(b"stranger")
    with pytest.raises(AssertionError, match="a key is marked that is not held"):
        sieve.check_invariants()


def test_a_key_on_both_sides_of_the_hand_is_found_by_the_invariants() -> None:
    sieve = Sieve(3)
    sieve.admit(b"a", 1)
    sieve._behind[b"a"] = None
    with pytest.raises(AssertionError, match="the queue: 2 keys for 1 held"):
        sieve.check_invariants()
