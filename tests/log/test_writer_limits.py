# What the log writer does at its limits, where no kill from outside can be aimed: it is made and run in this process.
"""The log writer against its predecessor's last write, and against destinations that take little."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsrv.engine.log.destination import Destination, FileDestination
from wsrv.engine.log.writer import LogWriter
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import Ledger

FIRST = b"".join(b"first row, line %d\n" % number for number in range(10))
SECOND = b"".join(b"second row, line %d\n" % number for number in range(10))


@pytest.fixture
def mapping() -> Iterator[Mapping]:
    """Two rows, each with ten lines that are waiting."""
    found = Mapping(0, 64, 2)
    for row, text in zip(found.rows, (FIRST, SECOND), strict=True):
        Ledger(row, found.asleep, found.bell).commit(text, 10)
    yield found
    found.close()


class Sparing:
    """A destination that takes `step` bytes in every other call."""

    def __init__(self, step: int) -> None:
        self.text = b""
        self._step = step
        self._takes = False

    def prepare(self, text: bytes, mid_line: bool) -> tuple[int | None, int]:
        assert mid_line == (self.text != b"" and not self.text.endswith(b"\n"))
        self._takes = not self._takes
        return None, len(text) if self._takes else 0

    def put(self, text: bytes) -> int:
        self.text += text[: self._step]
        return len(text[: self._step])

    def size(self) -> int | None:
        return None

    def await_room(self, seconds: float) -> bool:
        return True

    def reopen(self) -> None:
        pass

    def kept_fds(self) -> list[int]:
        return []

    def close(self) -> None:
        pass


def write(mapping: Mapping, destination: Destination) -> list[str]:
    """Run a log writer whose workers and master are gone; what it complains of."""
    complaints: list[str] = []
    lifeline, end = os.pipe()
    os.close(end)
    LogWriter(mapping, destination, lifeline, complaints.append).run()
    os.close(lifeline)
    return complaints


def intend(mapping: Mapping, row: int, length: int, size: int) -> None:
    """Note what a predecessor was about to write, from the beginning of a row."""
    mapping.intent[1], mapping.intent[2], mapping.intent[3] = length, size, 0
    mapping.intent[0] = row + 1


@pytest.mark.parametrize("step", [1, 7, 18, 19, 1000])
def test_lines_that_go_out_in_pieces_are_not_mixed(mapping: Mapping, step: int) -> None:
    sparing = Sparing(step)
    assert write(mapping, sparing) == []
    lines = sparing.text.splitlines(keepends=True)
    assert b"".join(line for line in lines if line.startswith(b"first")) == FIRST
    assert b"".join(line for line in lines if line.startswith(b"second")) == SECOND
    assert len(lines) == 20


@pytest.mark.parametrize("done", [0, 1, 18, 25, len(FIRST)])
def test_successor_finishes_what_its_predecessor_had_begun(mapping: Mapping, tmp_path: Path, done: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"what was there\n" + FIRST[:done])
    intend(mapping, 0, len(FIRST), len(b"what was there\n"))
    assert write(mapping, FileDestination(str(path), 0, 5, print)) == []
    assert path.read_bytes() == b"what was there\n" + FIRST + SECOND


def test_line_that_the_predecessor_had_begun_is_ended_before_the_log_rotates(mapping: Mapping, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"what was there\n" + SECOND[:25])
    intend(mapping, 1, len(SECOND), len(b"what was there\n"))
    assert write(mapping, FileDestination(str(path), 30, 100, print)) == []
    files = sorted(tmp_path.iterdir(), key=lambda found: -int(found.suffix[1:] or 0))
    assert all(found.read_bytes().endswith(b"\n") for found in files)
    assert files[0].read_bytes() == b"what was there\n" + SECOND
    assert b"".join(found.read_bytes() for found in files[1:]) == FIRST


def test_file_that_takes_nothing_is_complained_of_once(mapping: Mapping, tmp_path: Path) -> None:
    complaints = write(mapping, FileDestination(str(tmp_path / "missing" / "log"), 0, 5, print))
    assert complaints == ["access log: No such file or directory; lines will be lost"]
