"""What a process may no longer do once it is in a domain, and what it still may: each in a child of its own."""

import errno
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from wsrv.engine.master import landlock


def errno_in_child(work: Callable[[], object], reads: list[str], writes: list[str], *, alone: bool = True) -> int:
    """What `work` fails with in a child that is restricted: 0 for nothing."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            landlock.keep_privileges_out()
            landlock.restrict(reads, writes, alone=alone)
            work()
            code = 0
        except OSError as error:
            code = error.errno or 254
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """One that the domain knows, with a file in it, and one beside it."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text("text")
    return inside, outside


def test_there_is_landlock_here() -> None:
    assert landlock.version() >= 1


def test_what_is_below_a_path_can_be_read_and_listed_and_nothing_else(folders: tuple[Path, Path]) -> None:
    inside, outside = folders
    for work, wanted in (
        (lambda: (inside / "deep" / "file").read_text(), 0),
        (lambda: os.listdir(inside), 0),
        (lambda: (outside / "deep" / "file").read_text(), errno.EACCES),
        (lambda: os.listdir(outside), errno.EACCES),
        (lambda: Path("/etc/passwd").read_text(), errno.EACCES),
        (lambda: os.stat("/etc/passwd"), 0),  # names and times are not guarded
    ):
        assert errno_in_child(work, [str(inside)], []) == wanted


def test_nothing_is_written_where_only_reading_is_allowed(folders: tuple[Path, Path]) -> None:
    inside, _ = folders
    file = inside / "deep" / "file"
    for work in (
        lambda: file.write_text("more"),
        lambda: (inside / "new").touch(),
        lambda: (inside / "new").mkdir(),
        lambda: file.unlink(),
        lambda: os.truncate(file, 0),
        lambda: file.rename(inside / "other"),
    ):
        assert errno_in_child(work, [str(inside)], []) == errno.EACCES
    assert file.read_text() == "text"


def test_a_folder_for_writing_takes_new_files_and_lets_old_ones_go(folders: tuple[Path, Path]) -> None:
    _, outside = folders

    def rotate() -> None:
        (outside / "log").write_text("lines")
        (outside / "log").rename(outside / "log.1")
        (outside / "log.1").unlink()

    assert errno_in_child(rotate, [], [str(outside)]) == 0


def test_one_file_can_be_allowed(folders: tuple[Path, Path]) -> None:
    inside, _ = folders
    file = inside / "deep" / "file"
    assert errno_in_child(lambda: file.read_text(), [str(file)], []) == 0
    assert errno_in_child(lambda: os.listdir(inside / "deep"), [str(file)], []) == errno.EACCES


def test_paths_that_are_not_there_are_passed_over(folders: tuple[Path, Path]) -> None:
    inside, _ = folders
    gone = str(inside / "gone")
    assert errno_in_child(lambda: os.listdir(inside), [gone, str(inside)], [gone]) == 0


def test_no_program_is_started() -> None:
    assert errno_in_child(lambda: os.execv("/bin/true", ["true"]), ["/"], []) == errno.EACCES


@pytest.mark.skipif(landlock.version() < 4, reason="TCP is guarded since version 4")
def test_who_is_alone_makes_no_tcp_connection_and_opens_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        connect = lambda: socket.create_connection(address, 5).close()  # noqa: E731
        listen = lambda: socket.create_server(("127.0.0.1", 0)).close()  # noqa: E731
        assert errno_in_child(connect, ["/"], []) == errno.EACCES
        assert errno_in_child(listen, ["/"], []) == errno.EACCES
        assert errno_in_child(connect, ["/"], [], alone=False) == 0
        assert errno_in_child(listen, ["/"], [], alone=False) == 0


@pytest.mark.skipif(landlock.version() < 6, reason="signals are guarded since version 6")
def test_who_is_alone_signals_nobody_outside() -> None:
    me = os.getpid()
    probe = lambda: os.kill(me, signal.SIGCONT)  # noqa: E731
    assert errno_in_child(probe, ["/"], []) == errno.EPERM
    assert errno_in_child(probe, ["/"], [], alone=False) == 0
