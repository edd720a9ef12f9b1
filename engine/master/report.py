# What the server says of itself: the document behind `wsrv stats`. Keys are added, never changed.
"""The statistics document."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from wsrv.engine.master.slot import Slot, Totals, WorkerProcess
from wsrv.engine.settings import PROCESS
from wsrv.engine.shm import row
from wsrv.engine.shm.histogram import bucket_top_ns, percentile_ns
from wsrv.engine.version import VERSION

if TYPE_CHECKING:
    from wsrv.engine.master.sharedcache import SharedCache

SCHEMA = 1
_LATENCY_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
_WAIT_QUANTILES = {"p50": 0.5, "p99": 0.99}


def _milliseconds(ns: int | None) -> float | None:
    return None if ns is None else round(ns / 1e6, 3)


def spread(histogram: Sequence[int], max_ns: int, quantiles: Mapping[str, float]) -> dict[str, float | None]:
    """Percentiles and maximum in ms, None while nothing was counted. No percentile exceeds what was seen."""
    found = {name: percentile_ns(histogram, fraction) for name, fraction in quantiles.items()}
    ms = {name: _milliseconds(None if ns is None else min(ns, max_ns)) for name, ns in found.items()}
    return {**ms, "max": _milliseconds(max_ns if any(histogram) else None)}


def buckets(histogram: Sequence[int]) -> list[list[float]]:
    """The buckets in which something was counted: the longest duration that falls into each, in ms, and the count."""
    return [[round(bucket_top_ns(bucket) / 1e6, 3), count] for bucket, count in enumerate(histogram) if count]


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
    # It may have beaten since.
    found["heartbeat_age_seconds"] = round(max(0, now_ns - beat_ns) / 1e9, 3) if beat_ns else None
    return found


def _queue(slot: Slot) -> dict[str, int | None]:
    """What waits for a worker; None where the kernel queues."""
    depth = slot.channel.depth()
    return {"slot": slot.number, "depth": depth, "capacity": None if depth is None else slot.capacity}


def _troubles(counts: Sequence[int], own: Mapping[str, int]) -> dict[str, int]:
    """What the server met and survived, by name; `own` is what the master did."""
    found = Counter({name: counts[at] for name, at in row.TROUBLE_INDEX.items()})
    found.update(own)
    return dict(found)


def _sync_objects(counts: Sequence[int], own: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    """How the guards were used, by name, over all processes; `own` is what the master counted."""
    found = []
    for name, at in row.GUARD_INDEX.items():
        theirs = counts[at : at + row.GUARD_WORDS]
        acquired, contended, wait_ns = map(sum, zip(theirs, own[name], strict=True)) if name in own else theirs
        wait_ms = _milliseconds(wait_ns)
        found.append({"name": name, "acquired": acquired, "contended": contended, "wait_ms": wait_ms})
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
    workers: Sequence[WorkerProcess],
    refused: Mapping[str, int],
    troubles: Mapping[str, int],
    guards: Mapping[str, Sequence[int]],
    cache: "SharedCache | None" = None,
) -> dict[str, Any]:
    """Everything that is counted. `requests_total` is the sum of `responses`.

    `workers` are those that run, `retired` counts those that are gone. `troubles` are the master's own. `guards` is the
    master's own use of locks and semaphores, by name, in the order of a row's words.
    """
    now_ns = monotonic_ns()
    totals = retired.copy()
    for process in workers:
        totals.add(process.row)
    counts = totals.counts
    by_status = responses(counts)
    lost = counts[row.LOST] + sum(slot.channel.lost for slot in slots)
    by_workers = {"lost": lost, "worker_full": counts[row.REFUSED]}
    by_workers["client_full"] = counts[row.LIMIT_INDEX["connections_per_client"]]
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
        "connections_refused": {**refused, **{reason: n for reason, n in by_workers.items() if n}},
        "tls": {"handshakes": counts[row.TLS_HANDSHAKES], "failures": counts[row.TLS_FAILURES]},
        "proxy": {"malformed": counts[row.PROXY_MALFORMED]},
        "limits": {name: counts[at] for name, at in row.LIMIT_INDEX.items()},
        "troubles": _troubles(counts, troubles),
        "responses": by_status,
        "cache": {
            "policy": parts["policy"],
            "scope": PROCESS,
            "capacity_bytes": capacity_bytes,
            "size_bytes": counts[row.SIZE_BYTES],
            "objects": counts[row.OBJECTS],
            "hits": counts[row.HITS],
            "misses": counts[row.MISSES],
            "negative_hits": counts[row.NEGATIVE_HITS],
            "negative_objects": counts[row.NEGATIVES],
            "evictions": counts[row.EVICTIONS],
            **({} if cache is None else cache.figures(counts)),
        },
        "latency_ms": spread(totals.histogram, totals.max_ns, _LATENCY_QUANTILES),
        "latency_buckets": buckets(totals.histogram),
        "queue": [_queue(slot) for slot in slots],
        "queue_wait_ms": spread(totals.waits, totals.wait_max_ns, _WAIT_QUANTILES),
        "queue_wait_buckets": buckets(totals.waits),
        "log_dropped": counts[row.LOG_DROPPED],
        "workers": [_worker(slot, now_ns) for slot in slots],
        "ipc": parts["ipc"],
        "sync": parts["sync"],
        "sync_objects": _sync_objects(counts, guards),
    }
