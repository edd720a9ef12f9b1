# Users of the same machine: what they may not see or ask, and what goes on when workers are one of them.
"""The control socket and the runtime files are for their user alone; a log of root is rotated for nobody."""

import json
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.launch import Launcher
from tests.support.server import Servers, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

_STATS = json.dumps({"command": "stats"}).encode()


# Before the servers, so that it is there until they have ended.
@pytest.fixture(autouse=True)
def site(open_site: Path) -> Path:
    """Workers of another user reach it."""
    return open_site


def as_nobody(attempt: Callable[[], object]) -> str:
    """What becomes of `attempt` for the user nobody: the name of the error, or what it returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
        os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)
        try:
            said = repr(attempt())
        except BaseException as error:
            said = type(error).__name__
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        found = told.read().decode()
    os.waitpid(pid, 0)
    return found


def ask(path: Path) -> bytes:
    """What the control socket says to a question for statistics."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(struct.pack(">I", len(_STATS)) + _STATS)
        return sock.recv(4)


def test_nobody_else_reads_the_runtime_folder_or_is_answered(launch: Launcher, site: Path) -> None:
    launch.runtime = site.parent / "run"
    server = launch(site)
    folder = launch.runtime / str(server.port)
    files = sorted(folder.iterdir())
    assert len(files) > 1
    for path in (launch.runtime, folder, *files):
        others = path.lstat().st_mode & 0o077
        assert others == 0 or (path.parent == folder and not stat.S_ISSOCK(path.lstat().st_mode)), path
    control = folder / "control.sock"
    assert len(ask(control)) == 4, "its own user is answered"
    assert as_nobody(lambda: os.listdir(folder)) == "PermissionError"
    for path in files:
        assert as_nobody(lambda path=path: path.read_bytes()) == "PermissionError"  # type: ignore[misc]
    assert as_nobody(lambda: ask(control)) == "PermissionError"
    # Nor where somebody has opened all that: the kernel says who asks.
    for path in (launch.runtime, folder):
        path.chmod(0o755)
    control.chmod(0o666)
    assert as_nobody(lambda: ask(control)) in ("b''", "ConnectionResetError", "BrokenPipeError")
    assert len(ask(control)) == 4


@pytest.mark.parametrize(("ipc", "sync"), [("socketpair", "robust"), ("inherit", "eventfd"), ("reuseport", "posix")])
def test_a_log_in_a_folder_of_root_is_rotated_while_workers_are_nobody(
    servers: Servers, site: Path, tmp_path: Path, ipc: str, sync: str
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o700)
    config = site.parent / "wsrv.toml"
    config.write_text("[log]\nmax_size = 500\nkeep = 50\n")
    options = ("--user", "nobody", "--sandbox", "require", "--workers", "2", "--config", str(config))
    server = servers(site, *options, "--ipc", ipc, "--sync", sync, "--log-file", str(logs / "access.log"))
    for _ in range(40):
        assert server.get("/").status == 200

    def lines() -> int:
        try:
            return sum(path.read_bytes().count(b"\n") for path in logs.iterdir())
        except FileNotFoundError:  # rotated between its being listed and read
            return 0

    wait_for(lambda: lines() == 40, "all lines")
    assert len(list(logs.iterdir())) > 5
    assert "warning: access log" not in server.said.read_text()
