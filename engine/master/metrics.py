# The statistics document as Prometheus has it. Imported by who is asked for it first.
#
# Names follow prometheus.io/docs/practices/naming: a prefix, base units, `_total` for what only grows. What a label
# tells apart can be added up.
#
# Rule: everything is read off the document, so it is as exact as that: over all workers, those that are gone included.
"""Exposition of statistics for Prometheus."""

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector, CollectorRegistry

from wsrv.engine.shm.histogram import BUCKETS, bucket_of, bucket_top_ns

Document = Mapping[str, Any]

# From 16 us to 17 s, doubling. Each is the top of one of our buckets, so that what it counts is exact.
_BOUNDS = tuple(bucket_of((1 << power) - 1) for power in range(4, 25))
# As the document names a bucket: by its top in ms.
_NUMBER = {round(bucket_top_ns(bucket) / 1e6, 3): bucket for bucket in range(BUCKETS)}


def exposition(document: Document, *, openmetrics: bool) -> bytes:
    """The document as text 0.0.4, or as OpenMetrics 1.0."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Statistics(document))
    render: Callable[[Any], bytes] = generate_openmetrics if openmetrics else generate_latest
    return render(registry)


class _Statistics(Collector):
    """What one document says."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def collect(self) -> Iterable[Metric]:
        """One family after the other."""
        document = self._document
        cache, tls = document["cache"], document["tls"]
        parts = {name: str(document[name]) for name in ("version", "ipc", "sync")}
        parts |= {"server": str(document["name"]), "cache_policy": cache["policy"], "cache_scope": cache["scope"]}
        yield InfoMetricFamily("wsrv_build", "What this server is made of.", value=parts)
        yield _gauge("wsrv_uptime_seconds", "Time since the start.", document["uptime_seconds"])

        total, by = _counter, _counters
        yield total("wsrv_requests", "Requests answered; the sum of wsrv_responses_total.", document["requests_total"])
        yield by("wsrv_responses", "Answers by status.", "status", document["responses"])
        internal = document["internal_requests_total"]
        yield total("wsrv_internal_requests", "Requests for /_wsrv/, which are no part of the others.", internal)
        yield total("wsrv_sent_bytes", "Bytes given to the kernel for clients.", document["bytes_sent"])
        took = document["latency_buckets"]
        yield _histogram("wsrv_request_duration_seconds", "From a request's first byte to its answer's last", took)

        yield _gauge("wsrv_connections_active", "Connections that are open.", document["connections_active"])
        yield total("wsrv_connections", "Connections taken in by workers.", document["connections_total"])
        refused = document["connections_refused"]
        yield by("wsrv_connections_refused", "Connections refused or lost, by reason.", "reason", refused)
        waits = document["queue_wait_buckets"]
        yield _histogram("wsrv_queue_wait_seconds", "From a connection's accept to its worker", waits)
        yield total("wsrv_tls_handshakes", "TLS handshakes that succeeded.", tls["handshakes"])
        yield total("wsrv_tls_failures", "TLS handshakes that failed.", tls["failures"])
        malformed = document["proxy"]["malformed"]
        yield total("wsrv_proxy_malformed", "Connections of named proxies that began with no PROXY header.", malformed)
        troubles = document["troubles"]
        yield by("wsrv_troubles", "What ran out or went wrong and was survived, by kind.", "kind", troubles)
        yield by("wsrv_limit_hits", "Clients that met a limit, by its setting.", "limit", document["limits"])

        yield from _cache(cache)
        yield from _workers(document["workers"], document["queue"])
        dropped = document["log_dropped"]
        yield total("wsrv_log_lines_dropped", "Lines of the access log that found no room.", dropped)
        yield from _guards(document["sync_objects"])


