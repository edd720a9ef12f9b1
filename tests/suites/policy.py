# What the store relies on, whatever the policy.
"""The contract of a cache policy."""

import json
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from wsrv.engine.cache.policy import Policy, order_of, state_of
from wsrv.engine.settings import CacheSettings
from wsrv.plugins.checks import faults

CAPACITY_BYTES = 100
KEYS = [b"key-%d" % number for number in range(24)]

# A step asks for a key, which then is hit or admitted with the weight, or removes it, held or not.
REQUESTS = st.tuples(st.just("request"), st.sampled_from(KEYS), st.integers(0, CAPACITY_BYTES + 20))
REMOVALS = st.tuples(st.just("remove"), st.sampled_from(KEYS), st.just(0))
STEPS = st.lists(st.one_of(REQUESTS, REQUESTS, REQUESTS, REMOVALS), max_size=120)


def admit(
    policy: Policy, held: dict[bytes, int], key: bytes, weight: int, capacity_bytes: int = CAPACITY_BYTES
) -> None:
    """Admit, check the victims, and do in `held` what the policy says it has done."""
    victims = policy.admit(key, weight)
    assert len(set(victims)) == len(victims), "a victim was named twice"
    if key in victims:
        assert victims[-1] == key, "a key was refused, and others left after it"
        assert weight <= capacity_bytes or victims == [key], "a key was heavier than everything, and others left for it"
    else:
        assert weight <= capacity_bytes, "heavier than everything, and admitted"
    held[key] = weight
    for victim in victims:
        assert victim in held, "a victim was not held"
        del held[victim]


def check(policy: Policy, held: dict[bytes, int], capacity_bytes: int = CAPACITY_BYTES) -> None:
    """The policy knows what `held` knows."""
    policy.check_invariants()
    assert {key for key in KEYS if key in policy} == set(held)
    assert len(policy) == len(held)
    assert policy.weight_bytes == sum(held.values()) <= capacity_bytes


class Life(RuleBasedStateMachine):
    """A policy under requests, scans and removals, at a capacity of any size; after each step it is walked through."""

    policy: ClassVar[type[Policy]]

    @initialize(capacity_bytes=st.integers(0, 400))
    def begin(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held: dict[bytes, int] = {}
        self.living = self.policy(capacity_bytes)

    @rule(key=st.sampled_from(KEYS), weight=st.integers(0, 450), times=st.integers(1, 20))
    def ask(self, key: bytes, weight: int, times: int) -> None:
        """Several requests for one key."""
        for _ in range(times):
            self._request(key, weight)

    @rule(first=st.integers(0, len(KEYS) - 1), number=st.integers(1, len(KEYS)), weight=st.integers(0, 60))
    def scan(self, first: int, number: int, weight: int) -> None:
        """One request for each of many keys of one weight."""
        for key in (KEYS + KEYS)[first : first + number]:
            self._request(key, weight)
            check(self.living, self.held, self.capacity_bytes)

    @rule(key=st.sampled_from(KEYS))
    def remove(self, key: bytes) -> None:
        """Forget a key, held or not."""
        self.living.remove(key)
        self.held.pop(key, None)

    @rule(key=st.sampled_from(KEYS), weight=st.integers(0, 60))
    def replace(self, key: bytes, weight: int) -> None:
        """A key comes back with another weight, as when its file has changed."""
        self.remove(key)
        self.walk()
        admit(self.living, self.held, key, weight, self.capacity_bytes)

    def _request(self, key: bytes, weight: int) -> None:
        if key in self.living:
            self.living.hit(key)
        else:
            admit(self.living, self.held, key, weight, self.capacity_bytes)

    @invariant()
    def walk(self) -> None:
        """Everybody agrees on who is held."""
        check(self.living, self.held, self.capacity_bytes)


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

    def test_a_policy_keeps_its_books_through_any_life(self) -> None:
        life = type("Life", (Life,), {"policy": self.policy})
        bounds = settings(deadline=None, max_examples=50, stateful_step_count=30, report_multiple_bugs=False)
        run_state_machine_as_test(life, settings=bounds)

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

    def test_a_key_as_heavy_as_the_capacity_comes_into_an_empty_cache(self) -> None:
        policy = self.policy(CAPACITY_BYTES)
        assert policy.admit(b"key-1", CAPACITY_BYTES) == []
        check(policy, {b"key-1": CAPACITY_BYTES})

    def test_a_cache_without_room_admits_nothing_that_weighs(self) -> None:
        policy = self.policy(0)
        assert policy.admit(b"key-1", 1) == [b"key-1"]
        check(policy, {}, 0)

    def test_what_it_tells_of_a_key_is_json_and_of_others_it_tells_nothing(self) -> None:
        """Only where it tells anything: the method `state` is optional."""
        policy = self.policy(CAPACITY_BYTES)
        held: dict[bytes, int] = {}
        for key in KEYS[:8]:
            admit(policy, held, key, 30)
        for key in held:
            policy.hit(key)
            assert all(isinstance(word, str) for word in state_of(policy, key))
            json.dumps(state_of(policy, key), allow_nan=False)
        if hasattr(policy, "state"):
            with pytest.raises(KeyError):
                policy.state(b"never seen")
        check(policy, held)

    @given(steps=STEPS)
    @settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    def test_its_order_has_every_key_once_and_asking_for_it_changes_nothing(
        self, steps: list[tuple[str, bytes, int]]
    ) -> None:
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
        assert sorted(order_of(policy, held)) == sorted(held)
        check(policy, held)

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
