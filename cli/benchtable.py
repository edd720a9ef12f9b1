# What `wsrv bench` shows a person: one run as a table, several as rows. It fits into 80 columns, and uses what there is
# beyond.
"""The tables of `wsrv bench`."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from wsrv.cli.benchchart import Page, bar, spans, spread
from wsrv.cli.figures import shortened
from wsrv.engine.bench.comparison import CONFIDENCE, FEWEST_ROUNDS, interval, winner
from wsrv.engine.bench.document import PERCENTILES
from wsrv.engine.bench.joined import tail
from wsrv.engine.bench.requirement import FIGURES, figure

_LABEL = 14
# Columns from which on there is room for more than what matters most, and those before the bars.
_WIDE = 120
_BEFORE_BARS = 39
# What is shown of the name of a baseline.
_NAME = 30
_SHOWN = {"p50": "50 %", "p75": "75 %", "p90": "90 %", "p95": "95 %", "p99": "99 %", "p999": "99.9 %"}
# The columns of the table that began this program: ApacheBench's figures by concurrency.
_REPORT = (
    ("at once", "settings.connections", "{:,}"),
    ("time s", "seconds", "{:.2f}"),
    ("failed", "failures", "{:,}"),
    ("req/s", "rps", "{:,.0f}"),
    ("ms/req", "", "{:.3f}"),
    ("min", "latency_ms.min", "{:.2f}"),
    ("mean", "latency_ms.mean", "{:.2f}"),
    ("sd", "latency_ms.sd", "{:.2f}"),
    ("median", "latency_ms.p50", "{:.2f}"),
    ("max", "latency_ms.max", "{:.1f}"),
)
_REPORT_WIDE = (
    ("p90", "latency_ms.p90", "{:.2f}"),
    ("p99", "latency_ms.p99", "{:.2f}"),
    ("p99.9", "latency_ms.p999", "{:.2f}"),
    ("p99 corr.", "corrected_ms.p99", "{:.2f}"),
    ("CPU us/req", "server.cpu_us_per_request", "{:.1f}"),
)
# What is set beside a baseline.
_AGAINST = ("rps", "mean", "p50", "p90", "p99", "p999", "corrected.p99", "max", "errors", "server.cpu_us")
# What contenders are compared by: the figure, its heading, whether more is better, how it is written.
COMPARED = (
    ("rps", "req/s", True, "{:,.0f}"),
    ("p99", "p99 ms", False, "{:.2f}"),
    ("server.cpu_us", "CPU us/req", False, "{:.1f}"),
)


def run(found: Mapping[str, Any], page: Page) -> list[str]:
    """One run."""
    settings, latency = found["settings"], found["latency_ms"]
    how = f"{settings['connections']:,} connections" + ("" if settings["keep_alive"] else ", one a request")
    how += f", {settings['pipeline']} in the pipeline" if settings["pipeline"] > 1 else ""
    how += f", {settings['targets']:,} targets" if settings["targets"] > 1 else ""
    lines = [f"{found['url']}, {how}", ""]
    failures = _counts({**found["errors"], **{s: n for s, n in found["statuses"].items() if int(s) >= 400}})
    rate = f"{found['rps']:,.0f}/s" + (f" of {settings['rate']:,.0f}/s wanted" if settings["rate"] else "")
    others = [f"{number:,} with status {s}" for s, number in found["statuses"].items() if s != "200" and int(s) < 400]
    for label, text in (
        ("answers", f"{found['answers']:,} in {found['seconds']:.2f} s: {rate}, {_size(found['bytes'])}"),
        ("of them", ", ".join(others)),
        ("failed", f"{found['failures']:,}" + (f"  ({failures})" if failures else "")),
        ("not sent", f"{found['unsent']:,}: no connection was free" if found["unsent"] else ""),
        ("latency ms", _latency(latency)),
        ("processing ms", _processing(found["processing_ms"])),
    ):
        lines += _row(label, text, page.columns) if text else []
    lines += ["", *_percentiles(latency, found["corrected_ms"], page), "", *_server(found, page.columns)]
    client = found["client"]
    lines.append(f"{'client':<{_LABEL}}busy {100 * client['cpu_share']:.0f} % of the time")
    return [line.rstrip() for line in lines]


def _processing(spread: Mapping[str, Any]) -> str:
    """Of connections that were made for a request: how long it took from when that was sent."""
    if spread["p50"] is None:
        return ""
    return f"p50 {_ms(spread['p50'])}, p90 {_ms(spread['p90'])}, p99 {_ms(spread['p99'])}: from when it was sent"


def _percentiles(seen: Mapping[str, Any], corrected: Mapping[str, Any], page: Page) -> list[str]:
    """The curve of latency: a line a percentile, its bar beside it."""
    full, light, _ = page.marks
    lines = [f"{'':<{_LABEL}}{'as seen':>10}{'corrected':>12}   {full} as seen  {light} for coordinated omission"]
    most = max((value for each in (seen, corrected) for name in PERCENTILES if (value := each[name])), default=0.0)
    for name in PERCENTILES:
        line = f"{_SHOWN[name]:<{_LABEL}}{_ms(seen[name]):>10}{_ms(corrected[name]):>12}   "
        lines.append(line + bar(seen[name] or 0, corrected[name] or 0, most, page.columns - _BEFORE_BARS, page))
    return lines


def _server(found: Mapping[str, Any], columns: int) -> list[str]:
    server = found.get("server")
    if not server:
        return []
    cpu = server.get("cpu_us_per_request")
    lines = [f"{'server':<{_LABEL}}" + (f"{cpu:.1f} us of CPU a request" if cpu is not None else "CPU not seen")]
    if "requests_by_worker" in server:
        cache = server["cache"]
        asked = cache["hits"] + cache["misses"]
        hits = f"{100 * cache['hits'] / asked:.1f} % cache hits, " if asked else ""
        workers = ", ".join(f"{number:,}" for number in server["requests_by_worker"])
        lines += _row("", f"{hits}requests by worker: {workers}", columns)
        for label, key in (("in service", "service_ms"), ("in the queue", "queue_wait_ms")):
            spread = server[key]
            if spread and spread["p50"] is not None:
                lines.append(
                    f"{'':<{_LABEL}}{label} ms: p50 {_ms(spread['p50'])}, p99 {_ms(spread['p99'])},"
                    f" p99.9 {_ms(spread['p999'])}"
                )
        if sentence := tail(found["latency_ms"]["p99"], server):
            lines += _row("the tail", sentence, columns)
        if slowest := server.get("slowest"):
            lines += _row("the slowest", _slowest(slowest), columns)
    return lines


def _slowest(slowest: Mapping[str, Any]) -> str:
    """Whose the slowest requests are, in service, and in brackets whose all are."""
    shares = [
        f"{label} {name} {100 * share['of_slowest']:.0f} % ({100 * share['of_all']:.0f} %)"
        for label, key in (("worker", "by_worker"), ("cache", "by_cache"))
        for name, share in slowest[key].items()
    ]
    return f"{slowest['requests']:,} from {slowest['from_ms']:.2f} ms on (of all): {', '.join(shares)}"


def _row(label: str, text: str, columns: int) -> list[str]:
    """The text beside its label, wrapped."""
    return wrap(text, columns, initial_indent=f"{label:<{_LABEL}}", subsequent_indent=" " * _LABEL)


def report(runs: Sequence[Mapping[str, Any]], page: Page) -> list[str]:
    """Several runs, a line each, as the table of a study has them."""
    shown = _REPORT + (_REPORT_WIDE if page.columns >= _WIDE else ())
    rows = [tuple(heading for heading, _, _ in shown)]
    for found in runs:
        each = 1000 * found["seconds"] / found["answers"] if found["answers"] else None
        rows.append(tuple(_cell(_found(found, key.split(".")) if key else each, form) for _, key, form in shown))
    return columns(rows)


def comparison(axis: str, runs: Mapping[str, Sequence[Mapping[str, Any]]], page: Page) -> list[str]:
    """Contenders, a line each: medians, and between which bounds they lie; then each figure as bars."""
    rows = [(axis, *(heading for _, heading, _, _ in COMPARED), "fairness", "failed")]
    for name, rounds in runs.items():
        cells = [_median([figure(each, key) for each in rounds], form) for key, _, _, form in COMPARED]
        fair = [each["server"]["fairness"] for each in rounds if each["server"].get("fairness")]
        fairness = _cell(interval(fair).median if fair else None, "{:.2f}")
        rows.append((name, *cells, fairness, f"{sum(each['failures'] for each in rounds):,}"))
    lines = columns(rows)
    number = min(map(len, runs.values()))
    intervals = f"their {100 * CONFIDENCE:.0f} % intervals"
    seen = intervals if number >= FEWEST_ROUNDS else f"what was seen (intervals take {FEWEST_ROUNDS} rounds)"
    why = "chance explains it" if number >= FEWEST_ROUNDS else f"too few rounds, {number}"
    lines += ["", f"medians of {number} interleaved rounds, and {seen}:"]
    label = max(_LABEL, *(len(name) + 2 for name in runs))
    for key, heading, more, form in COMPARED:
        found = spans(runs, key)
        if found is None:
            continue
        values = {name: [figure(each, key) or 0.0 for each in rounds] for name, rounds in runs.items()}
        best = winner(values, more)
        lines += ["", f"{heading}: " + (f"{best} is best" if best else f"no winner: {why}")]
        most = max(high for _, _, high in found.values())
        ranges = {name: f"{form.format(low)}-{form.format(high)}" for name, (_, low, high) in found.items()}
        left = label + max(map(len, ranges.values())) + 2
        lines += [
            f"{name:<{label}}{ranges[name]:<{left - label}}{spread(span, most, page.columns - left, page)}"
            for name, span in found.items()
        ]
    return lines


def against(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A run beside the one that the baseline `name` has."""
    rows: list[tuple[str, ...]] = [(f"baseline {shortened(name, _NAME)}", "before", "now", "change")]
    for key in _AGAINST:
        values = figure(before, key), figure(now, key)
        if None in values:
            continue
        old, new = (float(value or 0) for value in values)
        change = f"{100 * (new / old - 1):+.1f} %" if old else "-" if new else "0"
        unit = " ms" if FIGURES[key][0] in ("latency_ms", "corrected_ms") else ""
        rows.append(
            (key + unit, *(f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for value in (old, new)), change)
        )
    return columns(rows)


