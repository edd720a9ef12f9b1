# Exactness: what a client received whole is counted once and logged once, whatever dies meanwhile.
"""Counts and log lines against what clients saw."""

import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import children
from tests.support.server import Server, Servers, read_answer, wait_for

# A hundred thousand together.
REQUESTS = 20_000
CONCURRENCIES = (10, 100, 250, 450, 1000)
WRK_CONNECTIONS = 50
_IDENTITY = re.compile(r'"GET /index\.html\?n=(\S+) HTTP/1\.1" 200 ')


@pytest.fixture
def unrotated(tmp_path: Path) -> tuple[str, str]:
    """Options by which the whole log stays in one file."""
    config = tmp_path / "unrotated.toml"
    config.write_text('[log]\nmax_size = "100GB"\n')
    return "--config", str(config)


def settled(server: Server, requests: int) -> dict[str, Any]:
    """The statistics, once they show `requests`."""
    return wait_for(lambda: (s := server.stats())["requests_total"] >= requests and s, f"{requests} requests counted")


def test_ab_counts_what_the_server_counts(servers: Servers, site: Path, unrotated: tuple[str, str]) -> None:
    (site / "index.html").write_text("x" * 1024)
    server = servers(site, "--workers", "2", *unrotated)
    sent = 0
    for concurrency in CONCURRENCIES:
        ab = ["ab", "-q", "-n", str(REQUESTS), "-c", str(concurrency), f"{server.url}/index.html"]
        table = subprocess.run(ab, capture_output=True, text=True, check=True, timeout=120).stdout
        assert re.search(r"Failed requests: +0\n", table), table
        assert "Non-2xx" not in table
        sent += REQUESTS
        lines = server.log_lines(sent)
        stats = settled(server, sent)
        assert len(lines) == sent
        assert stats["requests_total"] == sent
        assert stats["responses"] == {"200": sent}
        assert stats["connections_active"] == 0
        assert stats["connections_refused"] == {}
        assert [(slot["depth"], slot["capacity"]) for slot in stats["queue"]] == [(0, 1024)] * 2
    assert stats["log_dropped"] == 0
    assert stats["ipc"] == "socketpair"
    assert all(worker["requests_total"] > 0 for worker in stats["workers"])
    assert all(ms is not None for ms in stats["queue_wait_ms"].values())
    assert len(set(lines)) < sent, "lines are repeats of a few, none of them torn"
    assert all(line.endswith('"GET /index.html HTTP/1.0" 200 1024 "-" "ApacheBench/2.3"') for line in lines)


