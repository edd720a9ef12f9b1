"""Where log text goes: files rotated between whole lines, and streams that are never waited for."""

import errno
import os
import select
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.log.conftest import contents
from wsrv.engine.log import destination as destination_module
from wsrv.engine.log.destination import Destination, FileDestination, StreamDestination, open_destination
from wsrv.engine.settings import LogSettings

BOUND_SECONDS = 20.0


def silent(complaint: str) -> None:
    raise AssertionError(f"nothing is wrong here: {complaint}")


def put_all(destination: Destination, text: bytes) -> None:
    """Put `text` as the writer does, in as many pieces as the destination wants."""
    while text:
        _, length = destination.prepare(text, False)
        gone = destination.put(text[:length])
        assert 0 < gone <= length
        text = text[gone:]


def lines(count: int, first: int = 0) -> bytes:
    """Lines of ten bytes."""
    return b"".join(b"line %04d\n" % n for n in range(first, first + count))


@pytest.fixture
def pipe(_no_descriptor_left: None) -> Iterator[tuple[int, StreamDestination]]:
    """The reading end of a pipe, and the destination at its other end. The reading end is the test's to close."""
    reader, writer = os.pipe()
    destination = StreamDestination(writer)
    yield reader, destination
    destination.close()


# Files.


def test_a_file_that_was_moved_away_is_opened_anew(path: Path) -> None:
    destination = FileDestination(str(path), 0, 5, silent)
    put_all(destination, b"one\n")
    path.rename(path.with_name("moved"))
    put_all(destination, b"two\n")
    destination.reopen()
    assert path.read_bytes() == b"", "it is there at once"
    put_all(destination, b"three\n")
    destination.reopen()
    put_all(destination, b"four\n")
    destination.close()
    assert path.with_name("moved").read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\nfour\n"


def test_a_file_that_cannot_be_opened_anew_is_written_on(path: Path) -> None:
    destination = FileDestination(str(path), 0, 5, silent)
    put_all(destination, b"one\n")
    path.rename(path.with_name("moved"))
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        destination.reopen()
    put_all(destination, b"two\n")
    destination.close()
    assert path.with_name("moved").read_bytes() == b"one\ntwo\n"


def test_text_is_appended(path: Path) -> None:
    path.write_bytes(b"before\n")
    destination = FileDestination(str(path), 0, 5, silent)
    put_all(destination, b"one\n")
    put_all(destination, b"two\n")
    assert path.read_bytes() == b"before\none\ntwo\n"
    assert destination.size() == len(b"before\none\ntwo\n")
    destination.close()


def test_a_new_log_is_not_for_everybody_to_read(path: Path) -> None:
    destination = FileDestination(str(path), 0, 5, silent)
    put_all(destination, b"one\n")
    destination.close()
    assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0


@given(
    batches=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=12), min_size=1, max_size=12),
    max_bytes=st.integers(1, 120),
)
@settings(deadline=None)
def test_rotated_files_are_whole_lines_in_order_and_no_longer_than_allowed(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], max_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "access.log"
    destination = FileDestination(str(path), max_bytes, 1000, silent)
    written = b""
    for batch in batches:
        text = b"".join(b"x" * (length - 1) + b"\n" for length in batch)
        put_all(destination, text)
        written += text
    destination.close()
    files = contents(path)
    assert b"".join(files) == written
    for file in files:
        assert file.endswith(b"\n")
        assert len(file) <= max_bytes or file.count(b"\n") == 1


def test_so_many_files_are_kept_and_the_oldest_goes(path: Path) -> None:
    destination = FileDestination(str(path), 30, 2, silent)
    for n in range(0, 15, 3):
        put_all(destination, lines(3, n))
    destination.close()
    assert contents(path) == [lines(3, 6), lines(3, 9), lines(3, 12)]
    assert sorted(file.name for file in path.parent.iterdir()) == ["access.log", "access.log.1", "access.log.2"]


def test_none_kept_means_the_file_begins_anew(path: Path) -> None:
    destination = FileDestination(str(path), 30, 0, silent)
    put_all(destination, lines(7))
    destination.close()
    assert contents(path) == [lines(1, 6)]
    assert [file.name for file in path.parent.iterdir()] == ["access.log"]


def test_without_a_bound_a_file_is_never_rotated(path: Path) -> None:
    destination = FileDestination(str(path), 0, 5, silent)
    put_all(destination, lines(5000))
    destination.close()
    assert contents(path) == [lines(5000)]


def test_a_log_of_before_counts_towards_the_bound(path: Path) -> None:
    path.write_bytes(lines(2))
    destination = FileDestination(str(path), 30, 1, silent)
    put_all(destination, lines(2, 2))
    destination.close()
    assert contents(path) == [lines(3), lines(1, 3)]


def test_a_gap_among_the_kept_loses_nothing(path: Path) -> None:
    # As a writer leaves them that was killed between two renames.
    path.write_bytes(lines(3))
    Path(f"{path}.2").write_bytes(b"older\n")
    destination = FileDestination(str(path), 30, 3, silent)
    put_all(destination, lines(1, 3))
    destination.close()
    assert b"".join(contents(path)) == b"older\n" + lines(4)


def test_a_line_that_was_begun_is_ended_in_its_file(path: Path) -> None:
    destination = FileDestination(str(path), 30, 3, silent)
    put_all(destination, lines(2))
    begun, rest = b"a line that", b" is longer than it may be\n" + lines(3)
    destination.put(begun)
    size, length = destination.prepare(rest, True)
    assert size == 20 + len(begun)
    destination.put(rest[:length])
    put_all(destination, rest[length:])
    destination.close()
    assert b"".join(contents(path)) == lines(2) + begun + rest
    assert all(file.endswith(b"\n") for file in contents(path))


