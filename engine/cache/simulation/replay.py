# A cache without content: who is held is all that it knows.
#
# As in the server, the store knows who is held and the policy only decides who leaves; so a hit costs the simulation
# what it costs the server, and a policy is never asked whether it holds a key.
"""Requests of a trace, played to a policy."""

from dataclasses import dataclass

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.simulation.trace import Progress, Trace, nobody

# Requests between two words about progress: some 0.1 s.
CHUNK = 100_000


@dataclass(frozen=True)
class Missed:
    """How many requests were misses, and how many bytes they were for."""

    requests: float
    size_bytes: float


def replay(policy: Policy, trace: Trace, progress: Progress = nobody) -> Missed:
    """What `policy`, empty at first, misses of `trace`. An object keeps the weight that it came in with."""
    held: set[bytes] = set()
    hit, admit = policy.hit, policy.admit
    missed = missed_bytes = 0
    for begin in range(0, len(trace), CHUNK):
        keys = trace.keys[begin : begin + CHUNK]
        for key, size in zip(keys, trace.sizes[begin : begin + CHUNK], strict=True):
            if key in held:
                hit(key)
                continue
            missed += 1
            missed_bytes += size
            held.add(key)
            held.difference_update(admit(key, size))
        progress(len(keys))
    return Missed(missed, missed_bytes)
