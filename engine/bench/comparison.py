# Which of several is better, where that can be said at all.
#
# All contenders run in each round, one after the other, so that what else the machine does falls on all alike, and it
# is the ratio within a round that is looked at. Its median lies, with a probability that is known for any distribution,
# between two of the ordered ratios (the sign test's interval: Conover, Practical Nonparametric Statistics, 3.2).
"""Medians with their confidence intervals, and winners."""

from collections.abc import Mapping, Sequence
from math import comb
from statistics import median
from typing import NamedTuple

CONFIDENCE = 0.95
# With fewer rounds no two of the ordered values hold the median with that confidence.
FEWEST_ROUNDS = 6


class Interval(NamedTuple):
    """The median of what was seen, and where the true one lies."""

    median: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """The median and its interval of CONFIDENCE; of all values where they are too few for it."""
    ordered = sorted(values)
    number = len(ordered)
    skipped, outside = 0, 2 * 0.5**number
    while outside <= 1 - CONFIDENCE and 2 * (skipped + 1) < number:
        outside += 2 * comb(number, skipped + 1) * 0.5**number
        if outside > 1 - CONFIDENCE:
            break
        skipped += 1
    return Interval(median(ordered), ordered[skipped], ordered[number - 1 - skipped])


def ratios(rounds: Sequence[float], against: Sequence[float]) -> list[float]:
    """Round by round, how much of `against` it is."""
    return [mine / other for mine, other in zip(rounds, against, strict=True) if other]


def winner(contenders: Mapping[str, Sequence[float]], more_is_better: bool) -> str | None:
    """The contender that is better than each other one by more than chance explains; None where there is no such."""
    best = (max if more_is_better else min)(contenders, key=lambda name: median(contenders[name]))
    for name, values in contenders.items():
        if name == best:
            continue
        found = ratios(contenders[best], values)
        if len(found) < FEWEST_ROUNDS:
            return None
        ratio = interval(found)
        if not (ratio.low > 1 if more_is_better else ratio.high < 1):
            return None
    return best
