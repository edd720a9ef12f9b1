# The keys of part of the document are promised to scripts: they are listed here one by one, and may only become more.
"""The statistics document: its keys, and that its numbers agree with each other."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic_ns
from typing import Any

import pytest

from tests.master.slots import open_slots
from wsrv.engine.master.report import document, responses
from wsrv.engine.master.slot import Slot, Totals, WorkerProcess
from wsrv.engine.shm.histogram import bucket_of
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import (
    BYTES_SENT,
    CLOSED,
    COUNTERS,
    EVICTIONS,
    HITS,
    INTERNAL,
    LOG_DROPPED,
    MISSES,
    NEGATIVE_HITS,
    NEGATIVES,
    OBJECTS,
    OPENED,
    SIZE_BYTES,
    STATUS_INDEX,
    STATUSES,
    Ledger,
)
from wsrv.engine.worker.pool import PoolLocks

KEYS = (
    *("schema", "version", "name", "uptime_seconds", "listeners", "requests_total", "internal_requests_total"),
    *("bytes_sent", "connections_active", "connections_total", "connections_refused", "responses", "cache"),
    *("latency_ms", "workers", "ipc", "sync"),
)
CACHE_KEYS = (
    "policy",
    "scope",
    "capacity_bytes",
    "size_bytes",
    "objects",
    "hits",
    "misses",
    "evictions",
    "negative_hits",
    "negative_objects",
)
LATENCY_KEYS = ("p50", "p90", "p99", "p999", "max")
WORKER_KEYS = ("slot", "pid", "restarts", "requests_total", "connections_active", "heartbeat_age_seconds")

Report = Callable[..., dict[str, Any]]


class Office:
    """Two slots with a worker in each, and what the master knows beside."""

    def __init__(self, undo: ExitStack) -> None:
        self.mapping = Mapping(0, 64, 2)
        undo.callback(self.mapping.close)
        self.slots: list[Slot] = undo.enter_context(open_slots(8, 8))
        self.retired = Totals()
        for slot, row in zip(self.slots, self.mapping.rows, strict=True):
            # Neither locks nor lines are ever looked at here.
            process: Any = object()
            slot.process = WorkerProcess(
                1000 + slot.number, -1, slot.number, row, PoolLocks(process, process, process), process, process
            )
        self.ledgers = [Ledger(row, self.mapping.asleep, self.mapping.bell) for row in self.mapping.rows]

    def count(self, number: int, counts: dict[int, int]) -> None:
        """Worker `number` counts this."""
        for at, n in counts.items():
            self.ledgers[number].counts[at] += n
        self.ledgers[number].publish()

    def report(self) -> dict[str, Any]:
        found = document(
            name="a-name",
            listeners=["http://127.0.0.1:1"],
            parts={"policy": "lru", "ipc": "socketpair", "sync": "posix"},
            capacity_bytes=77,
            started_ns=monotonic_ns() - 5_000_000_000,
            retired=self.retired,
            slots=self.slots,
            workers=[slot.process for slot in self.slots if slot.process is not None],
            refused={"queue_full": 4},
            troubles={},
            guards={},
        )
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        return found


@pytest.fixture
def office() -> Iterator[Office]:
    with ExitStack() as undo:
        yield Office(undo)


def test_the_promised_keys_are_there(office: Office) -> None:
    found = office.report()
    assert set(KEYS) <= set(found)
    assert set(CACHE_KEYS) <= set(found["cache"])
    assert set(LATENCY_KEYS) <= set(found["latency_ms"])
    assert all(set(WORKER_KEYS) <= set(worker) for worker in found["workers"])
    assert (found["schema"], found["name"], found["pid"]) == (1, "a-name", os.getpid())
    assert (found["ipc"], found["sync"], found["cache"]["policy"]) == ("socketpair", "posix", "lru")
    assert found["connections_refused"] == {"queue_full": 4}
    assert 5 <= found["uptime_seconds"] < 60


def test_before_the_first_request_there_are_no_percentiles(office: Office) -> None:
    found = office.report()
    assert found["latency_ms"] == dict.fromkeys(LATENCY_KEYS)
    assert (found["requests_total"], found["responses"]) == (0, {})


def test_every_status_is_counted_once_and_their_sum_is_the_total(office: Office) -> None:
    for n, status in enumerate(STATUSES, 1):
        office.count(n % 2, {STATUS_INDEX[status]: n})
    found = office.report()
    assert found["responses"] == {str(status): n for n, status in enumerate(STATUSES, 1)}
    assert found["requests_total"] == sum(range(len(STATUSES) + 1))
    assert found["requests_total"] == sum(worker["requests_total"] for worker in found["workers"])


def test_internal_requests_are_no_requests(office: Office) -> None:
    office.count(0, {INTERNAL: 3})
    found = office.report()
    assert (found["internal_requests_total"], found["requests_total"]) == (3, 0)


def test_each_number_is_the_sum_of_both_workers(office: Office) -> None:
    numbers = {BYTES_SENT: 10, OPENED: 9, CLOSED: 2, HITS: 4, MISSES: 3, EVICTIONS: 1, SIZE_BYTES: 50, OBJECTS: 5}
    office.count(0, {**numbers, LOG_DROPPED: 6, NEGATIVE_HITS: 8, NEGATIVES: 3})
    office.count(1, {**numbers, NEGATIVE_HITS: 2, NEGATIVES: 1})
    found = office.report()
    assert (found["bytes_sent"], found["connections_total"], found["connections_active"]) == (20, 18, 14)
    assert [worker["connections_active"] for worker in found["workers"]] == [7, 7]
    cache = found["cache"]
    assert [cache[key] for key in ("size_bytes", "objects", "hits", "misses", "evictions")] == [100, 10, 8, 6, 2]
    assert (cache["negative_hits"], cache["negative_objects"]) == (10, 4)
    assert cache["capacity_bytes"] == 77
    assert found["log_dropped"] == 6


def test_what_a_dead_worker_counted_stays_and_its_slot_is_empty(office: Office) -> None:
    office.count(0, {STATUS_INDEX[200]: 7, OPENED: 5, SIZE_BYTES: 9})
    slot = office.slots[0]
    office.retired.retire(office.mapping.rows[0])
    slot.process, slot.restarts = None, 1
    found = office.report()
    assert found["requests_total"] == 7
    assert (found["connections_total"], found["connections_active"], found["cache"]["size_bytes"]) == (5, 0, 0)
    worker = found["workers"][0]
    assert (worker["pid"], worker["restarts"], worker["requests_total"]) == (None, 1, 0)
    assert (worker["connections_active"], worker["heartbeat_age_seconds"]) == (0, None)


def test_percentiles_come_from_all_workers_and_never_exceed_the_longest(office: Office) -> None:
    for ledger, took_ns in zip(office.ledgers, (2_000_000, 90_000_000), strict=True):
        ledger.histogram[bucket_of(took_ns >> 10)] += 50
        ledger.longest(took_ns)
        ledger.publish()
    latency = office.report()["latency_ms"]
    assert latency["p50"] == pytest.approx(2.0, rel=0.032)
    assert latency["p90"] == latency["p999"] == latency["max"] == 90.0


def test_a_heartbeat_has_an_age_once_there_was_one(office: Office) -> None:
    assert [worker["heartbeat_age_seconds"] for worker in office.report()["workers"]] == [None, None]
    office.ledgers[0].beat(monotonic_ns() - 3_000_000_000)
    age, none = (worker["heartbeat_age_seconds"] for worker in office.report()["workers"])
    assert 3 <= age < 60
    assert none is None
    office.ledgers[0].beat(monotonic_ns() + 3_000_000_000)  # as when it beats while the report is made
    assert office.report()["workers"][0]["heartbeat_age_seconds"] == 0


def test_statuses_that_were_never_given_are_not_listed() -> None:
    counts = [0] * COUNTERS
    counts[STATUS_INDEX[404]] = 2
    assert responses(counts) == {"404": 2}
