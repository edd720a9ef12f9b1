# Rule 1: with --json, keys are fixed: later ones are added, never changed. Ratios go from 0 to 1 there; people get %.
# Rule 2: nothing that stands in a log reaches the terminal unprintable.
"""What a simulation has found, as a table, as JSON, and as a sentence."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any, NamedTuple

from wsrv.cli.chart import HEIGHT, chart
from wsrv.cli.svg import plot
from wsrv.cli.units import Size
from wsrv.engine.cache.simulation.choice import Choice
from wsrv.engine.cache.simulation.experiment import Curve, Experiment, SamplingError
from wsrv.engine.log.reading import Reading

SCHEMA = 1
BOUND = "PFOO-L"

_BOLD = "\x1b[1m{}\x1b[0m"
_PREFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


# Lines of a screen that the chart leaves to its scale, the names, the sentence and the prompt.
BESIDE_THE_CHART = 10
MOST_HEIGHT = 36


class Screen(NamedTuple):
    """A terminal of so many columns and lines."""

    columns: int
    lines: int
    is_colourful: bool

    @property
    def chart_height(self) -> int:
        """An even number: every other line has a label, the top one too."""
        return max(HEIGHT, min(self.lines - BESIDE_THE_CHART, MOST_HEIGHT) // 2 * 2)


@dataclass(frozen=True)
class Findings:
    """Of one simulation: what was replayed, the miss ratios, and what follows from them.

    `error` is the sampling's, measured with the policy `judge`. `weigh` is what the server's cache weighs a body of
    so many bytes; None when the sizes are no bodies. `remarks`: what else there is to say of where it comes from.
    """

    name: str
    reading: Reading
    experiment: Experiment
    curves: Mapping[str, Curve]
    bound: Curve
    error: SamplingError | None
    judge: str
    choice: Choice
    weigh: Callable[[int], int] | None
    remarks: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """For --json."""
        whole, sample, choice = self.experiment, self.experiment.sample, self.choice
        return {
            "schema": SCHEMA,
            "trace": {
                "name": self.name,
                "formats": self.reading.formats,
                "requests": whole.requests,
                "objects": whole.objects,
                "footprint_bytes": whole.footprint_bytes,
                "requested_bytes": whole.requested_bytes,
                "span_seconds": self.reading.span_seconds,
                "lines": self.reading.lines,
                "bad_lines": self.reading.bad_lines,
                "other_answers": self.reading.other_answers,
                "requests_without_size": self.reading.unsized,
                "times_back": self.reading.times_back,
                "remarks": list(self.remarks),
            },
            "sampling": {
                "rate": sample.rate,
                "requests": len(sample.trace),
                "objects": sample.trace.objects,
                "error": None if self.error is None else {"policy": self.judge, **asdict(self.error)},
            },
            "sizes_bytes": list(self.experiment.sizes_bytes),
            "policies": {name: _ratios(curve) for name, curve in self.curves.items()},
            "bound": {"name": BOUND, **_ratios(self.bound)},
            "choice": {**asdict(choice), "cache_size_bytes": self.cache_size_bytes(), "sentence": self.sentence()},
        }

    def lines(self, screen: Screen | None = None) -> list[str]:
        """For a person; in front of `screen`, if that is so."""
        labels, panels = self.labels(), self._panels()
        texts = [*self._head(), ""]
        for heading, percent in panels.items():
            texts += [f"{heading}, %", *_table(labels, percent, screen is not None and screen.is_colourful), ""]
        height = HEIGHT if screen is None else screen.chart_height
        objects = next(iter(panels.values()))
        texts += [*chart("object miss ratio, %, by cache size", labels, objects, height), ""]
        if screen is None:
            return [*texts, self.sentence()]
        return [*texts, *wrap(self.sentence(), screen.columns, break_on_hyphens=False)]

    def svg(self) -> str:
        """For --svg."""
        # Each size twice as far to the right as the one before it is large.
        places = [math.log2(max(size, 1)) for size in self.experiment.sizes_bytes]
        return plot(printable(self.name), places, self.labels(), self._panels(), dashed=BOUND)

    def labels(self) -> list[str]:
        """The sizes, as --size takes them."""
        return [written(size) for size in self.experiment.sizes_bytes]

    def _panels(self) -> dict[str, dict[str, list[float]]]:
        curves = {**self.curves, BOUND: self.bound}
        return {
            "object miss ratio": {name: [100 * ratio for ratio in curve.objects] for name, curve in curves.items()},
            "byte miss ratio": {name: [100 * ratio for ratio in curve.bytes] for name, curve in curves.items()},
        }

    def _head(self) -> list[str]:
        reading, whole, sample = self.reading, self.experiment, self.experiment.sample
        about = "about " if whole.trace is None and sample.rate < 1 else ""
        span = reading.span_seconds
        over = "" if span is None else f", over {duration(span)}"
        texts = [
            f"{printable(self.name)}: {whole.requests:,} requests for {about}{whole.objects:,} objects of "
            f"{human(whole.footprint_bytes)}{over}"
        ]
        left_out = [
            f"{count:,} {what}"
            for count, what in (
                (reading.other_answers, "not a GET or HEAD answered 200, 206 or 304"),
                (reading.unsized, "for objects never answered 200"),
                (reading.bad_lines, "unreadable"),
            )
            if count
        ]
        back = reading.times_back
        if back:
            texts.append(f"{back:,} requests are earlier than the one before; the order of the lines was kept")
        if left_out:
            texts.append(f"left out: {'; '.join(left_out)}")
        texts += self.remarks
        if sample.rate < 1:
            texts.append(
                f"sampled: {100 * sample.rate:.2f} % of the objects: {sample.trace.objects:,} with "
                f"{len(sample.trace):,} requests"
            )
        if self.error is not None:
            off = self.error
            texts += [
                f"  off by {100 * off.objects_mean:.2f} points on average and {100 * off.objects_most:.2f} at most "
                f"(bytes: {100 * off.bytes_mean:.2f} and {100 * off.bytes_most:.2f}):",
                f"  by replaying everything through {self.judge} at {', '.join(map(written, off.sizes_bytes))}",
            ]
        elif sample.rate < 1:
            texts.append("  how far that is off is not known: nobody has noted the rest")
        return texts

    def cache_size_bytes(self) -> int | None:
        """What --cache-size has to be for one worker, so that bodies of the chosen size are held; roughly."""
        trace = self.experiment.sample.trace if self.experiment.trace is None else self.experiment.trace
        if self.weigh is None or not trace.footprint_bytes:
            return None
        weights = sum(map(self.weigh, trace.object_sizes))
        return round(self.choice.size_bytes * weights / trace.footprint_bytes)

    def _larger(self) -> str:
        size_bytes, tried = self.choice.size_bytes, self.experiment.sizes_bytes
        if size_bytes >= self.experiment.footprint_bytes:
            return "everything fits"
        if size_bytes == tried[-1]:
            return "no larger size was tried"
        return "a larger cache saves at most 1 % of them more"

    def sentence(self) -> str:
        """Which policy and size to choose, and what that saves."""
        choice = self.choice
        if choice.object_miss_ratio == 1:
            return "Choose none of them: no policy at any of these sizes saves a single file read."
        requests, size_bytes = self.experiment.requests, self.experiment.requested_bytes
        some = "" if self.experiment.sample.rate == 1 else "some "
        text = (
            f"Choose {choice.policy} with {written(choice.size_bytes)}: {100 * choice.object_miss_ratio:.2f} % of the "
            f"requests are misses, {self._larger()}; "
        )
        if choice.policy == choice.usual:
            saved = requests * (1 - choice.object_miss_ratio)
            text += f"that saves {some}{saved:,.0f} of {requests:,} file reads and "
            text += f"{human(size_bytes * (1 - choice.byte_miss_ratio))}, and no other policy saves 0.1 % more."
        else:
            saved = requests * (choice.usual_object_miss_ratio - choice.object_miss_ratio)
            saved_bytes = size_bytes * (choice.usual_byte_miss_ratio - choice.byte_miss_ratio)
            in_bytes = f", and reads {human(-saved_bytes)} more" if saved_bytes < 0 else f" and {human(saved_bytes)}"
            needs = choice.usual_needs_bytes
            text += (
                f"against {choice.usual} of that size it saves {some}{saved:,.0f} of {requests:,} file reads"
                f"{in_bytes}; {choice.usual} would need {'more than was tried' if needs is None else written(needs)} "
                "for as few."
            )
        held = self.cache_size_bytes()
        if held is not None:
            text += (
                f" With what the server holds beside the bodies: --cache-policy {choice.policy} --cache-size "
                f"{rounded_up(held)}, times the number of workers that have one each."
            )
        return text


def _ratios(curve: Curve) -> dict[str, list[float]]:
    return {"object_miss_ratio": list(curve.objects), "byte_miss_ratio": list(curve.bytes)}


def _table(labels: Sequence[str], percent: Mapping[str, Sequence[float]], is_colourful: bool) -> list[str]:
    """A row a curve; in colour, the least of each column but the bound's is bold."""
    width = max(6, *(len(label) for label in labels))
    first = max(len(name) for name in percent)
    least = [min(row[place] for name, row in percent.items() if name != BOUND) for place in range(len(labels))]
    lines = [f"{'':<{first}} " + "".join(f" {label:>{width}}" for label in labels)]
    for name, row in percent.items():
        cells = [f" {value:>{width}.2f}" for value in row]
        if is_colourful and name != BOUND:
            cells = [_BOLD.format(c) if v == best else c for c, v, best in zip(cells, row, least, strict=True)]
        lines.append(f"{name:<{first}} " + "".join(cells))
    return lines


def printable(text: str) -> str:
    """The text, doing nothing to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def written(size_bytes: int) -> str:
    """As an option takes it: 64MiB."""
    return str(Size().write(size_bytes))


def rounded_up(size_bytes: int) -> str:
    """As an option takes it, to two digits or three."""
    unit = 1024 ** max(0, min(3, (size_bytes.bit_length() - 4) // 10))
    return written(-(-size_bytes // unit) * unit)


def human(size_bytes: float) -> str:
    """As a person reads it: 37.2 MiB."""
    power = 0
    while size_bytes >= 1024 and power < len(_PREFIXES) - 1:
        size_bytes, power = size_bytes / 1024, power + 1
    return f"{size_bytes:,.1f} {_PREFIXES[power]}B" if power else f"{size_bytes:.0f} bytes"


def duration(seconds: float) -> str:
    """The two largest units."""
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    left, parts = int(seconds), []
    for length, unit in units:
        if left >= length:
            parts.append(f"{left // length} {unit}")
            left %= length
    return " ".join(parts[:2]) or "less than a second"
