# How a server ends: by a signal, by a second one, with its master killed; and what it finishes before.
"""Drains, sudden ends, and what is left after them."""

import contextlib
import os
import re
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.support.launch import Launched, Launcher, lives, wait_until_gone
from tests.support.server import read_answer, wait_for

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# More than the kernel holds between two sockets, so that a reader who waits keeps the answer under way.
BIG = 64 * 1024 * 1024


@pytest.fixture
def big(site: Path) -> Path:
    """The site, with a file `/big` in it."""
    with (site / "big").open("wb") as file:
        file.truncate(BIG)
    return site


def begin_download(server: Launched) -> tuple[socket.socket, int]:
    """A connection on which `/big` is under way, and how many bytes of the body have been read."""
    sock = server.connect()
    sock.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(4096)
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d" % BIG in head
    return sock, len(body)


def read_body(sock: socket.socket, got: int) -> int:
    """How many bytes the body has in the end."""
    while piece := sock.recv(1 << 20):
        got += len(piece)
    return got


def refuses(server: Launched) -> bool:
    """Whether nobody listens on the server's port any more."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def unread(server: Launched) -> int:
    """How many of the server's connections hold bytes that it has not read, accepted or not: /proc/net/tcp, proc(5).

    That a client has sent does not mean that the kernel has delivered.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if row[1].endswith(f":{server.port:04X}") and row[3] == "01"]
    return sum(not row[4].endswith(":00000000") for row in ours)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_lets_answers_under_way_finish_and_exits_with_0(
    launch: Launcher, big: Path, number: signal.Signals
) -> None:
    server = launch(big, "--workers", "2", "-v")
    family = server.family()
    download, got = begin_download(server)
    idle = server.connect()
    idle.sendall(GET)
    assert read_answer(idle).status == 200
    server.signal(number)
    assert idle.recv(1) == b"", "an idle connection is closed at once"
    wait_for(lambda: refuses(server), "the end of listening")
    assert read_body(download, got) == BIG
    assert server.status() == 0
    assert len(server.log_lines(2)) == 2
    assert f'"GET /big HTTP/1.1" 200 {BIG} ' in server.log.read_text()
    assert "draining" in server.words()
    server.assert_nothing_left(family)


def test_sighup_that_nohup_ignores_is_not_heeded(launch: Launcher, site: Path) -> None:
    server = launch(site, wrapper=["nohup"])
    server.signal(signal.SIGHUP)
    assert server.get("/").status == 200
    stopped = server.stats()["pid"]
    assert stopped == server.pid
    server.signal(signal.SIGTERM)
    assert server.status() == 0


def test_download_that_stalls_bounds_the_drain_by_the_timeout(launch: Launcher, big: Path) -> None:
    server = launch(big, "--timeout", "500ms")
    family = server.family()
    download, got = begin_download(server)
    server.signal(signal.SIGTERM)
    assert server.status(10) == 0
    assert read_body(download, got) < BIG
    assert len(server.log_lines(1)) == 1
    server.assert_nothing_left(family)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_stops_at_once(launch: Launcher, big: Path, number: signal.Signals) -> None:
    server = launch(big, "--workers", "2", "--timeout", "60s")
    family = server.family()
    download, got = begin_download(server)
    assert server.get("/").status == 200
    server.signal(number)
    wait_for(lambda: refuses(server), "the end of listening")
    assert lives(server.process)
    server.signal(number)
    assert server.status(5) == 0
    with contextlib.suppress(ConnectionResetError):
        assert read_body(download, got) < BIG
    assert '"GET / HTTP/1.1" 200' in server.log.read_text(), "what was answered before is logged"
    server.assert_nothing_left(family)


def test_connections_in_the_backlog_are_answered_in_a_drain(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2")
    server.signal(signal.SIGSTOP)
    socks = [server.connect() for _ in range(100)]
    for sock in socks:
        sock.sendall(GET)
    wait_for(lambda: unread(server) == 100, "100 requests in the backlog")
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGCONT)
    for sock in socks:
        assert read_answer(sock).status == 200
        assert sock.recv(1) == b""
    assert server.status() == 0
    assert len(server.log_lines(100)) == 100


def test_connections_that_no_worker_has_taken_are_answered_in_a_drain(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "1")
    (worker,) = server.workers()
    worker.send_signal(signal.SIGSTOP)
    socks = [server.connect() for _ in range(200)]
    for sock in socks:
        sock.sendall(GET_AND_CLOSE)
    wait_for(lambda: unread(server) == 200, "200 requests that nobody has read")
    server.signal(signal.SIGTERM)
    wait_for(lambda: refuses(server), "the end of listening")
    worker.send_signal(signal.SIGCONT)
    for sock in socks:
        assert read_answer(sock).status == 200
    assert server.status() == 0
    assert len(server.log_lines(200)) == 200


