# A writer's death is an exception here that nothing catches, raised at a place of the test's choosing. What a real
# SIGKILL does is the matter of test_killed_writer.
"""The log writer: everything once, in whole lines, whoever it was that died in the middle of what."""

import errno
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.log.conftest import Desk, contents
from wsrv.engine.log import writer as writer_module
from wsrv.engine.log.destination import FileDestination, StreamDestination
from wsrv.engine.shm.row import RING_BYTES, TAIL_WORD

BEFORE_WRITE, HALF_WRITTEN, WRITTEN = "before the write", "in the middle of the write", "after the write"
PLACES = (BEFORE_WRITE, HALF_WRITTEN, WRITTEN)


class Died(BaseException):
    """The writer is dead."""


class Deadly(FileDestination):
    """A log file whose writer dies at its `at`-th write, at `place`; a half is `cut` bytes."""

    def __init__(self, path: Path, max_bytes: int, place: str, at: int, cut: int) -> None:
        super().__init__(str(path), max_bytes, 1000, lambda complaint: None)
        self._place, self._left, self._cut = place, at, cut

    def put(self, text: bytes) -> int:
        if self._left:
            self._left -= 1
            return super().put(text)
        if self._place == HALF_WRITTEN:
            super().put(text[: self._cut % len(text)])
        elif self._place == WRITTEN:
            super().put(text)
        raise Died


def lines(row: int, first: int, count: int, length: int = 12) -> bytes:
    """Lines that say whose they are and which."""
    return b"".join((b"%d:%d" % (row, n)).ljust(length - 1, b".") + b"\n" for n in range(first, first + count))


def check_text(text: bytes, committed: list[int]) -> None:
    """Each row has its lines once and in order, and no line is torn."""
    seen = [0] * len(committed)
    for line in text.splitlines():
        found = re.fullmatch(rb"(\d+):(\d+)\.*", line)
        assert found is not None, f"a torn line: {line!r}"
        row, number = int(found[1]), int(found[2])
        assert number == seen[row], f"row {row}: line {number} where {seen[row]} was due"
        seen[row] += 1
    assert seen == committed


def check(path: Path, committed: list[int]) -> None:
    """All files together are what was committed, and each is whole lines."""
    files = contents(path)
    assert all(file.endswith(b"\n") for file in files if file), "a file ends within a line"
    check_text(b"".join(files), committed)


def live_and_die(desk: Desk, destination: FileDestination) -> bool:
    """A life; whether it was cut short."""
    try:
        desk.carry(destination)
    except Died:
        destination.close()
        return True
    return False


def test_the_text_of_all_rows_is_carried_in_whole_lines(make_desk: Callable[[int], Desk], path: Path) -> None:
    desk = make_desk(3)
    for number in range(3):
        desk.commit(number, lines(number, 0, 1000))
    desk.carry(desk.file(path))
    check(path, [1000, 1000, 1000])
    assert all(not desk.waiting(number) for number in range(3))


def test_a_full_ring_is_carried_whole(desk: Desk, path: Path) -> None:
    count = RING_BYTES // 64
    desk.commit(0, lines(0, 0, count, 64))
    desk.carry(desk.file(path))
    desk.commit(0, lines(0, count, count, 64))
    desk.carry(desk.file(path))
    check(path, [2 * count, 0])


def test_nothing_to_carry_is_nothing_written(desk: Desk, path: Path) -> None:
    desk.carry(desk.file(path))
    assert not path.exists()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("cut", [1, 11, 12, 13])
def test_a_successor_goes_on_exactly_where_it_was(desk: Desk, path: Path, place: str, cut: int) -> None:
    for number in range(2):
        desk.commit(number, lines(number, 0, 3))
    assert live_and_die(desk, Deadly(path, 0, place, 1, cut))
    desk.commit(0, lines(0, 3, 2))
    desk.carry(desk.file(path))
    check(path, [5, 3])


@pytest.mark.parametrize("place", PLACES)
def test_a_successor_never_rotates_within_a_line(desk: Desk, path: Path, place: str) -> None:
    for number in range(2):
        desk.commit(number, lines(number, 0, 4))
    assert live_and_die(desk, Deadly(path, 50, place, 0, 30))
    desk.carry(desk.file(path, 50, 1000))
    check(path, [4, 4])


def test_a_death_between_the_tail_and_the_end_of_the_intent_is_harmless(desk: Desk, path: Path) -> None:
    text = lines(0, 0, 3)
    desk.commit(0, text)
    desk.carry(desk.file(path))
    # As it stands after the tail was stored, and before word 0 of the intent was.
    desk.mapping.intent[1], desk.mapping.intent[2], desk.mapping.intent[3] = len(text), 0, 0
    desk.mapping.intent[0] = 1
    desk.commit(0, lines(0, 3, 1))
    desk.carry(desk.file(path))
    check(path, [4, 0])