def _cache(cache: Mapping[str, Any]) -> Iterable[Metric]:
    yield _gauge("wsrv_cache_capacity_bytes", "Bytes that may be cached.", cache["capacity_bytes"])
    yield _gauge("wsrv_cache_size_bytes", "Bytes that are cached.", cache["size_bytes"])
    yield _gauge("wsrv_cache_objects", "Entries of the cache.", cache["objects"])
    yield _counter("wsrv_cache_hits", "Look-ups that found an entry.", cache["hits"])
    yield _counter("wsrv_cache_misses", "Look-ups that found none.", cache["misses"])
    yield _counter("wsrv_cache_negative_hits", "Answers from what was missing a moment ago.", cache["negative_hits"])
    yield _gauge("wsrv_cache_negative_objects", "Paths remembered as missing.", cache["negative_objects"])
    yield _counter("wsrv_cache_evictions", "Entries that left for want of room.", cache["evictions"])


def _workers(workers: Iterable[Mapping[str, Any]], queues: Iterable[Mapping[str, Any]]) -> Iterable[Metric]:
    up = GaugeMetricFamily("wsrv_worker_up", "Whether the place of this worker has a process.", labels=["worker"])
    requests = CounterMetricFamily(
        "wsrv_worker_requests", "Requests answered by the process that is in this place now.", labels=["worker"]
    )
    active = GaugeMetricFamily("wsrv_worker_connections_active", "Connections that it has open.", labels=["worker"])
    restarts = CounterMetricFamily("wsrv_worker_restarts", "How often it was replaced.", labels=["worker"])
    beat = GaugeMetricFamily(
        "wsrv_worker_heartbeat_age_seconds",
        "Time since its loop went round.",
        labels=["worker"],
    )
    for worker in workers:
        label = [str(worker["slot"])]
        up.add_metric(label, worker["pid"] is not None)
        requests.add_metric(label, worker["requests_total"])
        active.add_metric(label, worker["connections_active"])
        restarts.add_metric(label, worker["restarts"])
        if worker["heartbeat_age_seconds"] is not None:
            beat.add_metric(label, worker["heartbeat_age_seconds"])
    yield from (up, requests, active, restarts, beat)
    depth = GaugeMetricFamily("wsrv_queue_depth", "Connections that wait for this worker.", labels=["worker"])
    capacity = GaugeMetricFamily("wsrv_queue_capacity", "Connections that may wait for it.", labels=["worker"])
    for queue in queues:
        # Where the kernel queues, nobody can tell.
        if queue["depth"] is not None:
            depth.add_metric([str(queue["slot"])], queue["depth"])
            capacity.add_metric([str(queue["slot"])], queue["capacity"])
    yield from (depth, capacity)


def _guards(guards: Iterable[Mapping[str, Any]]) -> Iterable[Metric]:
    acquired = CounterMetricFamily("wsrv_lock_acquired", "How often a lock or semaphore was taken.", labels=["lock"])
    contended = CounterMetricFamily("wsrv_lock_contended", "How often it had to be waited for.", labels=["lock"])
    waited = CounterMetricFamily("wsrv_lock_wait_seconds", "How long, all in all.", labels=["lock"])
    for guard in guards:
        acquired.add_metric([guard["name"]], guard["acquired"])
        contended.add_metric([guard["name"]], guard["contended"])
        waited.add_metric([guard["name"]], guard["wait_ms"] / 1e3)
    yield from (acquired, contended, waited)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counters(name: str, about: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, about: str, found: Iterable[tuple[float, int]]) -> Metric:
    """Of the document's buckets. Their sum is taken from the middle of each, which is off by 1.6 % at most."""
    counts = [0] * BUCKETS
    for top_ms, count in found:
        counts[_NUMBER[top_ms]] += count
    up_to = list(accumulate(counts))
    buckets = [(repr(bucket_top_ns(bucket) / 1e9), float(up_to[bucket])) for bucket in _BOUNDS]
    buckets.append(("+Inf", float(up_to[-1])))
    seconds = sum(count * _middle_ns(bucket) for bucket, count in enumerate(counts) if count) / 1e9
    family = HistogramMetricFamily(name, f"{about}; the sum is exact to 2 %.", labels=[])
    family.add_metric([], buckets, seconds)
    return family


def _middle_ns(bucket: int) -> float:
    bottom_ns = bucket_top_ns(bucket - 1) if bucket else 0
    return (bottom_ns + bucket_top_ns(bucket)) / 2
