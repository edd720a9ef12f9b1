# What the store relies on, whatever the policy.
"""The contract of a cache policy."""

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsrv.engine.cache.policy import Policy
from wsrv.engine.settings import CacheSettings
from wsrv.plugins.checks import faults

CAPACITY_BYTES = 100
KEYS = [b"key-%d" % number for number in range(24)]

# A step asks for a key, which then is hit or admitted with the weight, or removes it, held or not.
REQUESTS = st.tuples(st.just("request"), st.sampled_from(KEYS), st.integers(0, CAPACITY_BYTES + 20))
REMOVALS = st.tuples(st.just("remove"), st.sampled_from(KEYS), st.just(0))
STEPS = st.lists(st.one_of(REQUESTS, REQUESTS, REQUESTS, REMOVALS), max_size=120)


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
        assert victim in held, "a victim was not held"
        del held[victim]


def check(policy: Policy, held: dict[bytes, int]) -> None:
    """The policy knows what `held` knows."""
    policy.check_invariants()
    assert {key for key in KEYS if key in policy} == set(held)
    assert len(policy) == len(held)
    assert policy.weight_bytes == sum(held.values()) <= CAPACITY_BYTES


class PolicyContract:
    """Every cache policy does what the protocol says. A subclass names its class in `policy`."""

    policy: ClassVar[type[Policy]]

    def test_the_class_can_be_registered(self) -> None:
        assert faults("policy", self.policy) == []

    def test_it_says_in_a_sentence_whether_it_is_available(self) -> None:
        reason = self.policy.available(CacheSettings())
        assert reason is None or " " in reason

    @given(steps=STEPS)
    # One suite runs for many classes: that is what it is for.
    @settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    def test_a_policy_accounts_for_every_key_after_every_step(self, steps: list[tuple[str, bytes, int]]) -> None:
        policy = self.policy(CAPACITY_BYTES)
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

    @pytest.mark.parametrize("weight", [CAPACITY_BYTES + 1, 10 * CAPACITY_BYTES])
    def test_a_key_heavier_than_the_capacity_is_refused_and_nobody_leaves(self, weight: int) -> None:
        policy = self.policy(CAPACITY_BYTES)
        held: dict[bytes, int] = {}
        admit(policy, held, b"key-1", 40)
        assert policy.admit(b"key-2", weight) == [b"key-2"]
        check(policy, held)

    def test_a_key_comes_into_an_empty_cache_that_has_room_for_it(self) -> None:
        policy = self.policy(CAPACITY_BYTES)
        assert policy.admit(b"key-1", CAPACITY_BYTES // 2) == []
        assert b"key-1" in policy

    def test_removing_twice_is_removing_once(self) -> None:
        policy = self.policy(CAPACITY_BYTES)
        policy.admit(b"key-1", 40)
        policy.remove(b"key-1")
        policy.remove(b"key-1")
        check(policy, {})

    def test_a_key_that_has_left_can_come_back(self) -> None:
        policy = self.policy(CAPACITY_BYTES)
        held: dict[bytes, int] = {}
        for _ in range(3):
            for key in KEYS:
                if key not in policy:
                    admit(policy, held, key, 30)
                    check(policy, held)
