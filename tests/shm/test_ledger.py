# The model keeps what was committed and not yet written out as plain bytes; the ring has to agree with it wherever in
# the ring it begins, however full it gets, and whoever in turn holds the pen.
"""A Ledger commits counts and text together, drops what finds no room, and rings the bell when it must."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import (
    BYTES_SENT,
    COUNTERS,
    COVERED,
    FIRST_STATUS,
    GAUGES,
    LOG_DROPPED,
    OPENED,
    RING_BYTES,
    SEQUENCE_WORD,
    SNAPSHOT_WORD,
    TAIL_WORD,
    Ledger,
    Row,
)

HALF = RING_BYTES // 2

# Where in the ring a life begins: anywhere, and near its end, so that every alignment of the wrap is had.
positions = st.one_of(
    st.integers(0, 3 * RING_BYTES),
    st.builds(lambda laps, short: laps * RING_BYTES - short, st.integers(1, 3), st.integers(0, 40)),
)
lengths = st.one_of(
    st.integers(0, 60),
    st.sampled_from([HALF - 1, HALF, HALF + 1, RING_BYTES - 1, RING_BYTES, RING_BYTES + 1]),
    st.integers(0, RING_BYTES + 100),
)
commits = st.tuples(st.just("commit"), lengths, st.integers(0, 64))
drains = st.tuples(st.just("drain"), st.integers(0, 100), st.just(0))
handovers = st.tuples(st.sampled_from(["reborn", "cleared"]), st.just(0), st.just(0))
steps = st.lists(st.one_of(commits, commits, drains, handovers), max_size=25)


@contextmanager
def mapping_at(position: int) -> Iterator[Mapping]:
    """A mapping whose one row has its ring empty at `position`."""
    mapping = Mapping(0, 64, 1)
    words = mapping.rows[0].words
    words[SNAPSHOT_WORD + COVERED] = words[SNAPSHOT_WORD + COUNTERS + COVERED] = words[TAIL_WORD] = position
    try:
        yield mapping
    finally:
        mapping.close()


def rung(mapping: Mapping) -> bool:
    """Whether the bell was rung; it is silent then."""
    try:
        return os.eventfd_read(mapping.bell) > 0
    except BlockingIOError:
        return False


class Model:
    """What a reader has to see of one row."""

    def __init__(self, position: int) -> None:
        self.tail = position
        self.pending = b""
        self.counts = [0] * COUNTERS
        self.counts[COVERED] = position

    def commit(self, text: bytes, lines: int) -> bool:
        """Take in a commit; whether the log writer has to be woken."""
        used = len(self.pending) + len(text)
        if used > RING_BYTES:
            self.counts[LOG_DROPPED] += lines
        else:
            self.pending += text
            self.counts[COVERED] += len(text)
        return used > HALF

    def drain(self, length: int) -> None:
        self.pending = self.pending[length:]
        self.tail += length

    def clear(self) -> None:
        covered = self.counts[COVERED]
        self.counts = [0] * COUNTERS
        self.counts[COVERED] = covered

    def check(self, row: Row) -> None:
        assert row.counters() == self.counts
        assert row.covered() == self.counts[COVERED]
        assert row.text(self.tail, row.covered()) == self.pending


@given(position=positions, steps=steps, sleeps=st.booleans())
@settings(deadline=None, max_examples=150)
def test_a_reader_sees_what_was_committed_and_not_what_was_dropped(
    position: int, steps: list[tuple[str, int, int]], sleeps: bool
) -> None:
    with mapping_at(position) as mapping:
        row = mapping.rows[0]
        mapping.asleep[0] = sleeps
        ledger, model = Ledger(row, mapping.asleep, mapping.bell), Model(position)
        for number, (what, size, lines) in enumerate(steps):
            if what == "commit":
                text = (b"%d," % number * (size // 2 + 1))[:size]
                ledger.counts[FIRST_STATUS] += lines
                model.counts[FIRST_STATUS] += lines
                must_ring = model.commit(text, lines) or sleeps
                ledger.commit(text, lines)
                assert rung(mapping) == must_ring
            elif what == "drain":
                model.drain(len(model.pending) * size // 100)
                row.words[TAIL_WORD] = model.tail
            else:
                if what == "cleared":
                    row.clear()
                    model.clear()
                ledger = Ledger(row, mapping.asleep, mapping.bell)
            model.check(row)


@pytest.mark.parametrize("short", range(12))
def test_text_wraps_whole_at_every_distance_from_the_end(short: int) -> None:
    for length in range(12):
        with mapping_at(RING_BYTES - short) as mapping:
            row = mapping.rows[0]
            Ledger(row, mapping.asleep, mapping.bell).commit(b"0123456789ab"[:length], 1)
            assert row.text(RING_BYTES - short, row.covered()) == b"0123456789ab"[:length]


def test_counts_are_invisible_until_they_are_published(row: Row, ledger: Ledger) -> None:
    ledger.counts[BYTES_SENT] = 7
    assert row.counters()[BYTES_SENT] == 0
    ledger.publish()
    assert row.counters()[BYTES_SENT] == 7


def test_a_commit_is_one_store(row: Row, ledger: Ledger) -> None:
    # Whoever dies just before it has done nothing: a commit undone in that one word is a commit that never was.
    ledger.commit(b"one\n", 1)
    before = (row.counters(), row.covered())
    ledger.counts[OPENED] = 5
    ledger.commit(b"two\n", 1)
    row.words[SEQUENCE_WORD] -= 1
    assert (row.counters(), row.covered()) == before
    successor_text = b"other\n"
    Ledger(row, memoryview(bytearray(8)).cast("Q"), -1).commit(successor_text, 1)
    assert row.text(0, row.covered()) == b"one\n" + successor_text
    assert row.counters()[OPENED] == 0


def test_counts_are_visible_though_their_line_was_dropped(mapping: Mapping, row: Row, ledger: Ledger) -> None:
    ledger.commit(b"x" * RING_BYTES, 1)
    ledger.counts[FIRST_STATUS] = 3
    ledger.commit(b"y", 3)
    assert row.counters()[FIRST_STATUS] == 3
    assert row.counters()[LOG_DROPPED] == 3
    assert row.text(0, row.covered()) == b"x" * RING_BYTES


def test_a_bell_nobody_waits_for_stays_silent(mapping: Mapping, ledger: Ledger) -> None:
    ledger.commit(b"a line\n", 1)
    assert not rung(mapping)
    mapping.asleep[0] = 1
    ledger.commit(b"a line\n", 1)
    assert rung(mapping)


def test_the_longest_only_grows(row: Row, ledger: Ledger) -> None:
    for took_ns in (5, 9, 3, -2):
        ledger.longest(took_ns)
    assert row.longest_ns() == 9


def test_a_heartbeat_is_seen_at_once(row: Row, ledger: Ledger) -> None:
    assert row.heartbeat_ns() == 0
    ledger.beat(123)
    assert row.heartbeat_ns() == 123


def test_a_cleared_row_counts_from_zero_and_keeps_its_place_in_the_ring(row: Row, ledger: Ledger) -> None:
    for word in (OPENED, *GAUGES):
        ledger.counts[word] = 4
    ledger.histogram[3] += 1
    ledger.longest(50)
    ledger.beat(60)
    ledger.commit(b"a line\n", 1)
    row.clear()
    assert row.counters() == [7, *[0] * (COUNTERS - 1)]
    assert not any(row.histogram())
    assert (row.longest_ns(), row.heartbeat_ns(), row.covered()) == (0, 0, 7)
    assert row.text(0, 7) == b"a line\n"
