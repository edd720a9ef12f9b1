# What is written is numbered, so that what is lost, twice or out of order is seen.
"""A log that grows is followed through rotation, truncation and re-creation, nothing lost and nothing twice."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsrv.engine.log.destination import FileDestination
from wsrv.engine.log.follow import Follower, backwards, last


class Log:
    """A log that somebody writes and somebody follows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self.written = 0
        self.read: list[int] = []
        self.follower = Follower(str(path))

    def write(self, count: int, path: Path | None = None) -> None:
        with open(path or self.path, "ab") as file:
            for _ in range(count):
                self.written += 1
                file.write(b"line %d\n" % self.written)

    def rotate(self, keep: int = 100) -> None:
        """As a log writer does, the file in place anew."""
        names = [self.path]
        while len(names) <= keep and names[-1].exists():
            names.append(self.path.with_name(f"{self.path.name}.{len(names)}"))
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            newer.replace(older)
        self.path.unlink(missing_ok=True)
        self.path.touch()

    def follow(self) -> None:
        """Read all that there is now."""
        while text := self.follower.read():
            assert text.endswith(b"\n")
            self.read += [int(line.split()[1]) for line in text.splitlines()]

    def assert_whole(self) -> None:
        self.follow()
        assert self.read == [*range(1, self.written + 1)]


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    found = Log(path)
    yield found
    found.follower.close()


def test_what_is_added_is_read_once(log: Log) -> None:
    for count in (1, 0, 3):
        log.write(count)
        log.follow()
    log.assert_whole()


def test_it_begins_at_the_end_of_what_was_there(path: Path) -> None:
    path.write_bytes(b"old\nhalf of a")
    follower = Follower(str(path))
    assert follower.read() == b""
    with open(path, "ab") as file:
        file.write(b" line\nnew\n")
    assert follower.read() == b"half of a line\nnew\n"
    follower.close()


def test_a_line_is_read_when_it_is_whole(log: Log) -> None:
    with open(log.path, "ab", buffering=0) as file:
        file.write(b"li")
        assert log.follower.read() == b""
        file.write(b"ne 1")
        assert log.follower.read() == b""
        file.write(b"\nline 2")
        assert log.follower.read() == b"line 1\n"
        file.write(b"\n")
    assert log.follower.read() == b"line 2\n"


def test_rotated_while_nobody_looked_many_times(log: Log) -> None:
    for _ in range(12):
        log.write(5)
        log.rotate()
    log.write(1)
    log.assert_whole()


def test_rotated_while_read(log: Log) -> None:
    log.write(3)
    log.follow()
    log.write(4)
    log.rotate()
    log.follow()
    log.write(2)
    log.assert_whole()


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_rotated_with_few_files_kept(log: Log, keep: int) -> None:
    for _ in range(6):
        log.write(3)
        log.follow()
        log.write(2)
        log.rotate(keep)
        log.follow()
    log.write(1)
    log.assert_whole()


def test_the_oldest_is_removed_with_two_rotations_at_once(log: Log) -> None:
    log.rotate(1)
    log.follow()
    log.write(3)
    log.rotate(1)
    log.write(3)
    log.rotate(1)
    log.write(3)
    log.assert_whole()


def test_who_writes_may_go_on_in_the_file_that_was_moved_away(log: Log, path: Path) -> None:
    log.write(2)
    moved = path.rename(path.with_name("access.log-20261125"))
    log.follow()
    log.write(2, moved)
    log.path.touch()
    log.follow()
    log.write(2, moved)
    log.follow()
    assert log.read == [*range(1, 7)]
    log.write(2)
    log.assert_whole()


def test_files_of_earlier_rotations_are_none_of_its_successors(log: Log, path: Path) -> None:
    log.follower.close()
    for number in (1, 2):
        (older := path.with_name(f"{path.name}.{number}")).write_bytes(b"line 0\n")
        os.utime(older, (1, 1))
    log.follower = Follower(str(path))
    log.write(2)
    path.rename(path.with_name("elsewhere"))
    log.write(2)
    log.follow()
    path.unlink()
    log.write(2)
    log.assert_whole()


def test_made_anew(log: Log, path: Path) -> None:
    for _ in range(3):
        log.write(2)
        log.follow()
        path.unlink()
        log.follow()
        log.write(3)
        log.follow()
    log.assert_whole()


def test_cut_and_begun_again(log: Log, path: Path) -> None:
    log.write(10)
    log.follow()
    os.truncate(path, 0)
    log.follow()
    log.write(2)
    log.assert_whole()


def test_cut_and_grown_past_where_it_was(log: Log, path: Path) -> None:
    log.write(10)
    log.follow()
    os.truncate(path, 0)
    log.write(100)
    log.assert_whole()


def test_a_last_line_without_an_end_is_one(log: Log) -> None:
    with open(log.path, "ab") as file:
        file.write(b"line 1")
    log.written = 1
    log.rotate()
    log.write(1)
    log.assert_whole()


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_in_whatever_order(log: Log, path: Path, seed: int) -> None:
    draw = random.Random(seed)

    def cut() -> None:
        log.follow()  # what is cut unread is gone
        os.truncate(path, 0)

    def remake() -> None:
        log.follow()
        path.unlink()
        log.path.touch()

    steps = [log.follow, log.rotate, log.rotate, cut, remake]
    for _ in range(200):
        log.write(draw.randrange(4))
        draw.choice(steps)()
    log.assert_whole()


def test_the_log_of_our_own_writer(path: Path) -> None:
    """Its files are small, and rotated at every other line."""
    written = [b"line %d\n" % number for number in range(500)]
    destination = FileDestination(str(path), 30, 500, lambda complaint: None)
    destination.size()
    follower = Follower(str(path))
    read = b""
    for number, line in enumerate(written):
        destination.prepare(line, False)
        destination.put(line)
        if number % 7 == 0:
            read += follower.read()
    while text := follower.read():
        read += text
    follower.close()
    destination.close()
    assert read == b"".join(written)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100_000])
def test_backwards_is_forwards_turned_round(path: Path, size: int) -> None:
    lines = [b"%d" % number * (number % 7 + 1) for number in range(size)]
    for end in (b"", b"\n"):
        path.write_bytes(b"\n".join(lines) + (end if lines else b""))
        with open(path, "rb") as file:
            assert [*backwards(file.fileno(), path.stat().st_size)] == lines[::-1]


def test_the_last_wanted_are_found_and_no_more_is_read(path: Path) -> None:
    numbers = iter([b"%d" % number for number in range(100, 0, -1)])
    assert last(numbers, 3, lambda line: line.endswith(b"0")) == [b"80", b"90", b"100"]
    assert next(numbers) > b"7"
    assert last(iter([b"3", b"2", b"1"]), None, lambda line: None if line == b"1" else True) == [b"2", b"3"]
