# Rule: whatever a server leaves out, or a restart sets back, is nothing, and never a rate below it.
"""Statistics documents over time: what changed between two of them, a second."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
Buckets = Sequence[Sequence[float]]

MOST = 600
# Percentiles are of so many of the latest samples.
WINDOW = 10


class Samples:
    """The latest documents of one server."""

    def __init__(self) -> None:
        self._kept: deque[Document] = deque(maxlen=MOST)

    def add(self, document: Document) -> None:
        """Take one more. After a restart of the server, those before mean nothing."""
        if self._kept and number(document, "uptime_seconds") < number(self._kept[-1], "uptime_seconds"):
            self._kept.clear()
        self._kept.append(document)

    @property
    def last(self) -> Document:
        """The latest."""
        return self._kept[-1]

    def rates(self, count: Callable[[Document], float]) -> list[float]:
        """How much `count` has grown, a second, between each two; one less than there are samples."""
        pairs = zip(list(self._kept)[:-1], list(self._kept)[1:], strict=True)
        return [_rate(earlier, later, count) for earlier, later in pairs]

    def rate(self, count: Callable[[Document], float]) -> float:
        """The latest of `rates`."""
        return _rate(self._kept[-2], self._kept[-1], count) if len(self._kept) > 1 else 0.0

    def percentiles(self, key: str, shares: Iterable[float]) -> list[float | None]:
        """Of what was counted in the buckets `key` over the window; None where nothing was."""
        latest = self.last.get(key) or []
        before = self._kept[max(0, len(self._kept) - 1 - WINDOW)].get(key) or [] if len(self._kept) > 1 else []
        counted = _since(before, latest)
        return [_percentile(counted, share) for share in shares]


def number(document: Document, *keys: str) -> float:
    """The number at these keys, 0 where there is none."""
    found: Any = document
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return float(found) if isinstance(found, (int, float)) else 0.0


def total(document: Document, key: str, begins: str = "") -> float:
    """The sum of the numbers in the mapping `key` whose names begin so."""
    found = document.get(key)
    numbers = found.items() if isinstance(found, dict) else ()
    return float(sum(value for name, value in numbers if value and str(name).startswith(begins)))


def _rate(earlier: Document, later: Document, count: Callable[[Document], float]) -> float:
    seconds = number(later, "uptime_seconds") - number(earlier, "uptime_seconds")
    return max(0.0, count(later) - count(earlier)) / seconds if seconds > 0 else 0.0


def _since(before: Buckets, latest: Buckets) -> list[tuple[float, float]]:
    known = {bucket[0]: bucket[1] for bucket in before}
    return [(top, seen - known.get(top, 0)) for top, seen in latest if seen > known.get(top, 0)]


def _percentile(counted: Sequence[tuple[float, float]], share: float) -> float | None:
    wanted = share * sum(seen for _, seen in counted)
    passed = 0.0
    for top, seen in counted:
        passed += seen
        if passed >= wanted:
            return top
    return None