def test_requests_that_arrived_on_open_connections_are_answered_in_a_drain(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "1")
    (worker,) = server.workers()
    socks = [server.connect() for _ in range(100)]
    for sock in socks:
        sock.sendall(GET)
        assert read_answer(sock).status == 200
    worker.send_signal(signal.SIGSTOP)
    for sock in socks:
        sock.sendall(GET)
    wait_for(lambda: unread(server) == 100, "100 requests that nobody has read")
    server.signal(signal.SIGTERM)
    wait_for(lambda: refuses(server), "the end of listening")
    worker.send_signal(signal.SIGCONT)
    for sock in socks:
        assert read_answer(sock).status == 200
        assert sock.recv(1) == b""
    assert server.status() == 0
    assert len(server.log_lines(200)) == 200


def test_worker_told_to_end_drains_and_is_replaced(launch: Launcher, big: Path) -> None:
    server = launch(big, "--workers", "1")
    (worker,) = server.workers()
    download, got = begin_download(server)
    idle = server.connect()
    idle.sendall(GET)
    assert read_answer(idle).status == 200
    worker.send_signal(signal.SIGTERM)
    assert idle.recv(1) == b"", "it drains"
    for _ in range(20):
        assert server.get("/").status == 200, "others are served while it drains"
    assert read_body(download, got) == BIG
    wait_until_gone([worker], 10)
    wait_for(lambda: server.stats()["workers"][0]["pid"] not in (None, worker.pid), "the successor")
    assert server.get("/").status == 200
    stats = server.stats()
    assert stats["workers"][0]["restarts"] == 1
    assert stats["requests_total"] == 23
    assert len(server.log_lines(23)) == 23
    server.signal(signal.SIGTERM)
    assert server.status() == 0


class Asker(threading.Thread):
    """Asks for numbered targets on one connection until it ends; notes which answers came whole."""

    def __init__(self, server: Launched, number: int) -> None:
        super().__init__()
        self._sock = server.connect()
        self._number = number
        self.whole: list[str] = []

    def run(self) -> None:
        with self._sock, contextlib.suppress(OSError, AssertionError):
            while True:
                name = f"{self._number}-{len(self.whole)}"
                self._sock.sendall(f"GET /?n={name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                if read_answer(self._sock).status == 200:
                    self.whole.append(name)


def test_killed_master_leaves_nothing_and_loses_no_line(launch: Launcher, site: Path) -> None:
    shared = set(os.listdir("/dev/shm"))
    server = launch(site, "--workers", "2", "--name", "kept")
    family = server.family()
    assert len(family) == 4
    idle = server.connect()
    idle.sendall(GET)
    assert read_answer(idle).status == 200
    askers = [Asker(server, number) for number in range(4)]
    for asker in askers:
        asker.start()
    wait_for(lambda: all(len(asker.whole) > 100 for asker in askers), "some answers")
    server.signal(signal.SIGKILL)
    assert server.status() == -signal.SIGKILL
    again = launch(site, "--workers", "1", "--name", "kept", "--port", str(server.port))
    assert again.port == server.port
    assert again.get("/").status == 200
    for asker in askers:
        asker.join(10)
    assert idle.recv(1) == b""
    wait_until_gone(family, 10)
    logged = re.findall(r'"GET /\?n=(\S+) HTTP/1\.1" 200 ', server.log.read_text())
    assert len(logged) == len(set(logged))
    assert not {name for asker in askers for name in asker.whole} - set(logged)
    assert again.get("/").status == 200, "the dead server's workers take none of its connections"
    assert (again.runtime / "kept" / "pid").read_text() == f"{again.pid}\n"
    family = again.family()
    again.signal(signal.SIGTERM)
    assert again.status() == 0
    again.assert_nothing_left(family)
    assert set(os.listdir("/dev/shm")) == shared


def test_killed_master_leaves_no_worker_that_waits_for_a_stalled_client(launch: Launcher, big: Path) -> None:
    server = launch(big, "--workers", "2", "--timeout", "60s")
    family = server.family()
    download, got = begin_download(server)
    server.signal(signal.SIGKILL)
    assert server.status() == -signal.SIGKILL
    wait_until_gone(family, 12)
    with contextlib.suppress(ConnectionResetError):
        assert read_body(download, got) < BIG
    assert len(server.log_lines(1)) == 1
    # Nobody was left to remove it; the next server of any name does.
    assert os.listdir(server.runtime) == [str(server.port)]
    again = launch(big)
    assert os.listdir(server.runtime) == [str(again.port)]
    again.signal(signal.SIGTERM)
    assert again.status() == 0


def test_everything_killed_at_once_leaves_nothing_that_hinders_the_next(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--name", "kept")
    family = server.family()
    for process in reversed(family):
        process.send_signal(signal.SIGKILL)
    wait_until_gone(family, 10)
    again = launch(site, "--name", "kept", "--port", str(server.port))
    assert again.get("/").status == 200
    family = again.family()
    again.signal(signal.SIGTERM)
    assert again.status() == 0
    again.assert_nothing_left(family)