class CheckingClient(threading.Thread):
    """Asks for numbered targets over connections that stay open, and notes which answers came whole."""

    def __init__(self, server: Server, number: int, body: bytes) -> None:
        super().__init__()
        self._server = server
        self._number = number
        self._body = body
        self._ended = threading.Event()
        self.whole: list[str] = []
        self.wrong: list[bytes] = []

    def run(self) -> None:
        asked = 0
        while not self._ended.is_set():
            try:
                with self._server.connect() as sock:
                    while not self._ended.is_set():
                        asked += 1
                        name = f"{self._number}-{asked}"
                        sock.sendall(f"GET /index.html?n={name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                        answer = read_answer(sock)
                        self.whole.append(name)
                        if answer.status != 200 or answer.body != self._body:
                            self.wrong.append(answer.raw)
            except (OSError, AssertionError):
                # Its worker was killed: the answer is not whole.
                continue

    def end(self) -> None:
        """Stop asking."""
        self._ended.set()


def kill_workers_under_load(server: Server, body: bytes, kills: int) -> tuple[list[CheckingClient], int]:
    """Load from wrk and from checking clients, and a worker killed every half a second.

    The clients, ended, and how many answers wrk had whole.
    """
    clients = [CheckingClient(server, number, body) for number in range(4)]
    wrk = ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", "-d60s", f"{server.url}/index.html?wrk"]
    with subprocess.Popen(wrk, stdout=subprocess.PIPE, text=True) as load:
        for client in clients:
            client.start()
        moment = threading.Event()
        for kill in range(kills):
            moment.wait(0.5)
            wait_for(lambda: len(server.workers()) == 2, "both workers")
            server.workers()[kill % 2].send_signal(signal.SIGKILL)
        moment.wait(0.5)
        for client in clients:
            client.end()
        for client in clients:
            client.join(20)
        load.send_signal(signal.SIGINT)
        report = load.communicate(timeout=30)[0]
    found = re.search(r"^ *(\d+) requests in ", report, re.MULTILINE)
    assert found, report
    return clients, int(found[1])


def assert_each_once(log: str, clients: list[CheckingClient], answered: int, kills: int) -> None:
    """What a client has whole is logged once, and of wrk's no more than what was on its way at a kill or at the end."""
    assert not [answer for client in clients for answer in client.wrong]
    whole = [name for client in clients for name in client.whole]
    assert len(whole) > 500
    logged = Counter(_IDENTITY.findall(log))
    assert not [name for name, times in logged.items() if times > 1]
    assert not set(whole) - set(logged)
    assert answered <= log.count('"GET /index.html?wrk HTTP/1.1" 200 ') <= answered + WRK_CONNECTIONS * (kills + 1)


def test_killed_workers_lose_and_repeat_nothing(servers: Servers, site: Path, unrotated: tuple[str, str]) -> None:
    body = b"y" * 1024
    (site / "index.html").write_bytes(body)
    server = servers(site, "--workers", "2", *unrotated)
    kills = 8
    clients, answered = kill_workers_under_load(server, body, kills)
    server.get("/")
    stats = wait_for(
        lambda: (s := server.stats())["requests_total"] == server.log.read_bytes().count(b"\n") and s,
        "as many requests counted as logged",
    )
    text = server.log.read_text("latin-1")
    assert text.endswith("\n")
    assert all(line.count('"') == 6 for line in text.splitlines())
    assert_each_once(text, clients, answered, kills)
    assert stats["log_dropped"] == 0
    assert sum(worker["restarts"] for worker in stats["workers"]) == kills
    assert sum(stats["responses"].values()) == stats["requests_total"]


def test_killed_log_writer_loses_and_repeats_nothing(servers: Servers, site: Path, unrotated: tuple[str, str]) -> None:
    server = servers(site, "--workers", "2", *unrotated)
    clients = [CheckingClient(server, number, (site / "index.html").read_bytes()) for number in range(4)]
    for client in clients:
        client.start()
    moment = threading.Event()
    for _ in range(20):
        moment.wait(0.15)
        writer = wait_for(lambda: children(server.process, "wsrv: log"), "a log writer")
        writer[0].send_signal(signal.SIGKILL)
    for client in clients:
        client.end()
    for client in clients:
        client.join(20)
    whole = [name for client in clients for name in client.whole]
    wait_for(lambda: server.stats()["requests_total"] == server.log.read_bytes().count(b"\n"), "all lines written")
    logged = Counter(_IDENTITY.findall(server.log.read_text()))
    assert sorted(logged.elements()) == sorted(whole)


def test_connections_survive_the_worker_they_were_meant_for(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1")
    worker = server.workers()[0]
    worker.send_signal(signal.SIGSTOP)
    socks = [server.connect() for _ in range(50)]
    for sock in socks:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    wait_for(lambda: server.stats()["workers"][0]["heartbeat_age_seconds"] > 0.5, "the worker to stand still")
    worker.send_signal(signal.SIGKILL)
    for sock in socks:
        with sock:
            assert read_answer(sock).status == 200
    assert settled(server, 50)["requests_total"] == 50


def test_full_queue_is_503_without_a_reset(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1", "--queue", "10")
    worker = server.workers()[0]
    worker.send_signal(signal.SIGSTOP)
    socks = []
    for _ in range(40):
        sock = server.connect()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        socks.append(sock)
    wait_for(lambda: server.stats()["connections_refused"].get("queue_full", 0) == 30, "30 refusals")
    worker.send_signal(signal.SIGCONT)
    answers = []
    for sock in socks:
        with sock:
            answers.append(read_answer(sock))
            assert sock.recv(1) == b"", "the end of the stream, not a reset"
    found = Counter(answer.status for answer in answers)
    assert found == {200: 10, 503: 30}
    assert all(answer.fields["retry-after"] for answer in answers if answer.status == 503)
    assert settled(server, 10)["requests_total"] == 10


def test_silent_client_does_not_hold_others_up(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1")
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    assert server.get("/").status == 200
    for sock in silent:
        sock.close()
