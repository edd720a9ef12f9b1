"""A replay counts what a cache in front of the policy would miss."""

import pytest

from tests.plugins.replay import replay as replay_asking
from tests.support.zipf import trace as zipf
from wsrv.engine.cache.simulation import replay as module
from wsrv.engine.cache.simulation.replay import Missed, replay
from wsrv.engine.cache.simulation.trace import Trace
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.registry import load

POLICIES = load().policies


def test_first_requests_miss_and_later_ones_hit_while_there_is_room() -> None:
    trace = Trace.of([(b"a", 10), (b"b", 5), (b"a", 10), (b"b", 5)])
    assert replay(Lru(15), trace) == Missed(2, 15)
    assert replay(Lru(14), trace) == Missed(4, 30)


def test_an_object_keeps_the_weight_that_it_came_in_with() -> None:
    trace = Trace.of([(b"a", 10), (b"a", 99), (b"b", 5), (b"a", 99)])
    assert replay(Lru(15), trace) == Missed(2, 15)


def test_what_is_refused_is_missed_each_time() -> None:
    assert replay(Lru(9), Trace.of([(b"a", 10)] * 3)) == Missed(3, 30)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_is_asked_who_is_held_gives_the_same_hits(name: str) -> None:
    requests = zipf(500, 0.8, 5000, seed=4)
    hits = replay_asking(POLICIES[name](400_000), requests)
    missed = replay(POLICIES[name](400_000), Trace.of(requests))
    assert missed.requests == hits.count(False)
    assert missed.size_bytes == sum(size for (_, size), hit in zip(requests, hits, strict=True) if not hit)


def test_chunks_make_no_difference_and_progress_is_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace.of(zipf(50, 0.8, 1000, seed=4))
    whole = replay(Lru(50_000), trace)
    steps: list[int] = []
    monkeypatch.setattr(module, "CHUNK", 300)
    assert replay(Lru(50_000), trace, steps.append) == whole
    assert steps == [300, 300, 300, 100]
