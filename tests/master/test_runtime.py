"""The runtime directory: names claimed, reclaimed, refused, and found."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsrv.engine.master import runtime
from wsrv.engine.master.outcome import CannotStart
from wsrv.engine.master.runtime import RuntimeFolder, running

_HOLD = (
    "import sys; from pathlib import Path; from wsrv.engine.master.runtime import RuntimeFolder\n"
    "folder = RuntimeFolder.claim(Path(sys.argv[1]), sys.argv[2]); print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def other(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the name `x`."""
    command = [sys.executable, "-c", _HOLD, str(directory), "x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def names(directory: Path) -> list[str]:
    return [server.name for server in running(directory)]


def test_folder_is_held_found_and_removed(directory: Path) -> None:
    with RuntimeFolder.claim(directory, "8080") as folder:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        (found,) = running(directory)
        assert (found.name, found.pid, found.path) == ("8080", os.getpid(), directory / "8080")
        assert found.socket_path == folder.socket_path
    assert list(directory.iterdir()) == []
    assert names(directory) == []


def test_lock_closes_on_exec(directory: Path) -> None:
    with RuntimeFolder.claim(directory, "x") as folder:
        assert not os.get_inheritable(folder.fileno())


def test_live_servers_name_is_refused_with_its_pid(directory: Path, other: "subprocess.Popen[str]") -> None:
    with pytest.raises(CannotStart, match=f"^a server named x runs already \\(pid {other.pid}\\); .*--name$"):
        RuntimeFolder.claim(directory, "x")
    assert names(directory) == ["x"]


def test_killed_servers_folder_is_taken_over(directory: Path, other: "subprocess.Popen[str]") -> None:
    (directory / "x" / "control.sock").touch()
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert names(directory) == []
    with RuntimeFolder.claim(directory, "x") as folder:
        assert not folder.socket_path.exists()
        assert [server.pid for server in running(directory)] == [os.getpid()]


def test_killed_servers_folder_is_removed_by_the_next_server(directory: Path, other: "subprocess.Popen[str]") -> None:
    other.kill()
    other.wait()
    with RuntimeFolder.claim(directory, "y"):
        assert [path.name for path in directory.iterdir()] == ["y"]


def test_folders_that_are_no_servers_are_left_alone(directory: Path, other: "subprocess.Popen[str]") -> None:
    other.kill()
    other.wait()
    (directory / "x" / "precious").touch()
    (directory / "empty").mkdir()
    (directory / "notes").mkdir()
    (directory / "notes" / "pid.txt").touch()
    RuntimeFolder.claim(directory, "y").close()
    assert sorted(path.name for path in directory.iterdir()) == ["empty", "notes", "x"]
    assert (directory / "x" / "pid").exists()


def test_client_that_looks_does_not_keep_a_server_from_starting(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "x").mkdir(parents=True)
    client = os.open(directory / "x", os.O_RDONLY)
    fcntl.flock(client, fcntl.LOCK_SH)
    # The client is done during the server's first pause.
    monkeypatch.setattr(time, "sleep", lambda seconds: fcntl.flock(client, fcntl.LOCK_UN))
    with RuntimeFolder.claim(directory, "x"):
        assert names(directory) == ["x"]
    os.close(client)


def test_folder_removed_between_opening_and_locking_is_made_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = runtime._lock

    def lock_late(fd: int, how: int) -> bool:
        monkeypatch.undo()
        os.rmdir(directory / "x")
        return lock(fd, how)

    monkeypatch.setattr(runtime, "_lock", lock_late)
    with RuntimeFolder.claim(directory, "x"):
        assert names(directory) == ["x"]


def test_folder_taken_by_another_meanwhile_is_not_removed(directory: Path) -> None:
    first = RuntimeFolder.claim(directory, "x")
    (directory / "x").rename(directory / "moved")
    with RuntimeFolder.claim(directory, "x"):
        first.close()
        assert names(directory) == ["x"]


@pytest.mark.parametrize("name", ["../x", "", ".", "a/b"])
def test_name_that_leaves_the_directory_is_refused(directory: Path, name: str) -> None:
    with pytest.raises(CannotStart, match="cannot name a server"):
        RuntimeFolder.claim(directory, name)


def test_directory_that_others_may_write_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(CannotStart, match=r"can be written by others; choose another --runtime-dir$"):
        RuntimeFolder.claim(directory, "x")
    directory.chmod(0o1777)
    RuntimeFolder.claim(directory, "x").close()


def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process somebody else, neither root nor the owner of what it made before."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)


def test_directory_of_another_user_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    if os.getuid() == 0:
        os.chown(directory, 12345, 12345)
    foreign(monkeypatch)
    with pytest.raises(CannotStart, match=r"belongs to uid \d+; choose another --runtime-dir$"):
        RuntimeFolder.claim(directory, "x")


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_name_that_another_user_planted_is_refused(
    directory: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir()
    directory.chmod(0o1777)
    if kind == "folder":
        (directory / "x").mkdir()
        foreign(monkeypatch)
        # The sticky directory is root's, as /tmp is; what lies in it is not ours.
        monkeypatch.setattr(runtime, "_open_directory", lambda path: os.open(path, os.O_RDONLY))
    elif kind == "link":
        (tmp_path / "home").mkdir()
        (directory / "x").symlink_to(tmp_path / "home")
    else:
        (directory / "x").touch()
    with pytest.raises(CannotStart, match=r"choose another --name$"):
        RuntimeFolder.claim(directory, "x")


def test_directory_that_is_a_file_is_refused(directory: Path) -> None:
    directory.touch()
    with pytest.raises(CannotStart, match="is not a directory"):
        RuntimeFolder.claim(directory, "x")


def test_read_only_file_system_is_the_callers_to_bear(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only"):
        RuntimeFolder.claim(directory, "x")


def test_failed_claim_leaves_no_descriptor(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runtime, "_write_pid", refuse)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No space"):
        RuntimeFolder.claim(directory, "x")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_servers_of_other_users_are_not_listed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RuntimeFolder.claim(directory, "x"):
        assert names(directory) == ["x"]
        foreign(monkeypatch)
        assert names(directory) == []
        monkeypatch.undo()


def test_directory_that_is_missing_holds_no_server(tmp_path: Path) -> None:
    assert running(tmp_path / "nowhere") == []
