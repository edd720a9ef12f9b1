"""Several listeners: IPv4, IPv6 and Unix sockets, with every transport; and what becomes of a Unix socket's name."""

import os
import re
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.integration.transports import GET_AND_CLOSE, every_transport
from tests.support.launch import Launcher, wait_until_gone
from tests.support.server import Answer, Server, read_all, wait_for
from wsrv.cli.exits import CANNOT_START, USAGE


def urls(server: Server) -> list[str]:
    """Where it says that it listens."""
    return re.findall(r"listening on (\S+)", server.said.read_text())


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def ask(family: int, address: tuple[str, int] | str) -> Answer:
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)
        client.sendall(GET_AND_CLOSE)
        return Answer(read_all(client))


@every_transport
def test_every_listener_is_answered_by_whichever_worker(launch: Launcher, site: Path, ipc: str) -> None:
    path = site.parent / "site.sock"
    places = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", f"unix:{path}", "--listen", "0"]
    server = launch(site, "--ipc", ipc, "--workers", "2", *places)
    said = urls(server)
    four, six, unix, short = said
    assert unix == f"unix:{path}"
    assert six.startswith("http://[::1]:")
    assert short.startswith("http://127.0.0.1:")
    for _ in range(8):
        assert ask(socket.AF_INET, ("127.0.0.1", port_of(four))).status == 200
        assert ask(socket.AF_INET6, ("::1", port_of(six))).status == 200
        assert ask(socket.AF_UNIX, str(path)).status == 200
        assert ask(socket.AF_INET, ("127.0.0.1", port_of(short))).status == 200
    assert server.stats()["listeners"] == said
    lines = server.log_lines(32)
    peers = [line.split(" ")[0] for line in lines]
    assert sorted(peers) == ["-"] * 8 + ["127.0.0.1"] * 16 + ["::1"] * 8
    family = server.family()
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    wait_until_gone(family, 10)
    assert not path.exists()


@every_transport
def test_a_killed_worker_takes_no_listener_with_it(launch: Launcher, site: Path, ipc: str) -> None:
    path = site.parent / "site.sock"
    server = launch(site, "--ipc", ipc, "--workers", "2", "--listen", "0", "--listen", f"unix:{path}")
    for _ in range(3):
        for worker in server.workers():
            worker.kill()
        for _ in range(4):
            assert ask(socket.AF_UNIX, str(path)).status == 200
            assert ask(socket.AF_INET, ("127.0.0.1", server.port)).status == 200
    assert server.status_after_term() == 0


def test_both_wildcards_share_a_port(launch: Launcher, site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = launch(site, "--listen", f"0.0.0.0:{port}", "--listen", f"[::]:{port}")
    assert urls(server) == [f"http://0.0.0.0:{port}", f"http://[::]:{port}"]
    assert ask(socket.AF_INET, ("127.0.0.1", port)).status == 200
    assert ask(socket.AF_INET6, ("::1", port)).status == 200


def test_curl_asks_over_a_unix_socket(launch: Launcher, site: Path) -> None:
    path = site.parent / "site.sock"
    launch(site, "--listen", "0", "--listen", f"unix:{path}")
    run = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(path), "http://any/"], capture_output=True, timeout=20, check=True
    )
    assert run.stdout == (site / "index.html").read_bytes()


def test_a_server_without_a_port_is_called_by_its_path(launch: Launcher, site: Path) -> None:
    path = site.parent / "docs.sock"
    popen = launch.process(launch.arguments(site, "--listen", f"unix:{path}"))
    wait_for(path.exists, "the socket")
    wait_for(lambda: (launch.runtime / "docs").exists(), "the runtime folder")
    assert ask(socket.AF_UNIX, str(path)).status == 200
    popen.terminate()
    assert popen.wait(15) == 0


def test_the_socket_of_a_dead_server_is_taken_over(launch: Launcher, site: Path) -> None:
    path = site.parent / "site.sock"
    first = launch(site, "--listen", "0", "--listen", f"unix:{path}")
    family = first.family()
    first.process.kill()
    first.status()
    wait_until_gone(family, 15)
    assert stat.S_ISSOCK(path.lstat().st_mode)
    launch(site, "--listen", "0", "--listen", f"unix:{path}")
    assert ask(socket.AF_UNIX, str(path)).status == 200


def test_a_socket_in_use_is_refused_and_its_owner_named(launch: Launcher, site: Path) -> None:
    path = site.parent / "site.sock"
    first = launch(site, "--listen", "0", "--listen", f"unix:{path}")
    status, said = launch.failing(site, "--listen", f"unix:{path}", "--name", "second")
    assert status == CANNOT_START
    assert re.search(
        rf"wsrv: cannot listen on unix:{path}: in use by .*\(pid {first.pid}\); choose another path\n", said
    )
    assert ask(socket.AF_UNIX, str(path)).status == 200


def test_what_is_no_socket_stays_what_it_was(launch: Launcher, site: Path) -> None:
    path = site.parent / "precious"
    path.write_text("text")
    status, said = launch.failing(site, "--listen", f"unix:{path}")
    assert status == CANNOT_START
    assert f"wsrv: cannot listen on unix:{path}: it is there already, and is no socket; choose another path\n" in said
    assert path.read_text() == "text"


def test_the_successor_of_a_name_keeps_it(launch: Launcher, site: Path) -> None:
    """Whoever put another socket in the place keeps it when the first server ends."""
    path = site.parent / "site.sock"
    server = launch(site, "--listen", "0", "--listen", f"unix:{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        assert server.status_after_term() == 0
        assert stat.S_ISSOCK(path.lstat().st_mode)


@pytest.mark.parametrize(("mode", "wanted"), [(None, 0o666), ("0600", 0o600)])
def test_the_mode_of_a_socket_is_the_setting_and_not_the_umask(
    launch: Launcher, site: Path, mode: str | None, wanted: int
) -> None:
    path = site.parent / "site.sock"
    said = os.umask(0o077)
    try:
        env = {**os.environ, **({"WSRV_SOCKET_MODE": mode} if mode else {})}
        launch(site, "--listen", "0", "--listen", f"unix:{path}", env=env)
    finally:
        os.umask(said)
    assert stat.S_IMODE(path.lstat().st_mode) == wanted


def test_one_listener_that_cannot_be_had_leaves_nothing_of_the_others(launch: Launcher, site: Path) -> None:
    path = site.parent / "site.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = launch.failing(site, "--listen", f"unix:{path}", "--listen", str(port))
    assert status == CANNOT_START
    assert f"127.0.0.1:{port}: in use by" in said
    assert not path.exists()


def test_a_port_and_a_list_in_one_layer_are_refused(launch: Launcher, site: Path) -> None:
    status, said = launch.failing(site, "--port", "0", "--listen", "1")
    assert status == USAGE
    assert "--port and --listen exclude each other" in said
