# How a server ends: by a signal, by a second one, with its master killed; and what it finishes before.
"""Drains, sudden ends, and what is left after them."""

import contextlib
import signal
from pathlib import Path

import pytest

from tests.support.download import BIG, begin_download, read_body
from tests.support.launch import Launched, Launcher, lives, wait_until_gone
from tests.support.processes import children
from tests.support.server import read_answer, wait_for

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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
    assert idle.recv(1) == b"", "an idle connection is closed"
    wait_for(lambda: refuses(server), "the end of listening")
    assert read_body(download, got) == BIG
    assert server.status() == 0
    assert len(server.log_lines(2)) == 2
    assert f'"GET /big HTTP/1.1" 200 {BIG} ' in server.log.read_text()
    assert "draining" in server.words()
    server.assert_nothing_left(family)


def test_ctrl_c_reaches_everybody_and_is_the_masters_to_heed(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "1")
    family = server.family()
    sock = server.connect()
    sock.sendall(GET)
    assert read_answer(sock).status == 200
    for process in family[1:]:
        process.send_signal(signal.SIGINT)
    sock.sendall(GET)
    assert "connection" not in read_answer(sock).fields, "the worker does not drain"
    assert server.stats()["workers"][0]["pid"] in [process.pid for process in family]
    server.signal(signal.SIGINT)
    assert sock.recv(1) == b""
    assert server.status() == 0
    assert len(server.log_lines(2)) == 2
    server.assert_nothing_left(family)


def test_worker_that_hangs_does_not_hold_the_end_up(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--timeout", "100ms")
    family = server.family()
    server.workers()[0].suspend()
    server.signal(signal.SIGTERM)
    assert server.status(10) == 0
    server.assert_nothing_left(family)


def test_log_writer_that_dies_in_a_drain_is_replaced(launch: Launcher, big: Path) -> None:
    server = launch(big)
    download, got = begin_download(server)
    assert server.get("/").status == 200
    (writer,) = children(server.process, "wsrv: log")
    server.signal(signal.SIGTERM)
    wait_for(lambda: refuses(server), "the end of listening")
    writer.kill()
    assert read_body(download, got) == BIG
    assert server.status() == 0
    assert len(server.log_lines(2)) == 2


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