@pytest.mark.parametrize("renames", range(3))
def test_a_death_while_files_are_renamed_loses_none(
    desk: Desk, path: Path, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.commit(0, lines(0, 0, 11))
    desk.carry(desk.file(path, 48, 1000))
    assert len(contents(path)) == 3
    left = renames
    replace = os.replace

    def deadly(source: str, target: str) -> None:
        nonlocal left
        if left == 0:
            raise Died
        left -= 1
        replace(source, target)

    desk.commit(0, lines(0, 11, 3))
    with monkeypatch.context() as patch:
        patch.setattr("wsrv.engine.log.destination.os.replace", deadly)
        assert live_and_die(desk, desk.file(path, 48, 1000))
    desk.carry(desk.file(path, 48, 1000))
    check(path, [14, 0])


commits = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9), st.integers(8, 40)), max_size=5)
lives = st.lists(st.tuples(commits, st.sampled_from(PLACES), st.integers(0, 4), st.integers(0, 200)), max_size=8)


@given(lives=lives, max_bytes=st.sampled_from([0, 40, 90, 200]))
@settings(deadline=None, max_examples=150)
def test_however_many_writers_die_the_log_is_what_was_committed(
    tmp_path_factory: pytest.TempPathFactory,
    lives: list[tuple[list[tuple[int, int, int]], str, int, int]],
    max_bytes: int,
) -> None:
    path = tmp_path_factory.mktemp("log") / "access.log"
    desk = Desk(2)
    committed = [0, 0]
    try:
        for texts, place, at, cut in lives:
            for row, count, length in texts:
                desk.commit(row, lines(row, committed[row], count, length))
                committed[row] += count
            deadly = Deadly(path, max_bytes, place, at, cut)
            live_and_die(desk, deadly)
        desk.carry(desk.file(path, max_bytes, 1000))
        check(path, committed)
    finally:
        desk.close()


# Destinations in trouble.


class Troubled(FileDestination):
    """A file that takes `room` bytes, then has no space for so many `tries`."""

    def __init__(self, path: Path, room: int, tries: int) -> None:
        super().__init__(str(path), 0, 0, lambda complaint: None)
        self._room, self._tries = room, tries

    def put(self, text: bytes) -> int:
        if self._room == 0 and self._tries:
            self._tries -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        gone = super().put(text[: self._room or len(text)])
        self._room = max(0, self._room - gone)
        return gone


@pytest.mark.parametrize("room", [12, 30, 47, 50])
@pytest.mark.parametrize("tries", [1, 2, 5])
def test_a_full_disk_is_complained_of_once_and_nothing_is_lost_when_there_is_space_again(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch, room: int, tries: int
) -> None:
    monkeypatch.setattr(writer_module, "_GATHER_SECONDS", 0.001)
    for number in range(2):
        desk.commit(number, lines(number, 0, 4))
    desk.carry(Troubled(path, room, tries))
    check(path, [4, 4])
    assert desk.complaints == [
        f"access log: {os.strerror(errno.ENOSPC)}; lines will be lost",
        "access log: lines are written again; log_dropped in `wsrv stats` counts what was lost",
    ]


def test_a_reader_that_left_is_not_waited_for_and_its_lines_stay_uncounted(desk: Desk) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    desk.commit(0, lines(0, 0, 4))
    desk.carry(StreamDestination(writer))
    assert desk.waiting() == lines(0, 0, 4)
    (complaint,) = desk.complaints
    assert os.strerror(errno.EPIPE) in complaint


def test_a_slow_reader_gets_whole_lines_of_all_rows_though_some_are_longer_than_a_pipe_takes(desk: Desk) -> None:
    reader, writer = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        while part := os.read(reader, 3001):
            got.append(part)

    for number in range(2):
        desk.commit(number, lines(number, 0, 3) + lines(number, 3, 20, 9000) + lines(number, 23, 300))
    thread = threading.Thread(target=read)
    thread.start()
    desk.carry(StreamDestination(writer))
    thread.join()
    os.close(reader)
    check_text(b"".join(got), [323, 323])


def test_a_row_that_was_handed_on_goes_on_where_it_was(desk: Desk, path: Path) -> None:
    desk.commit(0, lines(0, 0, 5))
    row = desk.mapping.rows[0]
    row.clear()
    desk.carry(desk.file(path))
    assert row.words[TAIL_WORD] == row.covered()
    check(path, [5, 0])
