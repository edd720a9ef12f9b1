# What the server says of itself: the document behind `wsrv stats`. Keys are added, never changed.
"""The statistics document."""

import os
from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import Any

from wsrv.engine.master.slot import Slot, Totals
from wsrv.engine.shm import row
from wsrv.engine.shm.histogram import percentile_ns
from wsrv.engine.version import VERSION

SCHEMA = 1
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def _milliseconds(ns: int | None) -> float | None:
    return None if ns is None else round(ns / 1e6, 3)


def latency(totals: Totals) -> dict[str, float | None]:
    """Percentiles in ms, None before the first request. No percentile exceeds the maximum that was seen."""
    found = {name: percentile_ns(totals.histogram, fraction) for name, fraction in _QUANTILES.items()}
    longest = totals.max_ns if any(totals.histogram) else None
    ms = {name: _milliseconds(None if ns is None else min(ns, totals.max_ns)) for name, ns in found.items()}
    return {**ms, "max": _milliseconds(longest)}


def responses(counts: Sequence[int]) -> dict[str, int]:
    """Answers by status, those that were given at all."""
    return {str(status): counts[at] for status, at in row.STATUS_INDEX.items() if counts[at]}


def _worker(slot: Slot, now_ns: int) -> dict[str, Any]:
    process = slot.process
    found: dict[str, Any] = {"slot": slot.number, "pid": None, "restarts": slot.restarts, "requests_total": 0}
    if process is None:
        return {**found, "connections_active": 0, "heartbeat_age_seconds": None}
    counts = process.row.counters()
    beat_ns = process.row.heartbeat_ns()
    found["pid"] = process.pid
    found["requests_total"] = sum(responses(counts).values())
    found["connections_active"] = counts[row.OPENED] - counts[row.CLOSED]
    found["heartbeat_age_seconds"] = round((now_ns - beat_ns) / 1e9, 3) if beat_ns else None
    return found


def document(
    *,
    name: str,
    listeners: Sequence[str],
    parts: Mapping[str, str],
    capacity_bytes: int,
    started_ns: int,
    retired: Totals,
    slots: Sequence[Slot],
    refused: Mapping[str, int],
) -> dict[str, Any]:
    """Everything that is counted. `requests_total` is the sum of `responses`."""
    now_ns = monotonic_ns()
    totals = retired.copy()
    for slot in slots:
        if slot.process is not None:
            totals.add(slot.process.row)
    counts = totals.counts
    by_status = responses(counts)
    lost = {"descriptors": counts[row.LOST]} if counts[row.LOST] else {}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "name": name,
        "pid": os.getpid(),
        "uptime_seconds": round((now_ns - started_ns) / 1e9, 3),
        "listeners": list(listeners),
        "requests_total": sum(by_status.values()),
        "internal_requests_total": counts[row.INTERNAL],
        "bytes_sent": counts[row.BYTES_SENT],
        "connections_active": counts[row.OPENED] - counts[row.CLOSED],
        "connections_total": counts[row.OPENED],
        "connections_refused": {**refused, **lost},
        "responses": by_status,
        "cache": {
            "policy": parts["policy"],
            "scope": "process",
            "capacity_bytes": capacity_bytes,
            "size_bytes": counts[row.SIZE_BYTES],
            "objects": counts[row.OBJECTS],
            "hits": counts[row.HITS],
            "misses": counts[row.MISSES],
            "evictions": counts[row.EVICTIONS],
        },
        "latency_ms": latency(totals),
        "log_dropped": counts[row.LOG_DROPPED],
        "workers": [_worker(slot, now_ns) for slot in slots],
        "ipc": parts["ipc"],
        "sync": parts["sync"],
    }
