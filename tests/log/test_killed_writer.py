# A real process, killed by SIGKILL while it carries, again and again.
"""After any number of kills the log is what was committed: whole lines, none missing, none twice."""

import os
import random
from pathlib import Path
from time import monotonic

import pytest

from tests.log.conftest import contents
from tests.log.test_writer_deaths import check, lines
from wsrv.engine.log.destination import FileDestination
from wsrv.engine.log.writer import serve_log
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import LOG_DROPPED, RING_BYTES, TAIL_WORD, Ledger
from wsrv.testing.processes import Child

KILLS = 40
LINE_BYTES = 100
BATCH = 2000
BOUND_SECONDS = 20.0


class Office:
    """Two workers' ledgers, and how much of them has been written."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.ledgers = [Ledger(row, mapping.asleep, mapping.bell) for row in mapping.rows]
        self.committed = [0, 0]

    def commit(self) -> None:
        """A batch for each row that has room for it."""
        for number, (row, ledger) in enumerate(zip(self.mapping.rows, self.ledgers, strict=True)):
            if row.covered() - row.words[TAIL_WORD] + BATCH * LINE_BYTES <= RING_BYTES:
                ledger.commit(lines(number, self.committed[number], BATCH, LINE_BYTES), BATCH)
                self.committed[number] += BATCH

    def carried(self) -> int:
        """Bytes that have been counted as written."""
        return sum(row.words[TAIL_WORD] for row in self.mapping.rows)


@pytest.mark.parametrize("max_bytes", [0, 700_000], ids=["one file", "rotated"])
def test_killed_at_any_moment_nothing_is_lost_or_written_twice(path: Path, max_bytes: int) -> None:
    mapping = Mapping(0, 64, 2)
    lifeline, end = os.pipe()
    office = Office(mapping)

    def carry() -> None:
        destination = FileDestination(str(path), max_bytes, 1000, print)
        serve_log(mapping, destination, lifeline, print)

    chance = random.Random(1)
    for _ in range(KILLS):
        with Child(carry, [mapping.bell, lifeline]) as child:
            begun = office.carried()
            wanted = begun + chance.randrange(1, 1_000_000)
            until = monotonic() + BOUND_SECONDS
            while office.carried() < wanted:
                office.commit()
                assert monotonic() < until, "the writer carries nothing"
            # Somewhere in the next write, not just after the last one.
            for _ in range(chance.randrange(20_000)):
                pass
            child.kill()
    with Child(carry, [mapping.bell, lifeline]):
        os.close(end)
    os.close(lifeline)
    assert all(ledger.counts[LOG_DROPPED] == 0 for ledger in office.ledgers)
    mapping.close()
    check(path, office.committed)
    assert len(contents(path)) > 1 or not max_bytes
