# libCacheSim (Yang et al.) is the simulator of the authors of S3-FIFO and SIEVE. It evicts before it inserts (GDSF
# after), keeps the size that a key came in with, and does not admit what is larger than the cache.
#
# It is under the GPL: only tests import it, and nothing of it is shipped.
"""The policies hit and miss exactly where libCacheSim's do, request by request."""

import json
import platform
import random
from pathlib import Path

import pytest

from tests.cli.program import wsrv
from tests.plugins.replay import replay
from tests.support.zipf import Trace, trace
from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.variants import variant
from wsrv.plugins.policies.arc import Arc
from wsrv.plugins.policies.clock import Clock
from wsrv.plugins.policies.fifo import Fifo
from wsrv.plugins.policies.gdsf import Gdsf
from wsrv.plugins.policies.lfu import Lfu
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.policies.s3fifo import S3Fifo
from wsrv.plugins.policies.sieve import Sieve

pytestmark = pytest.mark.once("arithmetic of cache policies")

libcachesim = pytest.importorskip("libcachesim", reason=f"libcachesim has no wheel for {platform.machine()}")

# Hashes of 2^14 buckets; its default of 2^24 costs 128 MiB a cache.
HASH_BITS = 14

OBJECTS = 2000
REQUESTS = 20_000


# As libCacheSim's: what the small queue could not hold is refused.
BOUNDED = variant({"s3fifo": S3Fifo}, "s3fifo:bounded=1")

BY_BYTES: dict[str, type[Policy]] = {
    "LRU": Lru,
    "FIFO": Fifo,
    "Clock": Clock,
    "LFU": Lfu,
    "Sieve": Sieve,
    "S3FIFO": BOUNDED,
    "GDSF": Gdsf,
}
BY_UNITS: dict[str, type[Policy]] = {**BY_BYTES, "ARC": Arc}


def oracle(name: str, capacity_bytes: int, requests: Trace) -> list[bool]:
    """Whether each request was a hit in libCacheSim."""
    cache = getattr(libcachesim, name)(cache_size=capacity_bytes, hashpower=HASH_BITS)
    asked = libcachesim.Request()
    hits = []
    for key, size in requests:
        asked.obj_id = int(key) + 1
        asked.obj_size = size
        hits.append(cache.get(asked))
    return hits


def compare(name: str, make: type[Policy], capacity_bytes: int, requests: Trace) -> None:
    """The same hits; else the number of the first request that differs."""
    policy = make(capacity_bytes)
    ours, theirs = replay(policy, requests), oracle(name, capacity_bytes, requests)
    policy.check_invariants()
    assert any(theirs), "nothing was hit: the trace tells nothing"
    assert not all(key in policy for key, _ in requests), "nothing has left: the trace tells nothing"
    differences = [number for number, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
    assert not differences, f"request {differences[0]} is the first of {len(differences)} that differ"


def with_a_loop(requests: Trace) -> Trace:
    """Every third request goes to a loop over keys that nobody else asks for: what scans and crawlers do."""
    mixed = []
    for number, request in enumerate(requests):
        mixed.append(request)
        if number % 3 == 0:
            mixed.append((b"%d" % (OBJECTS + number // 3 % 400), request[1]))
    return mixed


@pytest.mark.parametrize("exponent", [0.7, 1.0])
@pytest.mark.parametrize("capacity", [7, 100, 900])
@pytest.mark.parametrize("name", BY_UNITS)
def test_at_unit_weights_on_a_zipf_trace(name: str, capacity: int, exponent: float) -> None:
    if name == "S3FIFO" and capacity < 20:
        capacity = 20  # below, a unit is 10 % of it or more, and it refuses everything
    compare(name, BY_UNITS[name], capacity, trace(OBJECTS, exponent, REQUESTS, seed=capacity, unit=True))


@pytest.mark.parametrize("exponent", [0.7, 1.0])
@pytest.mark.parametrize("capacity_bytes", [300_000, 3_000_000])
@pytest.mark.parametrize("name", BY_BYTES)
def test_at_byte_weights_on_a_zipf_trace(name: str, capacity_bytes: int, exponent: float) -> None:
    compare(name, BY_BYTES[name], capacity_bytes, trace(OBJECTS, exponent, REQUESTS, seed=capacity_bytes))


@pytest.mark.parametrize("capacity", [50, 300])
@pytest.mark.parametrize("name", BY_UNITS)
def test_at_unit_weights_with_a_loop_through_the_trace(name: str, capacity: int) -> None:
    compare(name, BY_UNITS[name], capacity, with_a_loop(trace(OBJECTS, 0.9, REQUESTS, seed=5, unit=True)))


@pytest.mark.parametrize("seed", [14, 15])
@pytest.mark.parametrize("name", BY_BYTES)
def test_with_objects_that_weigh_nothing(name: str, seed: int) -> None:
    chance = random.Random(seed)
    sizes = [chance.choice([0, 0, 1, 10, chance.randrange(1, 200), chance.randrange(1, 2000)]) for _ in range(300)]
    keys = [min(299, int(chance.paretovariate(0.7))) for _ in range(6000)]
    compare(name, BY_BYTES[name], 1000, [(b"%d" % key, sizes[key]) for key in keys])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", BY_UNITS)
def test_where_hardly_anything_fits(name: str, seed: int) -> None:
    # What seldom comes up in large caches: targets that are met exactly, queues that run empty.
    capacity = 20 if name == "S3FIFO" else (2, 3, 5, 10)[seed]
    compare(name, BY_UNITS[name], capacity, trace(60, 0.5, 3000, seed=seed, unit=True))


@pytest.mark.parametrize("name", BY_BYTES)
def test_the_size_that_a_key_came_in_with_stays(name: str) -> None:
    draw = random.Random(11)
    requests = [(key, draw.randint(1, 4000)) for key, _ in trace(OBJECTS, 0.9, REQUESTS, seed=11)]
    compare(name, BY_BYTES[name], 400_000, requests)


def test_the_command_misses_as_often_with_sizes_that_change_and_some_too_large(tmp_path: Path) -> None:
    draw = random.Random(12)
    requests = [(key, draw.choice((1, 500, 4000, 30_000, 90_000))) for key, _ in trace(OBJECTS, 0.9, REQUESTS, seed=12)]
    path = tmp_path / "trace.csv"
    path.write_text("".join(f"{number},{key.decode()},{size}\n" for number, (key, size) in enumerate(requests)))
    names = {policy.NAME: name for name, policy in BY_BYTES.items()}
    sizes = (80_000, 2_000_000)
    options = [*(f"--policy={name}" for name in names), *(f"--size={size}" for size in sizes)]
    run = wsrv("cache", "simulate", str(path), *options, "--json")
    assert run.stderr == ""
    found = json.loads(run.stdout)["policies"]
    for ours, theirs in names.items():
        misses = [oracle(theirs, size, requests).count(False) / REQUESTS for size in sizes]
        assert found[ours]["object_miss_ratio"] == misses, ours


@pytest.mark.parametrize("capacity_bytes", [100, 200])
def test_what_is_about_as_heavy_as_the_small_queue_of_s3fifo(capacity_bytes: int) -> None:
    # Refused above 10 % of the cache at once, at just 10 % after others have left, and never while it is a ghost.
    draw = random.Random(capacity_bytes)
    requests = [(key, draw.randint(1, 40)) for key, _ in trace(200, 0.8, REQUESTS, seed=3)]
    compare("S3FIFO", BOUNDED, capacity_bytes, requests)
