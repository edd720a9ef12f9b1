# What the server counted while it was measured, beside what the client saw: where the time went.
"""The server's own figures of a run: its statistics before and after."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
# A share of the client's p99 from which on it deserves to be named.
_SHARE = 0.25


def joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What lies between two statistics documents of one server. What it does not count is None."""
    cache = {key: _grown(before, after, "cache", key) for key in ("hits", "misses", "evictions")}
    earlier = {worker["slot"]: worker for worker in before.get("workers") or ()}
    requests = [
        worker["requests_total"] - earlier.get(worker["slot"], {}).get("requests_total", 0)
        for worker in after.get("workers") or ()
    ]
    refused = {reason: _grown(before, after, "connections_refused", reason) for reason in after["connections_refused"]}
    return {
        "ipc": after.get("ipc"),
        "sync": after.get("sync"),
        "cache_policy": (after.get("cache") or {}).get("policy"),
        "cache_scope": (after.get("cache") or {}).get("scope"),
        "service_ms": _spread(before, after, "latency_buckets"),
        "queue_wait_ms": _spread(before, after, "queue_wait_buckets"),
        "cache": cache,
        "requests_by_worker": requests,
        "fairness": fairness(requests),
        "refused": {reason: number for reason, number in refused.items() if number},
    }


def fairness(requests: Sequence[int]) -> float | None:
    """The busiest worker's requests to the mean: 1 where all did the same."""
    return round(max(requests) * len(requests) / sum(requests), 3) if sum(requests) else None


def tail(p99_ms: float | None, server: Mapping[str, Any]) -> str:
    """In a sentence, where the client's p99 comes from; empty where that is not known."""
    service = (server.get("service_ms") or {}).get("p99")
    if p99_ms is None or not p99_ms or service is None:
        return ""
    parts = {"in service": service, "in the queue": (server.get("queue_wait_ms") or {}).get("p99") or 0.0}
    parts["outside the server"] = max(0.0, p99_ms - sum(parts.values()))
    named = [f"{ms:.2f} ms {where}" for where, ms in sorted(parts.items(), key=_by_time) if ms >= _SHARE * p99_ms]
    return f"up to {', '.join(named)}, of {p99_ms:.2f} ms" if named else ""


def _by_time(part: tuple[str, float]) -> float:
    return -part[1]


def _grown(before: Mapping[str, Any], after: Mapping[str, Any], table: str, key: str) -> int:
    return int((after.get(table) or {}).get(key, 0) - (before.get(table) or {}).get(key, 0))


def _spread(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> dict[str, float | None] | None:
    """Percentiles of what was counted between the two; None where the server does not say."""
    if key not in before or key not in after:
        return None
    earlier: dict[float, int] = dict(before[key])
    grown = [(top, number - earlier.get(top, 0)) for top, number in after[key]]
    return {name: _percentile(grown, fraction) for name, fraction in _QUANTILES.items()}


def _percentile(buckets: Iterable[tuple[float, int]], fraction: float) -> float | None:
    counted = sorted(buckets)
    rank, seen = max(1, -(-sum(number for _, number in counted) * fraction // 1)), 0
    for top, number in counted:
        seen += number
        if seen >= rank:
            return top
    return None
