# The model is a store that keeps everything in a dict and believes nothing that the policy does not say.
"""The Store keeps exactly what its policy holds, and tells everybody who leaves, once."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.cache.store import Store
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.registry import load

POLICIES = load().policies
CAPACITY_BYTES = 100
KEYS = [b"key-%d" % number for number in range(12)]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, CAPACITY_BYTES + 20)),
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, CAPACITY_BYTES // 3)),
        st.tuples(st.just("hit"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("drop"), st.sampled_from(KEYS), st.just(0)),
    ),
    max_size=80,
)


class Told:
    """A store of numbered values over `lru`, and who it said has left."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self.left: list[int] = []
        self.store: Store[int] = Store(Lru(capacity_bytes), self.left.append)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.mark.parametrize("name", POLICIES)
@given(steps=steps)
@settings(deadline=None)
def test_what_came_in_is_there_or_has_been_told_to_leave(name: str, steps: list[tuple[str, bytes, int]]) -> None:
    left: Counter[int] = Counter()
    store: Store[int] = Store(POLICIES[name](CAPACITY_BYTES), lambda value: left.update((value,)))
    held: dict[bytes, int] = {}
    came: dict[int, bytes] = {}
    evictions = 0
    for number, (what, key, weight) in enumerate(steps):
        before = dict(held)
        gone_before = left.total()
        if what == "put":
            taken = store.put(key, number, weight)
            came[number] = key
            assert taken == (store.get(key) == number)
            held = {k: v for k in KEYS if (v := store.get(k)) is not None}
            evictions += len(before.keys() - held.keys() - {key})
            assert taken or weight > 0, "weightless, and refused"
        elif what == "drop":
            store.drop(key)
            held.pop(key, None)
        elif key in held:
            store.policy.hit(key)
        assert {k: store.get(k) for k in KEYS} == {k: held.get(k) for k in KEYS}
        assert left.total() + len(held) == len(came), "somebody left untold, or was told who stayed"
        assert left.total() >= gone_before
        store.policy.check_invariants()
        assert {k for k in KEYS if k in store.policy} == set(held)
        assert len(store) == len(store.policy) == len(held)
        assert store.size_bytes == store.policy.weight_bytes <= CAPACITY_BYTES
        assert store.evictions == evictions
    assert max(left.values(), default=1) == 1, "somebody was told to leave twice"
    assert not set(left) & set(held.values()), "somebody was told to leave and is still there"


def test_the_one_asked_for_longest_ago_leaves_and_is_told(told: Told) -> None:
    for number, key in enumerate(KEYS[:3]):
        assert told.store.put(key, number, 40 if number < 2 else 10)
    told.store.policy.hit(KEYS[0])
    assert told.store.put(KEYS[3], 3, 30)
    assert told.left == [1]
    assert told.store.evictions == 1
    assert [told.store.get(key) for key in KEYS[:4]] == [0, None, 2, 3]


def test_one_heavy_guest_sends_several_away(told: Told) -> None:
    for number, key in enumerate(KEYS[:5]):
        told.store.put(key, number, 20)
    assert told.store.put(KEYS[5], 5, 61)
    assert told.left == [0, 1, 2, 3]
    assert told.store.evictions == 4
    assert told.store.size_bytes == 81


def test_what_is_refused_is_told_at_once_and_is_no_eviction(told: Told) -> None:
    told.store.put(KEYS[0], 0, 10)
    assert not told.store.put(KEYS[1], 1, CAPACITY_BYTES + 1)
    assert told.left == [1]
    assert told.store.get(KEYS[1]) is None
    assert told.store.get(KEYS[0]) == 0
    assert told.store.evictions == 0


def test_what_is_replaced_is_told_and_is_no_eviction(told: Told) -> None:
    told.store.put(KEYS[0], 0, 10)
    assert told.store.put(KEYS[0], 1, 90)
    assert told.left == [0]
    assert told.store.get(KEYS[0]) == 1
    assert told.store.size_bytes == 90
    assert told.store.evictions == 0


def test_what_is_replaced_leaves_even_when_its_successor_is_refused(told: Told) -> None:
    # The old value is not what the file is any more: it must not be served again.
    told.store.put(KEYS[0], 0, 10)
    assert not told.store.put(KEYS[0], 1, CAPACITY_BYTES + 1)
    assert told.left == [0, 1]
    assert told.store.get(KEYS[0]) is None
    assert (len(told.store), told.store.size_bytes, told.store.evictions) == (0, 0, 0)


def test_what_is_dropped_is_told_and_its_room_is_free(told: Told) -> None:
    told.store.put(KEYS[0], 0, CAPACITY_BYTES)
    told.store.drop(KEYS[0])
    told.store.drop(KEYS[0])
    assert told.left == [0]
    assert told.store.put(KEYS[1], 1, CAPACITY_BYTES)
    assert told.store.evictions == 0


def test_looking_is_no_hit(told: Told) -> None:
    told.store.put(KEYS[0], 0, 50)
    told.store.put(KEYS[1], 1, 50)
    assert told.store.get(KEYS[0]) == 0
    told.store.put(KEYS[2], 2, 50)
    assert told.left == [0]


def test_a_store_without_room_keeps_nothing_that_weighs() -> None:
    told = Told(0)
    assert not told.store.put(KEYS[0], 0, 1)
    assert told.left == [0]
    assert len(told.store) == 0
