# What the statistics say of locks and semaphores: sums over all who used them, those that are gone included.
"""`sync_objects` in the statistics document."""

from collections.abc import Iterator, Sequence
from time import monotonic_ns
from typing import Any

import pytest

from wsrv.engine.master.report import document
from wsrv.engine.master.slot import Totals
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import GUARD_INDEX, GUARDS, Ledger
from wsrv.engine.sync.counting import ACQUIRED, CONTENDED, WAIT_NS


@pytest.fixture
def mapping() -> Iterator[Mapping]:
    made = Mapping(0, 64, 2)
    yield made
    made.close()


def use(mapping: Mapping, number: int, name: str, acquired: int, contended: int, wait_ns: int) -> None:
    """Let the worker of row `number` have used a guard."""
    ledger = Ledger(mapping.rows[number], mapping.asleep, mapping.bell)
    for word, count in ((ACQUIRED, acquired), (CONTENDED, contended), (WAIT_NS, wait_ns)):
        ledger.counts[GUARD_INDEX[name] + word] += count
    ledger.publish()


def sync_objects(retired: Totals, own: Sequence[int] = (0, 0, 0)) -> dict[str, dict[str, Any]]:
    found = document(
        name="a-name",
        listeners=[],
        parts={"policy": "lru", "ipc": "socketpair", "sync": "posix"},
        capacity_bytes=1,
        started_ns=monotonic_ns(),
        retired=retired,
        slots=[],
        workers=[],
        refused={},
        troubles={},
        guards={"queue": own},
    )["sync_objects"]
    assert [used["name"] for used in found] == list(GUARDS)
    return {used.pop("name"): used for used in found}


def test_what_several_workers_counted_is_added_up_by_name(mapping: Mapping) -> None:
    use(mapping, 0, "pool_mutex", 10, 2, 3_000_000)
    use(mapping, 1, "pool_mutex", 5, 1, 500_000)
    use(mapping, 1, "pool_empty", 7, 0, 0)
    totals = Totals()
    for row in mapping.rows:
        totals.add(row)
    found = sync_objects(totals)
    assert found["pool_mutex"] == {"acquired": 15, "contended": 3, "wait_ms": 3.5}
    assert found["pool_empty"] == {"acquired": 7, "contended": 0, "wait_ms": 0.0}
    assert found["pool_filled"] == {"acquired": 0, "contended": 0, "wait_ms": 0.0}


def test_what_the_master_counted_is_added_to_what_workers_did(mapping: Mapping) -> None:
    use(mapping, 0, "queue", 1, 1, 1_000_000)
    totals = Totals()
    totals.add(mapping.rows[0])
    assert sync_objects(totals, (100, 20, 0))["queue"] == {"acquired": 101, "contended": 21, "wait_ms": 1.0}


def test_counts_of_a_worker_that_is_gone_stay_and_its_successor_begins_at_zero(mapping: Mapping) -> None:
    retired = Totals()
    for _ in range(2):
        use(mapping, 0, "pool_filled", 3, 2, 2_000_000)
        retired.retire(mapping.rows[0])
    assert sync_objects(retired)["pool_filled"] == {"acquired": 6, "contended": 4, "wait_ms": 4.0}
