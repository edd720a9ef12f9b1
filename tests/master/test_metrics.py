"""The statistics document as Prometheus reads it."""

import subprocess
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from wsrv.engine.master.metrics import exposition
from wsrv.engine.master.report import buckets
from wsrv.engine.shm.histogram import BUCKETS, bucket_of, bucket_top_ns

MICROSECOND_NS = 1_000


def worker(
    slot: int, pid: int | None, requests: int, restarts: int, active: int, beat_seconds: float | None
) -> dict[str, Any]:
    """One of the document's."""
    found = {"slot": slot, "pid": pid, "requests_total": requests, "restarts": restarts, "connections_active": active}
    return {**found, "heartbeat_age_seconds": beat_seconds}


def document(**more: Any) -> dict[str, Any]:
    """As `wsrv stats --json` prints it, with something of everything."""
    return {
        "version": "1.2",
        "name": 'a "name"\\',
        "ipc": "inherit",
        "sync": "posix",
        "uptime_seconds": 12.5,
        "requests_total": 7,
        "internal_requests_total": 2,
        "bytes_sent": 123_456_789_012,
        "connections_active": 3,
        "connections_total": 5,
        "connections_refused": {"queue_full": 4, "lost": 1},
        "tls": {"handshakes": 6, "failures": 1},
        "proxy": {"malformed": 8},
        "troubles": {"fork_failed": 12},
        "limits": {"head_timeout": 9},
        "responses": {"200": 4, "404": 2, "503": 1},
        "cache": {
            "policy": "lru",
            "scope": "process",
            "capacity_bytes": 1000,
            "size_bytes": 10,
            "objects": 1,
            "hits": 3,
            "misses": 4,
            "negative_hits": 6,
            "negative_objects": 2,
            "evictions": 5,
        },
        "latency_buckets": [],
        "queue_wait_buckets": [],
        "queue": [{"slot": 0, "depth": 1, "capacity": 9}, {"slot": 1, "depth": None, "capacity": None}],
        "log_dropped": 11,
        "workers": [worker(0, 17, 7, 2, 3, 0.5), worker(1, None, 0, 0, 0, None)],
        "sync_objects": [{"name": "queue", "acquired": 20, "contended": 2, "wait_ms": 1500.0}],
        **more,
    }


def samples(found: dict[str, Any], openmetrics: bool = False) -> dict[str, float]:
    """Every sample of the exposition of a document, by its name and the values of its labels."""
    read = read_openmetrics if openmetrics else read_text
    text = exposition(found, openmetrics=openmetrics).decode()
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in read(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("openmetrics", [False, True])
def test_everything_that_is_counted_is_there(openmetrics: bool) -> None:
    found = samples(document(), openmetrics)
    assert {name: value for name, value in found.items() if not name.startswith(("wsrv_build", "wsrv_request_d"))} == {
        "wsrv_uptime_seconds": 12.5,
        "wsrv_requests_total": 7,
        "wsrv_responses_total 200": 4,
        "wsrv_responses_total 404": 2,
        "wsrv_responses_total 503": 1,
        "wsrv_internal_requests_total": 2,
        "wsrv_sent_bytes_total": 123_456_789_012,
        "wsrv_connections_active": 3,
        "wsrv_connections_total": 5,
        "wsrv_connections_refused_total queue_full": 4,
        "wsrv_connections_refused_total lost": 1,
        "wsrv_tls_handshakes_total": 6,
        "wsrv_tls_failures_total": 1,
        "wsrv_proxy_malformed_total": 8,
        "wsrv_troubles_total fork_failed": 12,
        "wsrv_limit_hits_total head_timeout": 9,
        "wsrv_cache_capacity_bytes": 1000,
        "wsrv_cache_size_bytes": 10,
        "wsrv_cache_objects": 1,
        "wsrv_cache_hits_total": 3,
        "wsrv_cache_misses_total": 4,
        "wsrv_cache_negative_hits_total": 6,
        "wsrv_cache_negative_objects": 2,
        "wsrv_cache_evictions_total": 5,
        "wsrv_worker_up 0": 1,
        "wsrv_worker_up 1": 0,
        "wsrv_worker_requests_total 0": 7,
        "wsrv_worker_requests_total 1": 0,
        "wsrv_worker_connections_active 0": 3,
        "wsrv_worker_connections_active 1": 0,
        "wsrv_worker_restarts_total 0": 2,
        "wsrv_worker_restarts_total 1": 0,
        "wsrv_worker_heartbeat_age_seconds 0": 0.5,
        "wsrv_queue_depth 0": 1,
        "wsrv_queue_capacity 0": 9,
        "wsrv_log_lines_dropped_total": 11,
        "wsrv_lock_acquired_total queue": 20,
        "wsrv_lock_contended_total queue": 2,
        "wsrv_lock_wait_seconds_total queue": 1.5,
    } | {name: value for name, value in found.items() if name.startswith("wsrv_queue_wait")}


def test_what_the_server_is_made_of_are_labels() -> None:
    (build,) = [f for f in read_text(exposition(document(), openmetrics=False).decode()) if f.name == "wsrv_build_info"]
    assert build.samples[0].labels == {
        "version": "1.2",
        "server": 'a "name"\\',
        "ipc": "inherit",
        "sync": "posix",
        "cache_policy": "lru",
        "cache_scope": "process",
    }


def test_buckets_count_what_took_no_longer_than_their_bound() -> None:
    durations_ns = [n * MICROSECOND_NS for n in (1, 16, 17, 300, 1048, 1049, 70_000, 30_000_000)]
    histogram = [0] * BUCKETS
    for duration_ns in durations_ns:
        histogram[bucket_of(duration_ns >> 10)] += 1
    found = samples(document(latency_buckets=buckets(histogram)))
    name = "wsrv_request_duration_seconds"
    bounds = [key.rpartition(" ")[2] for key in found if key.startswith(f"{name}_bucket")]
    assert len(bounds) > 20
    for bound in bounds:
        bound_ns = float(bound) * 1e9
        # A duration counts where its bucket ends: 1.024 us or 3.2 % later at most.
        assert found[f"{name}_bucket {bound}"] == sum(
            bucket_top_ns(bucket_of(ns >> 10)) <= bound_ns + 0.5 for ns in durations_ns
        ), bound
    assert found[f"{name}_count"] == found[f"{name}_bucket +Inf"] == len(durations_ns)
    assert found[f"{name}_sum"] == pytest.approx(sum(durations_ns) / 1e9, rel=0.02)


def test_promtool_has_nothing_against_the_text() -> None:
    text = exposition(document(latency_buckets=[[0.017, 5]]), openmetrics=False)
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")
