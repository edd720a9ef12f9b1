# Which policy, and how large. What counts is the object miss ratio: a miss costs the server about the same whatever
# the size, because the kernel has most files in memory too.
"""The recommendation at the end of a simulation."""

from collections.abc import Mapping
from dataclasses import dataclass

from wsrv.engine.cache.simulation.experiment import Curve

# A cache is large enough when a larger one would save at most this share of the requests.
NOT_WORTH_MORE = 0.01

# Policies this close to each other are equally good; then the usual one is chosen, or the one that is listed first.
EQUALLY_GOOD = 0.001


@dataclass(frozen=True)
class Choice:
    """A policy at a size, and the same with the usual policy.

    `usual_needs_bytes` is the smallest size at which the usual policy misses no more; None when none tried is enough.
    """

    policy: str
    size_bytes: int
    object_miss_ratio: float
    byte_miss_ratio: float
    usual: str
    usual_object_miss_ratio: float
    usual_byte_miss_ratio: float
    usual_needs_bytes: int | None


def choose(sizes_bytes: tuple[int, ...], curves: Mapping[str, Curve], usual: str) -> Choice:
    """The smallest size that is large enough, and the best policy there. `usual` is one of `curves`."""
    best = [min(curve.objects[place] for curve in curves.values()) for place in range(len(sizes_bytes))]
    by_size = sorted(range(len(sizes_bytes)), key=lambda place: sizes_bytes[place])
    enough = min(best) + NOT_WORTH_MORE
    chosen = next(place for place in by_size if best[place] <= enough)
    good = min(best[chosen] + EQUALLY_GOOD, enough)
    name = next(name for name in (usual, *curves) if curves[name].objects[chosen] <= good)
    ratio = curves[name].objects[chosen]
    needs = next((sizes_bytes[place] for place in by_size if curves[usual].objects[place] <= ratio), None)
    return Choice(
        policy=name,
        size_bytes=sizes_bytes[chosen],
        object_miss_ratio=ratio,
        byte_miss_ratio=curves[name].bytes[chosen],
        usual=usual,
        usual_object_miss_ratio=curves[usual].objects[chosen],
        usual_byte_miss_ratio=curves[usual].bytes[chosen],
        usual_needs_bytes=needs,
    )
