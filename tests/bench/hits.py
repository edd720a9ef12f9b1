# What a policy costs a request: python -m tests.bench.hits --rounds 5
#
# A hit is one call of the hot path, so it is timed as the hot path makes it: the bound method looked up once, the key
# an object that is there already. An admission is timed with the victims that it makes, into a cache that is full; the
# keys are new, as after a scan. The loop around the calls is timed without them and taken off.
#
# Rounds go through all policies one after the other, so that a machine that is busy for a while is busy for all; the
# least of each is shown. Ratios to lru within one run say more than the nanoseconds.
"""Nanoseconds of a hit and of an admission, by policy, as a Markdown table on stdout."""

import argparse
import gc
import time
from collections.abc import Callable, Sequence

from tests.support.zipf import keys as zipf
from wsrv.engine.cache.policy import Policy
from wsrv.plugins.registry import load

WEIGHT = 1000
EXPONENT = 0.8


def filled(policy: type[Policy], objects: int) -> Policy:
    """A cache that is full of `objects` keys."""
    made = policy(objects * WEIGHT)
    for number in range(objects):
        made.admit(b"%d" % number, WEIGHT)
    return made


def hits_ns(hit: Callable[[bytes], object], keys: Sequence[bytes]) -> float:
    """Nanoseconds a call."""
    begin = time.thread_time_ns()
    for key in keys:
        hit(key)
    return (time.thread_time_ns() - begin) / len(keys)


def loop_ns(keys: Sequence[bytes]) -> float:
    """Nanoseconds of the loop around a call."""
    begin = time.thread_time_ns()
    for _ in keys:
        pass
    return (time.thread_time_ns() - begin) / len(keys)


def admissions_ns(admit: Callable[[bytes, int], object], keys: Sequence[bytes]) -> float:
    """Nanoseconds an admission."""
    begin = time.thread_time_ns()
    for key in keys:
        admit(key, WEIGHT)
    return (time.thread_time_ns() - begin) / len(keys)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.hits", description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000, help="held at once")
    parser.add_argument("--calls", type=int, default=200_000, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    policies = load().policies
    # Bytes objects of their own: their hash is known from the first call on, as that of a Prepared's key is.
    asked = zipf(args.objects, EXPONENT, args.calls, seed=1)
    own = {key: key for key in asked}
    asked = [own[key] for key in asked]
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in policies}
    gc.disable()
    for number in range(args.rounds):
        around = loop_ns(asked)
        new = [b"new-%d-%d" % (number, call) for call in range(args.calls)]
        for name, policy in policies.items():
            cache = filled(policy, args.objects)
            held = [key for key in asked if key in cache]
            hit = hits_ns(cache.hit, held) - around
            costs[name].append((hit, admissions_ns(cache.admit, new) - around))
        gc.collect()

    least = {name: tuple(map(min, zip(*rounds, strict=True))) for name, rounds in costs.items()}
    base_hit, base_admit = least.get("lru", next(iter(least.values())))
    print(
        f"{args.objects:,} objects held, {args.calls:,} calls a round, least of {args.rounds} rounds; CPU of one thread"
    )
    print()
    print("| policy | hit, ns | to lru | admission, ns | to lru |")
    print("|---|---|---|---|---|")
    for name, (hit, admit) in least.items():
        print(f"| `{name}` | {hit:.0f} | {hit / base_hit:.1f} | {admit:.0f} | {admit / base_admit:.1f} |")


if __name__ == "__main__":
    main()
