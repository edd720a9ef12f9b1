"""Service managers: sockets that they hand over, what they are told, and the watchdog that they keep."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.launch import Launched, Launcher, environment
from tests.support.reload import reload
from tests.support.server import START_SECONDS, WSRV

# Becomes the program that it is given, with a socket that listens as descriptor 3. $1: for which process, 0 for this.
_ACTIVATE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": sys.argv[1] if sys.argv[1] != "0" else str(os.getpid())}
print(listener.getsockname()[1], file=sys.stderr, flush=True)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """Hears what a server tells."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(START_SECONDS)
        self.socket.bind(address)

    def told(self) -> list[str]:
        """The lines of the next message that is none of the watchdog's."""
        while (lines := self.socket.recv(4096).decode().splitlines()) == ["WATCHDOG=1"]:
            pass
        return lines


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    """A manager, and how it names its socket."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@wsrv-test-{os.getpid()}"
    found = Manager(name.replace("@", "\0"))
    with found.socket:
        yield found, name


def test_it_is_told_of_the_start_of_reloads_and_of_the_end(
    launch: Launcher, site: Path, manager: tuple[Manager, str]
) -> None:
    heard, name = manager
    server = launch(site, env=environment(NOTIFY_SOCKET=name))
    assert heard.told() == ["READY=1"]
    assert reload(server).returncode == 0
    begin, when = heard.told()
    assert (begin, when.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    assert heard.told() == ["READY=1"]
    assert server.status_after_term() == 0
    assert heard.told() == ["STOPPING=1"]


def test_its_watchdog_is_fed_by_the_process_that_it_is_for(launch: Launcher, site: Path, tmp_path: Path) -> None:
    heard = Manager(str(tmp_path / "notify"))
    with heard.socket:
        launch(site, env=environment(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000"))
        assert {heard.socket.recv(4096) for _ in range(4)} == {b"READY=1", b"WATCHDOG=1"}


def test_the_watchdog_of_another_process_is_not_fed(launch: Launcher, site: Path, tmp_path: Path) -> None:
    heard = Manager(str(tmp_path / "notify"))
    with heard.socket:
        variables = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        server = launch(site, env=environment(**variables))
        assert server.status_after_term() == 0
        assert [heard.socket.recv(4096), heard.socket.recv(4096)] == [b"READY=1", b"STOPPING=1"]


def activated(launch: Launcher, site: Path, tmp_path: Path, *options: str, pid: str = "0") -> Launched:
    """A server to which a socket was handed over."""
    places = ("--runtime-dir", str(launch.runtime), "--log-file", str(tmp_path / "access.log"))
    wrapper = [sys.executable, "-c", _ACTIVATE, pid]
    return launch(site, wrapper=wrapper, command=[*WSRV, "serve", str(site), *places, *options])


@pytest.mark.parametrize("ipc", ["socketpair", "inherit"])
def test_a_socket_that_is_handed_over_is_served_and_no_other(
    launch: Launcher, site: Path, tmp_path: Path, ipc: str
) -> None:
    server = activated(launch, site, tmp_path, "--ipc", ipc)
    handed = int(server.words().splitlines()[0])
    assert server.port == handed
    assert server.get("/").status == 200
    assert server.stats()["listeners"] == [f"http://127.0.0.1:{handed}"]
    assert reload(server).returncode == 0
    assert server.get("/").status == 200


def test_what_is_handed_to_another_process_is_not_ours(launch: Launcher, site: Path, tmp_path: Path) -> None:
    server = activated(launch, site, tmp_path, "--port", "0", pid="1")
    assert server.port != int(server.words().splitlines()[0])


@pytest.mark.parametrize(
    ("count", "status", "told"),
    [
        ("1", 5, "descriptor 3, which the service manager handed over, is no stream socket that listens"),
        ("many", 2, "LISTEN_FDS: 'many' is no number; whoever started wsrv has set it"),
    ],
)
def test_what_is_no_socket_is_told(launch: Launcher, site: Path, count: str, status: int, told: str) -> None:
    script = f'export LISTEN_FDS={count} LISTEN_PID=$$; exec "$@" 3</dev/null'
    popen = launch.process(["sh", "-c", script, "sh", *launch.arguments(site)])
    _, said = popen.communicate(timeout=START_SECONDS)
    assert popen.returncode == status
    assert said.decode().splitlines()[-1] == f"wsrv: {told}"
