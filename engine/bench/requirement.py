# `p99<20ms`, `errors==0`, `rps>=0.9*baseline`: what a run must have given for a job to pass.
"""Requirements on the document of a run."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_FORM = re.compile(
    r"\s*(?P<figure>[a-z_0-9.]+)\s*(?P<sign><=|>=|==|!=|<|>)\s*"
    r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>us|ms|s|%)?\s*(?P<base>\*\s*baseline)?\s*"
)
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_LATENCIES = ("min", "mean", "sd", "p50", "p75", "p90", "p95", "p99", "p999", "max")

# Where a figure stands in the document; those of time are in ms.
FIGURES: dict[str, tuple[str, ...]] = {
    **{name: ("latency_ms", name) for name in _LATENCIES},
    "median": ("latency_ms", "p50"),
    **{f"corrected.{name}": ("corrected_ms", name) for name in ("p50", "p75", "p90", "p95", "p99", "p999")},
    "rps": ("rps",),
    "errors": ("failures",),
    "unsent": ("unsent",),
    "answers": ("answers",),
    "client.cpu_share": ("client", "cpu_share"),
    "server.cpu_us": ("server", "cpu_us_per_request"),
}


class Requirement(NamedTuple):
    """A bound on a figure; `of_baseline`: `number` is a factor of what the baseline has."""

    text: str
    figure: str
    sign: str
    number: float
    of_baseline: bool

    @classmethod
    def of(cls, text: str) -> "Requirement":
        """The requirement that `text` states. Raises ValueError, the message a sentence."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a requirement such as p99<20ms, errors==0 or rps>=0.9*baseline")
        figure, unit = found["figure"], found["unit"]
        if figure not in FIGURES:
            raise ValueError(f"there is no figure {figure}; there are: {', '.join(FIGURES)}")
        is_time = FIGURES[figure][0] in ("latency_ms", "corrected_ms")
        if (unit in _MILLISECONDS) != (is_time and not found["base"]):
            wanted = "a time with its unit, as 20ms" if is_time else "a plain number"
            raise ValueError(f"{text!r}: {figure} is compared with {wanted}, or with a factor, as 1.1*baseline")
        number = float(found["number"]) * _MILLISECONDS.get(unit or "", 0.01 if unit == "%" else 1.0)
        return cls(text, figure, found["sign"], number, bool(found["base"]))

    def unmet(self, run: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> str | None:
        """None, or in a clause how the run misses it."""
        value = figure(run, self.figure)
        bound: float | None = self.number
        if self.of_baseline:
            base = None if baseline is None else figure(baseline, self.figure)
            bound = None if base is None else self.number * base
        if value is None or bound is None:
            return f"{self.text}: not measured"
        if _SIGNS[self.sign](value, bound):
            return None
        against = f" (baseline: {bound / self.number:g})" if self.of_baseline and self.number else ""
        return f"{self.text}: it is {value:g}{against}"


def figure(run: Mapping[str, Any], name: str) -> float | None:
    """A figure of the document, None where it was not measured."""
    found: Any = run
    for key in FIGURES[name]:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)
