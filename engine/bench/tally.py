# What a run has seen. Durations fall into log-linear buckets, so that tallies of several processes can be added.
#
# Coordinated omission (Tene, "How NOT to Measure Latency"): a client that waits for an answer before it asks again
# asks least when the server is slowest, and the requests that it did not send are missing among the slow ones. Where a
# rate is wanted, each request has the time at which it was due, and `corrected` counts from there. Where none is,
# `corrected` puts in what was omitted, as HdrHistogram does: beside an answer that took n intervals, those that took
# n - 1, n - 2, …
"""Tallies, and what is read off them."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from math import sqrt
from operator import mul
from typing import Any

from wsrv.engine.shm.histogram import BUCKET_TABLE, BUCKETS, UNIT_SHIFT, bucket_of, bucket_top_ns, percentile_ns

UNIT_NS = 1024
_TABLE_UNITS = len(BUCKET_TABLE)
_HISTOGRAMS = ("raw", "corrected", "processing", "late")


def empty() -> "array[int]":
    """A histogram in which nothing is counted yet."""
    return array("Q", bytes(8 * BUCKETS))


@dataclass
class Tally:
    """What one process, or all of them together, counted of one run.

    `raw` and `corrected`: histograms of durations; `processing`: of those of a connection a request, from when the
    request was sent. `total_ns`, `squares`, `least_ns`, `most_ns`: of the raw ones.
    `late`: how long after its time a request was sent though a connection was free: the generator's own fault.
    `errors`: by kind; `statuses`: by status. `unsent`: were due, and had no connection until the end.
    `warm_up_answers`: those before anything was counted.
    `elapsed_ns` and `cpu_ns`: of the process that is the slowest, and of the one that worked hardest.
    """

    raw: "array[int]" = field(default_factory=empty)
    corrected: "array[int]" = field(default_factory=empty)
    processing: "array[int]" = field(default_factory=empty)
    late: "array[int]" = field(default_factory=empty)
    answers: int = 0
    total_ns: int = 0
    squares: int = 0
    least_ns: int = 0
    most_ns: int = 0
    received_bytes: int = 0
    connections: int = 0
    unsent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    warm_up_answers: int = 0
    elapsed_ns: int = 0
    cpu_ns: int = 0
    cpu_total_ns: int = 0

    def count(self, took_ns: Sequence[int], statuses: Sequence[int], processing_ns: Sequence[int] = ()) -> None:
        """Count answers: how long each took, and their statuses."""
        for histogram, durations in ((self.raw, took_ns), (self.processing, processing_ns)):
            for ns in durations:
                units = ns >> UNIT_SHIFT
                histogram[BUCKET_TABLE[units] if units < _TABLE_UNITS else bucket_of(units)] += 1
        least_ns = min(took_ns)
        self.least_ns = min(self.least_ns, least_ns) if self.answers else least_ns
        self.most_ns = max(self.most_ns, *took_ns)
        self.total_ns += sum(took_ns)
        self.squares += sum(map(mul, took_ns, took_ns))
        self.answers += len(took_ns)
        self.statuses.update(statuses)

    def add(self, other: "Tally") -> None:
        """Count what `other` has counted."""
        for name in _HISTOGRAMS:
            mine = getattr(self, name)
            for bucket, count in filled(getattr(other, name)):
                mine[bucket] += count
        if other.answers:
            self.least_ns = min(self.least_ns, other.least_ns) if self.answers else other.least_ns
        for name in (
            "answers",
            "total_ns",
            "squares",
            "received_bytes",
            "connections",
            "unsent",
            "cpu_total_ns",
            "warm_up_answers",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("most_ns", "elapsed_ns", "cpu_ns"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.statuses.update(other.statuses)
        self.errors.update(other.errors)

    def plain(self) -> dict[str, Any]:
        """As what marshal takes, to travel between processes."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in _HISTOGRAMS:
            found[name] = found[name].tobytes()
        return {**found, "statuses": dict(self.statuses), "errors": dict(self.errors)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Tally":
        """What plain() was made of."""
        found = dict(plain)
        for name in _HISTOGRAMS:
            found[name] = array("Q", found[name])
        return cls(**{**found, "statuses": Counter(found["statuses"]), "errors": Counter(found["errors"])})

    @property
    def failures(self) -> int:
        """Requests without an answer, and answers that say that something is wrong (4xx, 5xx)."""
        return sum(self.errors.values()) + sum(n for status, n in self.statuses.items() if status >= 400)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / (self.elapsed_ns / 1e9) if self.elapsed_ns else 0.0

    @property
    def mean_ns(self) -> float:
        """The mean duration."""
        return self.total_ns / self.answers if self.answers else 0.0

    @property
    def deviation_ns(self) -> float:
        """The standard deviation of the durations, as of a sample."""
        if self.answers < 2:
            return 0.0
        return sqrt(max(0.0, (self.squares - self.total_ns**2 / self.answers) / (self.answers - 1)))

    def percentile_ns(self, fraction: float, corrected: bool = False) -> int | None:
        """The duration that `fraction` of the answers did not exceed, to within a bucket."""
        found = percentile_ns(self.corrected if corrected else self.raw, fraction)
        return found if found is None or corrected else min(found, self.most_ns)


def filled(histogram: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The buckets in which something is counted, and how much."""
    return ((bucket, count) for bucket, count in enumerate(histogram) if count)


def with_omitted(histogram: Sequence[int], interval_ns: int) -> "array[int]":
    """The histogram with what a client that meant to ask every `interval_ns` has left out while it waited."""
    found = array("Q", histogram)
    if interval_ns <= 0:
        return found
    for bucket, count in filled(histogram):
        missing_ns = bucket_top_ns(bucket) - interval_ns
        while missing_ns > 0:
            found[bucket_of(missing_ns // UNIT_NS)] += count
            missing_ns -= interval_ns
    return found
