# Pictures of runs: in the terminal beside the figures, and as SVG files.
#
# Rule: what does not go to a terminal is plain ASCII.
"""The charts of `wsrv bench`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wsrv.cli.svg import Span, bars, plot
from wsrv.engine.bench.comparison import interval
from wsrv.engine.bench.requirement import figure

Run = Mapping[str, Any]

_LATENCIES = ("p50", "p90", "p99", "p999")


class Page(NamedTuple):
    """What is written on: so many columns, and whether it is a terminal."""

    columns: int = 80
    is_terminal: bool = False

    @property
    def marks(self) -> tuple[str, str, str]:
        """What fills a bar, what it is drawn on with, and what marks a place in it."""
        return ("█", "░", "│") if self.is_terminal else ("#", "-", "|")


def bar(value: float, more: float, most: float, width: int, page: Page) -> str:
    """A bar of `value`, drawn on up to `more`, in `width` columns that are `most`. What is not nothing is seen."""
    full, light, _ = page.marks
    ends = [max(1, round(end / most * width)) if end > 0 and most else 0 for end in (value, max(value, more))]
    return full * ends[0] + light * (ends[1] - ends[0])


def spread(span: Span, most: float, width: int, page: Page) -> str:
    """A bar that ends where a figure may lie, the figure marked."""
    full, light, mark = page.marks
    value, low, high = (round(each / most * (width - 1)) if most else 0 for each in span)
    text = full * low + light * (high - low + 1)
    return text[:value] + mark + text[value + 1 :]


def spans(runs: Mapping[str, Sequence[Run]], key: str) -> dict[str, Span] | None:
    """For each contender the median of a figure and between what it lies; None where one has not measured it."""
    found = {name: [figure(run, key) for run in rounds] for name, rounds in runs.items()}
    if any(value is None for values in found.values() for value in values):
        return None
    return {name: tuple(interval([float(v or 0) for v in values])) for name, values in found.items()}  # type: ignore[misc]


def curve(found: Run) -> str:
    """The latency of a run by percentile, each factor of ten of what is left above it as wide as the others, as SVG."""
    # Below the median there is little to see.
    points = found["curve"][2:] or found["curve"]
    names = {"as seen": "seen_ms", "corrected": "corrected_ms"}
    return plot(
        found["url"],
        [-math.log10(1 - point["percentile"] / 100) for point in points],
        [f"{point['percentile']:g} %" for point in points],
        {"latency by percentile": {name: [p[key] for p in points] for name, key in names.items()}},
        dashed="corrected",
        form="{:.2f} ms",
    )


def by_connections(runs: Sequence[Run]) -> str:
    """Throughput and latency of several runs by their number of connections, as SVG. `runs` are not empty."""
    runs = sorted(runs, key=lambda run: int(run["settings"]["connections"]))
    numbers = [run["settings"]["connections"] for run in runs]
    latencies = {name: [run["latency_ms"][name] or 0.0 for run in runs] for name in _LATENCIES}
    panels = {"latency in ms": latencies, "requests a second": {"req/s": [run["rps"] for run in runs]}}
    places = [math.log2(number) for number in numbers]
    return plot(runs[0]["url"], places, [f"{n:,}" for n in numbers], panels, form="{:,.1f}")


def contest(axis: str, runs: Mapping[str, Sequence[Run]], compared: Mapping[str, str]) -> str:
    """Bars of the `compared` figures, each with its heading, as SVG."""
    panels = {heading: there for key, heading in compared.items() if (there := spans(runs, key)) is not None}
    return bars(axis, panels)
