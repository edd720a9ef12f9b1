# Rings with text in them, a writer to carry it, and what was complained of.
"""Fixtures for engine/log."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wsrv.engine.log.destination import Destination, FileDestination
from wsrv.engine.log.writer import LogWriter
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import TAIL_WORD, Ledger
from wsrv.testing.processes import open_fds


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


class Desk:
    """Rows with their ledgers, and the life of a log writer that ends when all is written, or cannot be."""

    def __init__(self, rows: int) -> None:
        self.mapping = Mapping(0, 64, rows)
        self.ledgers = [Ledger(row, self.mapping.asleep, self.mapping.bell) for row in self.mapping.rows]
        self.complaints: list[str] = []
        self._lifeline, end = os.pipe()
        os.close(end)

    def commit(self, number: int, text: bytes) -> None:
        """Put whole lines into the ring of row `number`."""
        self.ledgers[number].commit(text, text.count(b"\n"))

    def carry(self, destination: Destination) -> None:
        """A log writer's whole life, from what its predecessor left to the end of its rings."""
        LogWriter(self.mapping, destination, self._lifeline, self.complaints.append).run()

    def waiting(self, number: int = 0) -> bytes:
        """What the writer has not counted as written."""
        row = self.mapping.rows[number]
        return row.text(row.words[TAIL_WORD], row.covered())

    def file(self, path: Path, max_bytes: int = 0, keep: int = 0) -> FileDestination:
        """A log file at `path`."""
        return FileDestination(str(path), max_bytes, keep, self.complaints.append)

    def close(self) -> None:
        os.close(self._lifeline)
        self.mapping.close()


@pytest.fixture
def make_desk(_no_descriptor_left: None) -> Iterator[Callable[[int], Desk]]:
    """Makes desks and clears them away."""
    made: list[Desk] = []

    def make(rows: int) -> Desk:
        made.append(Desk(rows))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make_desk: Callable[[int], Desk]) -> Desk:
    """A desk with two rows."""
    return make_desk(2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log file goes."""
    return tmp_path / "access.log"


def contents(path: Path) -> list[bytes]:
    """The log's files, oldest first."""
    rotated = sorted(path.parent.glob(path.name + ".*"), key=lambda file: -int(file.suffix[1:]))
    return [file.read_bytes() for file in (*rotated, path) if file.exists()]
