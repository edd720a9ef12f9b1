"""Samples, a second each, out of statistics documents."""

from typing import Any

import pytest

from tests.master.test_metrics import document
from wsrv.engine.master.history import COLUMNS, MOST_SAMPLES, History


def counted(seconds: float, **more: Any) -> dict[str, Any]:
    """A document so long after the start."""
    return document(uptime_seconds=seconds, latency_ms={"max": None}, **more)


def samples(history: History) -> list[dict[str, Any]]:
    """The samples, by the names of their figures."""
    return [dict(zip(COLUMNS, sample, strict=True)) for sample in history.document()["samples"]]


def test_a_sample_is_what_was_counted_between_two_documents_a_second() -> None:
    history = History()
    history.note(counted(10.0), 1000.0)
    assert samples(history) == []
    cache = {**document()["cache"], "hits": 13, "misses": 5}
    grown = {
        "requests_total": 27,
        "bytes_sent": 123_456_789_512,
        "responses": {"200": 14, "302": 2, "404": 6, "503": 5},
    }
    refused = {"connections_refused": {"queue_full": 6, "lost": 1, "worker_full": 2}}
    history.note(counted(12.0, **grown, **refused, cache=cache, connections_active=8), 1002.04)
    (found,) = samples(history)
    assert found == {
        "n": 0,
        "t": 1002.0,
        "requests": 10,
        "2xx": 5,
        "3xx": 1,
        "4xx": 2,
        "5xx": 2,
        "bytes": 250,
        "refused": 2,
        "hits": 5,
        "misses": 0.5,
        "p50": None,
        "p90": None,
        "p99": None,
        "active": 8,
        "queued": 1,
    }


def test_percentiles_are_of_the_second_alone_and_no_longer_than_the_longest() -> None:
    history = History()
    history.note(counted(1.0, latency_buckets=[[0.1, 1000], [50.0, 10]]), 0)
    now = {"latency_buckets": [[0.1, 1000], [0.2, 50], [1.0, 45], [50.0, 15]]}
    history.note(counted(2.0) | now | {"latency_ms": {"max": 49.5}}, 1)
    found = samples(history)[0]
    assert (found["p50"], found["p90"], found["p99"]) == (0.2, 1.0, 49.5)


def test_the_last_ten_minutes_are_kept_and_numbered() -> None:
    history = History()
    for second in range(MOST_SAMPLES + 6):
        history.note(counted(float(second)), float(second))
    found = samples(history)
    assert [one["n"] for one in found] == list(range(5, MOST_SAMPLES + 5))
    assert [sample[0] for sample in history.document(3)["samples"]] == [MOST_SAMPLES + n for n in (2, 3, 4)]


@pytest.mark.parametrize("seconds", [10.0, 9.0])
def test_no_time_makes_no_sample(seconds: float) -> None:
    history = History()
    history.note(counted(10.0), 0)
    history.note(counted(seconds), 0)
    assert samples(history) == []
