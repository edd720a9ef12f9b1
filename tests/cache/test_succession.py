"""Another policy for a store that is in use, and the reasons for which things left it."""

from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cache.test_store import CAPACITY_BYTES, KEYS, POLICIES, Told, steps
from wsrv.engine.cache.policy import Policy, order_of
from wsrv.engine.cache.store import CHANGED, CLEARED, Departure, Store
from wsrv.engine.settings import CacheSettings
from wsrv.plugins.policies.fifo import Fifo
from wsrv.plugins.policies.lfu import Lfu
from wsrv.plugins.policies.lru import Lru


@pytest.fixture
def told() -> Told:
    return Told()


class Silent(Lru):
    """An old plugin's: it tells nothing."""

    state = None  # type: ignore[assignment]  # what it has not
    order = None  # type: ignore[assignment]


def drive(moves: Iterator[None]) -> None:
    for _ in moves:
        pass


def without_times(departures: list[Departure]) -> list[tuple[bytes, int, str, bytes | None]]:
    return [(one.key, one.weight, one.reason, one.pushed_by) for one in departures]


@pytest.mark.parametrize("heir", POLICIES)
@given(name=st.sampled_from(sorted(POLICIES)), before=steps, meanwhile=steps)
@settings(deadline=None, max_examples=40)
def test_a_store_in_use_changes_its_policy_and_loses_nothing_untold(
    name: str, heir: str, before: list[tuple[str, bytes, int]], meanwhile: list[tuple[str, bytes, int]]
) -> None:
    left: list[int] = []
    store: Store[int] = Store(POLICIES[name](CAPACITY_BYTES), left.append)
    numbers = iter(range(1000))
    came: list[int] = []

    def do(what: str, key: bytes, weight: int) -> None:
        if what == "put":
            came.append(next(numbers))
            store.put(key, came[-1], weight)
        elif what == "drop":
            store.drop(key)
        elif store.get(key) is not None:
            store.policy.hit(key)

    for step in before:
        do(*step)
    policy: Policy = POLICIES[heir](CAPACITY_BYTES)
    moves = store.succeed(policy)
    waiting = iter(meanwhile)
    for _ in moves:
        for during in islice(waiting, 2):
            do(*during)
    assert store.policy is policy
    policy.check_invariants()
    held = {key: value for key in KEYS if (value := store.get(key)) is not None}
    assert {key for key in KEYS if key in policy} == set(held)
    assert len(store) == len(policy) == len(held)
    assert store.size_bytes == sum(store.weight(key) for key in held) <= CAPACITY_BYTES
    assert sorted([*left, *held.values()]) == came
    for step in waiting:
        do(*step)
        policy.check_invariants()


def test_the_heir_takes_over_in_the_order_of_the_one_before(told: Told) -> None:
    for number, key in enumerate(KEYS[:4]):
        told.store.put(key, number, 20)
    told.store.policy.hit(KEYS[0])
    drive(told.store.succeed(Fifo(CAPACITY_BYTES)))
    assert told.left == []
    told.store.put(b"large", 9, 80)
    assert told.left == [1, 2, 3], "the one that lru held dearest is the last"
    assert told.store.get(KEYS[0]) == 0


def test_what_does_not_fit_leaves_and_that_is_the_reason(told: Told) -> None:
    for number, key in enumerate(KEYS[:4]):
        told.store.put(key, number, 20)
    drive(told.store.succeed(Lfu(50)))
    assert told.left == [0, 1]
    assert without_times([*told.store.departures]) == [(KEYS[0], 20, "switched", None), (KEYS[1], 20, "switched", None)]
    assert told.store.evictions == 0


def test_there_is_one_change_at_a_time_and_one_that_is_given_up_leaves_no_trace(told: Told) -> None:
    told.store.put(KEYS[0], 0, 20)
    first = told.store.succeed(Fifo(CAPACITY_BYTES))
    next(first)
    with pytest.raises(RuntimeError):
        next(told.store.succeed(Fifo(CAPACITY_BYTES)))
    first.close()  # type: ignore[attr-defined]  # it is a generator
    assert isinstance(told.store.policy, Lru)
    drive(told.store.succeed(Fifo(CAPACITY_BYTES)))
    assert isinstance(told.store.policy, Fifo)


def test_a_policy_that_tells_nothing_is_followed_in_the_order_of_arrival() -> None:
    left: list[int] = []
    store: Store[int] = Store(Silent(CAPACITY_BYTES), left.append)
    assert Silent.available(CacheSettings()) is None
    for number, key in enumerate(KEYS[:3]):
        store.put(key, number, 20)
    store.policy.hit(KEYS[0])
    assert list(order_of(store.policy, store.held())) == KEYS[:3]
    drive(store.succeed(Fifo(CAPACITY_BYTES)))
    store.put(b"large", 9, 60)
    assert left == [0]


def test_departures_say_why_and_for_whom_and_are_bounded(told: Told) -> None:
    store = told.store
    store.put(KEYS[0], 0, 60)
    store.put(KEYS[1], 1, 60)
    store.put(KEYS[1], 2, 30)
    store.put(KEYS[2], 3, CAPACITY_BYTES + 1)
    store.drop(KEYS[1], CLEARED)
    assert without_times([*store.departures]) == [
        (KEYS[0], 60, "capacity", KEYS[1]),
        (KEYS[1], 60, CHANGED, None),
        (KEYS[2], CAPACITY_BYTES + 1, "refused", None),
        (KEYS[1], 30, "cleared", None),
    ]
    for number in range(200):
        store.put(KEYS[0], number, 1)
    assert len(store.departures) == 64


@pytest.mark.parametrize(
    ("name", "first"),
    [
        # Each key weighs 20; key-0 is asked for three times and key-1 once, in this order.
        ("lru", [b"key-2", b"key-3", b"key-0", b"key-1"]),
        ("fifo", [b"key-0", b"key-1", b"key-2", b"key-3"]),
        ("clock", [b"key-2", b"key-3", b"key-0", b"key-1"]),
        ("lfu", [b"key-2", b"key-3", b"key-1", b"key-0"]),
        ("sieve", [b"key-2", b"key-3", b"key-0", b"key-1"]),
        # The small queue's share is 10; before the first has left the rest is filled from the outside.
        ("s3fifo", [b"key-0", b"key-2", b"key-3", b"key-1"]),
        ("arc", [b"key-2", b"key-3", b"key-0", b"key-1"]),
        ("gdsf", [b"key-2", b"key-3", b"key-1", b"key-0"]),
        ("wtinylfu", [b"key-2", b"key-3", b"key-0", b"key-1"]),
    ],
)
def test_the_order_of_a_policy_is_who_leaves_first(name: str, first: list[bytes]) -> None:
    policy = POLICIES[name](CAPACITY_BYTES)
    for key in KEYS[:4]:
        assert policy.admit(key, 20) == []
    for key in (KEYS[0], KEYS[0], KEYS[0], KEYS[1]):
        policy.hit(key)
    assert list(order_of(policy, ())) == first
