# What the store relies on, whatever the policy.
"""Every registered cache policy does what the protocol says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.cache.policy import Policy
from wsrv.engine.settings import CacheSettings
from wsrv.plugins.registry import load

POLICIES = load().policies
CAPACITY_BYTES = 100
KEYS = [b"key-%d" % number for number in range(24)]

# A step asks for a key, which then is hit or admitted with the weight, or removes it, held or not.
REQUESTS = st.tuples(st.just("request"), st.sampled_from(KEYS), st.integers(0, CAPACITY_BYTES + 20))
REMOVALS = st.tuples(st.just("remove"), st.sampled_from(KEYS), st.just(0))
STEPS = st.lists(st.one_of(REQUESTS, REQUESTS, REQUESTS, REMOVALS), max_size=120)

each_policy = pytest.mark.parametrize("policy_class", POLICIES.values(), ids=POLICIES)


def admit(policy: Policy, held: dict[bytes, int], key: bytes, weight: int) -> None:
    """Admit, check the victims, and do in `held` what the policy says it has done."""
    victims = policy.admit(key, weight)
    if key in victims:
        assert victims == [key], "a key was refused, and others left for it"
        return
    assert weight <= CAPACITY_BYTES, "heavier than everything, and admitted"
    assert len(set(victims)) == len(victims), "a victim was named twice"
    held[key] = weight
    for victim in victims:
        del held[victim]  # KeyError: the victim was not held


def check(policy: Policy, held: dict[bytes, int]) -> None:
    """The policy knows what `held` knows."""
    policy.check_invariants()
    assert {key for key in KEYS if key in policy} == set(held)
    assert len(policy) == len(held)
    assert policy.weight_bytes == sum(held.values()) <= CAPACITY_BYTES


@each_policy
@given(steps=STEPS)
@settings(deadline=None)
def test_a_policy_accounts_for_every_key_after_every_step(
    policy_class: type[Policy], steps: list[tuple[str, bytes, int]]
) -> None:
    policy = policy_class(CAPACITY_BYTES)
    held: dict[bytes, int] = {}
    for what, key, weight in steps:
        if what == "remove":
            policy.remove(key)
            held.pop(key, None)
        elif key in policy:
            policy.hit(key)
        else:
            admit(policy, held, key, weight)
        check(policy, held)


@each_policy
def test_a_key_heavier_than_the_capacity_is_refused_and_nobody_leaves(policy_class: type[Policy]) -> None:
    policy = policy_class(CAPACITY_BYTES)
    held: dict[bytes, int] = {}
    admit(policy, held, b"key-1", 40)
    assert policy.admit(b"key-2", CAPACITY_BYTES + 1) == [b"key-2"]
    check(policy, held)


@each_policy
def test_a_key_comes_into_an_empty_cache_that_has_room_for_it(policy_class: type[Policy]) -> None:
    policy = policy_class(CAPACITY_BYTES)
    assert policy.admit(b"key-1", CAPACITY_BYTES // 2) == []
    assert b"key-1" in policy


@each_policy
def test_removing_twice_is_removing_once(policy_class: type[Policy]) -> None:
    policy = policy_class(CAPACITY_BYTES)
    policy.admit(b"key-1", 40)
    policy.remove(b"key-1")
    policy.remove(b"key-1")
    check(policy, {})


@each_policy
def test_a_key_that_has_left_can_come_back(policy_class: type[Policy]) -> None:
    policy = policy_class(CAPACITY_BYTES)
    held: dict[bytes, int] = {}
    for _ in range(3):
        for key in KEYS:
            if key not in policy:
                admit(policy, held, key, 30)
                check(policy, held)


@each_policy
def test_the_class_says_its_name_and_whether_it_is_available(policy_class: type[Policy]) -> None:
    assert POLICIES[policy_class.NAME] is policy_class
    assert policy_class.__doc__
    reason = policy_class.available(CacheSettings())
    assert reason is None or " " in reason