def test_prepare_says_the_size_from_which_a_successor_can_tell(path: Path) -> None:
    destination = FileDestination(str(path), 30, 1, silent)
    for first in range(0, 9, 3):
        text = lines(3, first)
        size, length = destination.prepare(text, False)
        assert (size, length) == (0, 30), "it was rotated, so it is empty"
        assert destination.put(text) == destination.size() == 30
    destination.close()


def test_a_folder_that_is_away_for_a_while_is_no_end(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.log"
    destination = FileDestination(str(path), 0, 1, silent)
    with pytest.raises(FileNotFoundError):
        destination.prepare(b"a\n", False)
    path.parent.mkdir()
    put_all(destination, b"a\n")
    destination.close()
    assert path.read_bytes() == b"a\n"


def test_what_cannot_be_rotated_grows_on_and_is_complained_of_once(path: Path) -> None:
    complaints: list[str] = []
    Path(f"{path}.1").mkdir()
    (Path(f"{path}.1") / "in the way").touch()
    destination = FileDestination(str(path), 30, 1, complaints.append)
    put_all(destination, lines(10))
    destination.close()
    assert path.read_bytes() == lines(10)
    (complaint,) = complaints
    assert str(path) in complaint


def test_what_could_not_be_rotated_is_when_it_can_be_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[str] = []
    monkeypatch.setattr(destination_module, "_ROTATION_PAUSE_SECONDS", 0.0)
    obstacle = Path(f"{path}.1") / "in the way"
    obstacle.mkdir(parents=True)
    destination = FileDestination(str(path), 30, 1, complaints.append)
    put_all(destination, lines(10))
    obstacle.rmdir()
    obstacle.parent.rmdir()
    put_all(destination, lines(1))
    destination.close()
    assert (Path(f"{path}.1").read_bytes(), path.read_bytes()) == (lines(10), lines(1))
    assert len(complaints) == 1


# Streams.


def test_a_stream_gets_whole_lines_that_fit(pipe: tuple[int, StreamDestination]) -> None:
    reader, destination = pipe
    text = lines(1000)
    size, length = destination.prepare(text, False)
    assert size is None
    assert 0 < length <= select.PIPE_BUF
    assert text[:length].endswith(b"\n")
    assert destination.put(text[:length]) == length
    assert os.read(reader, 1 << 16) == text[:length]
    os.close(reader)


def test_a_line_longer_than_a_stream_takes_goes_in_pieces(pipe: tuple[int, StreamDestination]) -> None:
    reader, destination = pipe
    text = b"x" * (3 * select.PIPE_BUF) + b"\n"
    put_all(destination, text)
    assert os.read(reader, 1 << 16) == text
    os.close(reader)


def test_a_full_pipe_is_not_waited_for(pipe: tuple[int, StreamDestination]) -> None:
    reader, destination = pipe
    text = lines(400)
    put = 0
    while True:
        _, length = destination.prepare(text, False)
        if length == 0:
            break
        put += destination.put(text[:length])
    assert put >= select.PIPE_BUF
    assert len(os.read(reader, 1 << 20)) == put
    assert destination.await_room(BOUND_SECONDS)
    assert destination.prepare(text, False)[1] > 0
    os.close(reader)


def test_whoever_waits_for_room_is_woken_by_it(pipe: tuple[int, StreamDestination]) -> None:
    reader, destination = pipe
    text = lines(400)
    while (length := destination.prepare(text, False)[1]) > 0:
        destination.put(text[:length])
    thread = threading.Thread(target=os.read, args=(reader, 1 << 20))
    thread.start()
    assert destination.await_room(BOUND_SECONDS)
    assert destination.prepare(text, False)[1] > 0
    thread.join()
    os.close(reader)


def test_a_pipe_that_nobody_reads_any_more_is_an_error_and_no_room_is_to_be_had(
    pipe: tuple[int, StreamDestination],
) -> None:
    reader, destination = pipe
    os.close(reader)
    with pytest.raises(OSError, match=os.strerror(errno.EPIPE)):
        put_all(destination, b"a line\n")
    assert not destination.await_room(0.01)


def test_standard_output_that_is_a_file_takes_all_at_once(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    destination = StreamDestination(fd)
    text = lines(10_000)
    assert destination.prepare(text, False)[1] == len(text)
    put_all(destination, text)
    destination.close()
    assert path.read_bytes() == text


# Names.


def test_a_dash_is_standard_output_and_stays_open() -> None:
    destination = open_destination(LogSettings(path="-"), silent)
    assert isinstance(destination, StreamDestination)
    assert destination.kept_fds() == [1]
    destination.close()
    os.fstat(1)


def test_a_path_is_a_file_that_was_tried_out(path: Path) -> None:
    destination = open_destination(LogSettings(path=str(path), max_bytes=30, keep=1), silent)
    put_all(destination, lines(4))
    destination.close()
    assert contents(path) == [lines(3), lines(1, 3)]
    assert destination.kept_fds() == []


@pytest.mark.parametrize("name", ["missing/access.log", "."])
def test_a_path_where_nothing_can_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        open_destination(LogSettings(path=str(tmp_path / name)), silent)


def test_a_fifo_with_a_reader_is_a_stream(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    destination = open_destination(LogSettings(path=str(fifo)), silent)
    assert isinstance(destination, StreamDestination)
    put_all(destination, b"a line\n")
    assert os.read(reader, 100) == b"a line\n"
    destination.close()
    os.close(reader)


def test_a_fifo_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        open_destination(LogSettings(path=str(tmp_path / "fifo")), silent)
