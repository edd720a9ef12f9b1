# Real processes that die by SIGKILL wherever they happen to be, and readers beside them.
#
# Every line carries a number, and a worker reads the next one off the counts that its predecessor published. So if
# counts and text ever came apart, a number would be missing or stand there twice.
"""What readers see of a worker's row, while it writes and after it was killed."""

import random
import signal
from time import monotonic

from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import (
    BYTES_SENT,
    COUNTERS,
    LOG_DROPPED,
    RING_BYTES,
    STATUS_INDEX,
    STATUSES,
    TAIL_WORD,
    Ledger,
    Row,
)
from wsrv.testing.processes import Child

KILLS = 120
SNAPSHOTS = 5_000
BOUND_SECONDS = 20.0
_STATUS_WORDS = tuple(STATUS_INDEX.values())
# The last word of a snapshot, as far from the first as can be.
_LAST = COUNTERS - 1


def answered(counts: list[int]) -> int:
    """The sum of all statuses."""
    return sum(counts[at] for at in _STATUS_WORDS)


def write_on(mapping: Mapping, row: Row, seed: int) -> None:
    """A worker's life: batches of lines, until it is killed. Nobody empties its ring: it stops before that is full."""
    chance = random.Random(seed)
    ledger = Ledger(row, mapping.asleep, mapping.bell)
    number = answered(list(ledger.counts))
    while row.covered() - row.words[TAIL_WORD] < RING_BYTES // 2:
        lines = chance.randrange(1, 64)
        text = b"".join(b"%d %s\n" % (n, b"." * chance.randrange(60)) for n in range(number, number + lines))
        for _ in range(lines):
            ledger.counts[STATUS_INDEX[chance.choice(STATUSES)]] += 1
        number += lines
        ledger.counts[BYTES_SENT] = number
        ledger.commit(text, lines)
    signal.pause()


def write_in_step(mapping: Mapping, row: Row) -> None:
    """A worker that keeps several words equal, without end, and has as much else to do as one that serves."""
    ledger = Ledger(row, mapping.asleep, mapping.bell)
    while True:
        for word in (BYTES_SENT, LOG_DROPPED, _LAST):
            ledger.counts[word] += 1
        ledger.publish()
        sum(range(500))


def test_a_reader_beside_a_writer_sees_only_counters_that_belong_together(mapping: Mapping, row: Row) -> None:
    with Child(lambda: write_in_step(mapping, row), [mapping.bell]) as child:
        seen: set[int] = set()
        until = monotonic() + BOUND_SECONDS
        while len(seen) < SNAPSHOTS:
            assert monotonic() < until, "reader and writer hardly ever meet"
            counts = row.counters()
            assert counts[BYTES_SENT] == counts[LOG_DROPPED] == counts[_LAST]
            seen.add(counts[BYTES_SENT])
        child.kill()


def test_whenever_a_worker_is_killed_its_counts_cover_its_text_exactly(mapping: Mapping, row: Row) -> None:
    chance = random.Random(1)
    expected = 0
    shortest = 0
    for life in range(KILLS):
        begun = row.covered()
        # Dead before its first commit, soon after it, or when it has gone round the ring.
        wanted = chance.choice((0, 1, chance.randrange(20_000), chance.randrange(300_000)))
        until = monotonic() + BOUND_SECONDS
        with Child(lambda seed=life: write_on(mapping, row, seed), [mapping.bell]) as child:  # type: ignore[misc]
            while row.covered() - begun < wanted:
                assert monotonic() < until, "the worker does not write"
            child.kill()
        head = row.covered()
        numbers = [int(line.split()[0]) for line in row.text(row.words[TAIL_WORD], head).splitlines()]
        assert numbers == list(range(expected, expected + len(numbers)))
        expected += len(numbers)
        row.words[TAIL_WORD] = head
        counts = row.counters()
        assert answered(counts) == counts[BYTES_SENT] == expected
        assert counts[LOG_DROPPED] == 0
        shortest += not numbers
    assert expected > KILLS, "nothing was written"
    assert shortest < KILLS, "nobody lived long enough to write"
