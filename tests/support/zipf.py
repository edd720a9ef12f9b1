# Rank r of n is asked for with a probability proportional to 1 / r^exponent (Breslau et al., INFOCOM '99).
"""Traces that look like the web's, made of a seed."""

import random
from itertools import accumulate

Trace = list[tuple[bytes, int]]


def keys(objects: int, exponent: float, requests: int, seed: int) -> list[bytes]:
    """`requests` keys; the key of a rank is its number."""
    weights = [*accumulate(rank**-exponent for rank in range(1, objects + 1))]
    return [b"%d" % rank for rank in random.Random(seed).choices(range(objects), cum_weights=weights, k=requests)]


def sizes(objects: int, seed: int) -> dict[bytes, int]:
    """A size in bytes for each key, log-normal: most some KB, few some 100 KB."""
    draw = random.Random(seed)
    return {b"%d" % rank: int(draw.lognormvariate(8, 1.5)) + 1 for rank in range(objects)}


def trace(objects: int, exponent: float, requests: int, seed: int, unit: bool = False) -> Trace:
    """Requests as pairs of key and size; with `unit` all sizes are 1."""
    weight = dict.fromkeys(sizes(objects, seed), 1) if unit else sizes(objects, seed)
    return [(key, weight[key]) for key in keys(objects, exponent, requests, seed)]