def _median(values: Sequence[float | None], form: str) -> str:
    there = [value for value in values if value is not None]
    return form.format(interval(there).median) if there else "-"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, each column as wide as it must be: the first flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{text:<{width}}" if not at else f"{text:>{width}}"
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _latency(latency: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_ms(latency[name])}" for name in ("min", "mean", "sd", "max"))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items() if number)


def _cell(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:,.1f}"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} B" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def as_csv(runs: Iterable[Mapping[str, Any]]) -> str:
    """The runs as CSV (RFC 4180), a line each, with a heading."""
    keys = (
        ("contender",),
        *(("settings", name) for name in ("connections", "processes", "keep_alive", "pipeline", "rate", "server")),
        *((name,) for name in ("url", "answers", "failures", "unsent", "seconds", "rps", "bytes")),
        *(("latency_ms", name) for name in ("min", "mean", "sd", *PERCENTILES, "max")),
        *(("corrected_ms", name) for name in PERCENTILES),
        ("client", "cpu_share"),
        ("server", "cpu_us_per_request"),
        *(("server", part, name) for part in ("service_ms", "queue_wait_ms") for name in ("p50", "p99", "p999")),
        *(("server", "cache", name) for name in ("hits", "misses", "evictions")),
        *(
            ("server", name)
            for name in ("ipc", "sync", "cache_policy", "cache_scope", "fairness", "requests_by_worker")
        ),
    )
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([".".join(key) for key in keys])
    for found in runs:
        writer.writerow([_found(found, key) for key in keys])
    return text.getvalue()


def _found(document: Any, key: Sequence[str]) -> Any:
    for step in key:
        document = document.get(step) if isinstance(document, Mapping) else None
    return " ".join(map(str, document)) if isinstance(document, list) else document
