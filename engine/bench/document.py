# What a run was and what it gave, as a document: for --json, for what is saved, and for whoever shows it.
#
# Keys are added, never changed. Durations are in ms, None while nothing was counted.
"""The document of a run."""

from collections.abc import Mapping
from typing import Any

from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.tally import Tally
from wsrv.engine.shm.histogram import percentile_ns

SCHEMA = 1
PERCENTILES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
# Percentiles of the curve, as far as there are answers for them.
_CURVE = (0, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.975, 99.99, 99.999)
# A process of the generator that was at work for longer than this of the time was itself what was measured.
_MOST_SHARE = 0.9
# Nor is a rate what it says when the generator itself sends later than this.
_MOST_LATE_MS = 1.0


def milliseconds(ns: float | None) -> float | None:
    """`ns` in ms, to the microsecond."""
    return None if ns is None else round(ns / 1e6, 3)


def document(url: str, plan: Plan, processes: int, tally: Tally, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `tally` says of a run of `plan` by `processes`. `settings`: what else decides on the figures."""
    raw = {name: milliseconds(tally.percentile_ns(fraction)) for name, fraction in PERCENTILES.items()}
    corrected = {name: milliseconds(tally.percentile_ns(f, corrected=True)) for name, f in PERCENTILES.items()}
    processing = {name: milliseconds(percentile_ns(tally.processing, f)) for name, f in PERCENTILES.items()}
    none = not tally.answers
    return {
        "schema": SCHEMA,
        "url": url,
        "settings": {
            "connections": plan.connections,
            "requests": plan.number,
            "seconds": plan.seconds,
            "keep_alive": plan.keep_alive,
            "pipeline": plan.pipeline,
            "rate": plan.rate,
            "targets": len(plan.requests),
            "processes": processes,
            **settings,
        },
        "answers": tally.answers,
        "statuses": {str(status): number for status, number in sorted(tally.statuses.items())},
        "errors": dict(sorted(tally.errors.items())),
        "failures": tally.failures,
        "unsent": tally.unsent,
        "connections_made": tally.connections,
        "bytes": tally.received_bytes,
        "seconds": round(tally.elapsed_ns / 1e9, 3),
        "rps": round(tally.rate, 1),
        "latency_ms": {
            "min": None if none else milliseconds(tally.least_ns),
            "mean": None if none else milliseconds(tally.mean_ns),
            "sd": None if none else milliseconds(tally.deviation_ns),
            **raw,
            "max": None if none else milliseconds(tally.most_ns),
        },
        "corrected_ms": corrected,
        "processing_ms": processing,
        "curve": _curve(tally),
        "client": _client(plan, tally),
    }


def _curve(tally: Tally) -> list[dict[str, float | None]]:
    """Latency by percentile, up to the one that a single answer lies above."""
    return [
        {
            "percentile": percentile,
            "seen_ms": milliseconds(tally.percentile_ns(percentile / 100)),
            "corrected_ms": milliseconds(tally.percentile_ns(percentile / 100, corrected=True)),
        }
        for percentile in _CURVE
        if tally.answers * (1 - percentile / 100) >= 1
    ]


def _client(plan: Plan, tally: Tally) -> dict[str, Any]:
    """What the generator itself cost, and whether it was what was measured."""
    share = tally.cpu_ns / tally.elapsed_ns if tally.elapsed_ns else 0.0
    late_ms = milliseconds(Tally(raw=tally.late, most_ns=1 << 62).percentile_ns(0.99)) if plan.rate else None
    limits = []
    if share > _MOST_SHARE:
        limits.append(f"a process of the client was at work for {100 * share:.0f} % of the time")
    if late_ms is not None and late_ms > _MOST_LATE_MS:
        limits.append(f"the client sent 1 % of the requests more than {late_ms:.1f} ms after their time")
    return {
        "cpu_share": round(share, 3),
        "cpu_us_per_request": round(tally.cpu_total_ns / 1000 / tally.answers, 2) if tally.answers else None,
        "late_p99_ms": late_ms,
        "limits": limits,
    }
