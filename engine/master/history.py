# The last minutes, a sample a second: what a page that is opened now shows of before.
#
# Rule: a sample is the difference of two statistics documents, so it costs the workers nothing, and is as exact.
"""Samples of what the server did, second by second."""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import sub
from typing import Any

Document = Mapping[str, Any]
Sample = Sequence[float | None]

# Ten minutes.
MOST_SAMPLES = 600
_CLASSES = "2345"
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
# A sample's figures: its number, the time at its end; then rates a second, percentiles in ms of what was answered in it
# (None: nothing was), and how many connections were open and queued at its end.
COLUMNS = (
    *("n", "t", "requests", "2xx", "3xx", "4xx", "5xx", "bytes", "refused", "hits", "misses"),
    *(*_QUANTILES, "active", "queued"),
)


class History:
    """The samples of the last minutes."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._before: Document | None = None
        self._number = 0

    def note(self, now: Document, wall_seconds: float) -> None:
        """Take in the document of now."""
        before, self._before = self._before, now
        if before is None:
            return
        seconds = now["uptime_seconds"] - before["uptime_seconds"]
        if seconds <= 0:
            return
        grown = map(sub, _growing(now), _growing(before))
        self._samples.append(
            (
                *(self._number, round(wall_seconds, 1)),
                *(round(max(0, n) / seconds, 1) for n in grown),
                *_percentiles(before["latency_buckets"], now["latency_buckets"], now["latency_ms"]["max"]),
                *(now["connections_active"], sum(queue["depth"] or 0 for queue in now["queue"])),
            )
        )
        self._number += 1

    def document(self, last: int = MOST_SAMPLES) -> dict[str, Any]:
        """The last samples, oldest first, as JSON has them."""
        start = max(0, len(self._samples) - last)
        return {"columns": COLUMNS, "samples": list(islice(self._samples, start, None))}


def _growing(document: Document) -> list[int]:
    """What only grows, in the order of COLUMNS."""
    by_class = dict.fromkeys(_CLASSES, 0)
    for status, count in document["responses"].items():
        by_class[status[0]] += count
    cache = document["cache"]
    refused = sum(document["connections_refused"].values())
    return [
        *(document["requests_total"], *by_class.values(), document["bytes_sent"]),
        *(refused, cache["hits"], cache["misses"]),
    ]


def _percentiles(
    before: Sequence[tuple[float, int]], now: Sequence[tuple[float, int]], longest_ms: float | None
) -> list[float | None]:
    """Of what was counted between two histograms, in ms; no more than the longest that was ever seen."""
    counted = dict(before)
    took = [(top_ms, count - counted.get(top_ms, 0)) for top_ms, count in now]
    total = sum(count for _, count in took)
    if total <= 0 or longest_ms is None:
        return [None] * len(_QUANTILES)
    found: list[float | None] = []
    seen, places = 0, iter(took)
    top_ms = 0.0
    for fraction in _QUANTILES.values():
        while seen < total * fraction:
            top_ms, count = next(places)
            seen += count
        found.append(min(top_ms, longest_ms))
    return found
