# What a worker counts is written with a Ledger, as a worker does it.
"""Totals: the sum of all workers, those included that are gone."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.master.slot import Totals
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import (
    BYTES_SENT,
    CLOSED,
    COUNTERS,
    COVERED,
    LOG_DROPPED,
    OBJECTS,
    OPENED,
    SIZE_BYTES,
    STATUS_INDEX,
    Ledger,
    Row,
)

_200 = STATUS_INDEX[200]


@pytest.fixture
def mapping() -> Iterator[Mapping]:
    """A mapping with two rows."""
    made = Mapping(0, 64, 2)
    yield made
    made.close()


def work(mapping: Mapping, row: Row, counts: dict[int, int], *, bucket: int = 0, longest_ns: int = 0) -> None:
    """A worker in `row` counts this on top of what it has counted."""
    ledger = Ledger(row, mapping.asleep, mapping.bell)
    for at, number in counts.items():
        ledger.counts[at] += number
    ledger.histogram[bucket] += counts.get(_200, 0)
    ledger.longest(longest_ns)
    ledger.commit(b"a line\n", 1)


def test_rows_add_up_and_the_longest_is_the_longest_of_all(mapping: Mapping) -> None:
    first, second = mapping.rows
    work(mapping, first, {_200: 2, BYTES_SENT: 10, OPENED: 3}, bucket=4, longest_ns=70)
    work(mapping, second, {_200: 5, BYTES_SENT: 1, OPENED: 4}, bucket=9, longest_ns=50)
    totals = Totals()
    totals.add(first)
    totals.add(second)
    assert [totals.counts[at] for at in (_200, BYTES_SENT, OPENED)] == [7, 11, 7]
    assert {bucket: n for bucket, n in enumerate(totals.histogram) if n} == {4: 2, 9: 5}
    assert totals.max_ns == 70


def test_of_a_worker_that_is_gone_events_stay_and_states_do_not(mapping: Mapping) -> None:
    row = mapping.rows[0]
    work(mapping, row, {_200: 2, OPENED: 9, CLOSED: 4, SIZE_BYTES: 1000, OBJECTS: 5, LOG_DROPPED: 6}, longest_ns=70)
    totals = Totals()
    totals.retire(row)
    assert totals.counts[_200] == 2
    assert totals.counts[OPENED] == totals.counts[CLOSED] == 9
    assert [totals.counts[at] for at in (COVERED, SIZE_BYTES, OBJECTS)] == [0, 0, 0]
    assert (totals.dropped, totals.max_ns) == (6, 70)


def test_a_row_is_handed_on_empty_with_its_text(mapping: Mapping) -> None:
    row = mapping.rows[0]
    work(mapping, row, {_200: 2, SIZE_BYTES: 7}, bucket=3, longest_ns=70)
    Totals().retire(row)
    assert row.counters() == [len(b"a line\n"), *[0] * (COUNTERS - 1)]
    assert not any(row.histogram())
    assert (row.longest_ns(), row.heartbeat_ns()) == (0, 0)
    assert row.text(0, row.covered()) == b"a line\n"


@given(lives=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 50), st.booleans()), max_size=30))
def test_however_often_workers_die_nothing_is_counted_twice_or_lost(lives: list[tuple[int, int, bool]]) -> None:
    mapping = Mapping(0, 64, 2)
    retired = Totals()
    expected = 0
    for number, requests, dies in lives:
        row = mapping.rows[number]
        work(mapping, row, {_200: requests, OPENED: 1}, bucket=number)
        expected += requests
        if dies:
            retired.retire(row)
        totals = retired.copy()
        for living in mapping.rows:
            totals.add(living)
        assert totals.counts[_200] == sum(totals.histogram) == expected
        assert totals.counts[OPENED] - totals.counts[CLOSED] >= 0
    mapping.close()


def test_a_copy_is_its_own(mapping: Mapping) -> None:
    totals = Totals()
    work(mapping, mapping.rows[0], {_200: 1}, longest_ns=5)
    copy = totals.copy()
    copy.add(mapping.rows[0])
    assert totals == Totals()
    assert copy != totals
