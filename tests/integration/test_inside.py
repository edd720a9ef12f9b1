# What the server shows of itself over HTTP, and to whom; and the report's statistics file.
"""`/_wsrv/`, its JSON, its access rules, and `--stat-file`."""

import json
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.support.launch import Launcher, driver, wait_until_gone
from tests.support.server import Answer, Server, Servers, read_answer, wait_for


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_text("<!doctype html><title>index</title>\n")
    return root


@pytest.fixture(scope="module")
def server(module_servers: Servers, root: Path) -> Server:
    return module_servers(root, "--workers", "2")


def ask(server: Server, target: str, *fields: str) -> Answer:
    """One request that names its Host itself."""
    lines = (f"GET {target} HTTP/1.1", "Connection: close", *fields, "", "")
    return Answer(server.say("\r\n".join(lines).encode("latin-1")))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:80", "LOCALHOST:1", "127.9.9.9"])
def test_shown_to_loopback_that_asks_for_loopback(server: Server, host: str) -> None:
    assert ask(server, "/_wsrv/stats.json", f"Host: {host}").status == 200
    assert ask(server, "/_wsrv/", f"Host: {host}").status == 200


@pytest.mark.parametrize(
    "fields",
    [
        ("Host: evil.example",),
        ("Host: 127.0.0.1.evil.example",),
        ("Host: 10.0.0.1",),
        ("Host:",),
        ("Host: localhost", "X-Forwarded-For: 1.2.3.4"),
        ("Host: localhost", "Forwarded: for=1.2.3.4"),
        ("Host: localhost", "Via: 1.1 proxy"),
    ],
)
def test_refused_to_anybody_else(server: Server, fields: tuple[str, ...]) -> None:
    for target in ("/_wsrv/", "/_wsrv/stats.json", "/_wsrv/nothing"):
        answer = ask(server, target, *fields)
        assert answer.status == 403
        assert b"requests_total" not in answer.raw


def test_json_is_what_stats_prints(server: Server) -> None:
    answer = ask(server, "/_wsrv/stats.json", "Host: localhost")
    assert answer.fields["content-type"] == "application/json"
    assert answer.fields["cache-control"] == "no-store"
    told, asked = json.loads(answer.body), server.stats()
    assert told.keys() == asked.keys()
    for key in ("name", "listeners", "requests_total", "responses", "cache", "ipc", "sync"):
        assert told[key] == asked[key], key


def test_page_refreshes_and_says_when_it_fetched(server: Server) -> None:
    page = ask(server, "/_wsrv/", "Host: localhost").body.decode()
    assert '<meta http-equiv="refresh" content="5">' in page
    assert "Fetched <time datetime=" in page
    assert "Total requests" in page


def test_counted_apart_and_not_logged(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    for target, status in (("/_wsrv/nothing", 404), ("/_wsrv/", 200), ("/_wsrv/stats.json", 200)):
        assert ask(server, target, "Host: localhost").status == status
    assert server.get("/").status == 200
    assert len(server.log_lines(1)) == 1
    stats = server.stats()
    assert stats["internal_requests_total"] == 3
    assert stats["requests_total"] == 1


def test_answers_keep_their_order_among_others(server: Server) -> None:
    targets = ["/", "/_wsrv/stats.json", "/nope", "/_wsrv/", "/_wsrv/stats.json", "/"]
    with server.connect() as sock:
        sock.sendall(b"".join(f"GET {t} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for t in targets))
        sock.shutdown(socket.SHUT_WR)
        received = b""
        while piece := sock.recv(65536):
            received += piece
    kinds = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        answer = Answer(head + b"\r\n\r\n")
        kinds.append((answer.status, answer.fields["content-type"].partition(";")[0]))
        received = rest[int(answer.fields["content-length"]) :]
    html, text = "text/html", "application/json"
    assert kinds == [(200, html), (200, text), (404, html), (200, html), (200, text), (200, html)]


def test_client_that_leaves_while_it_waits_harms_nobody(server: Server) -> None:
    for _ in range(50):
        with server.connect() as sock:
            sock.sendall(b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
    assert ask(server, "/_wsrv/stats.json", "Host: localhost").status == 200


def test_many_at_once_are_all_answered(server: Server) -> None:
    statuses: list[int] = []

    def fetch() -> None:
        with server.connect() as sock:
            for _ in range(20):
                sock.sendall(b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
                statuses.append(read_answer(sock).status)

    threads = [threading.Thread(target=fetch) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [200] * 200


def test_a_document_too_long_for_the_line_is_503_and_the_next_is_not(launch: Launcher, root: Path) -> None:
    command = driver(
        """
from wsrv.engine.master import master, telling
telling.Telling.tick = lambda self, now_ns: None  # samples are made of documents too
document, asked = master.document, 0
def longer_each_second_time(**of):
    global asked
    asked += 1
    return document(**of) | {"asked": asked, "padding": "x" * (200_000 if asked % 2 else 0)}
master.document = longer_each_second_time
""",
        root=root,
        runtime=launch.runtime,
        log=launch.runtime.parent / "long.log",
    )
    server = launch(root, command=command)
    with server.connect() as sock:
        found = []
        for _ in range(6):
            sock.sendall(b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = read_answer(sock)
            found.append((answer.status, json.loads(answer.body)["asked"] if answer.status == 200 else None))
    assert found == [(503, None), (200, 2), (503, None), (200, 4), (503, None), (200, 6)]


def test_whoever_waits_for_the_masters_word_when_it_is_killed_is_503(launch: Launcher, root: Path) -> None:
    server = launch(root, "--workers", "1")
    family = server.family()
    socks = [server.connect() for _ in range(20)]
    for sock in socks:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(sock).status == 200
    server.process.suspend()
    for sock in socks:
        sock.sendall(b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    server.signal(signal.SIGKILL)
    assert [read_answer(sock).status for sock in socks] == [503] * 20
    wait_until_gone(family, 15)
    assert "Traceback" not in server.words()


def test_stat_file_holds_the_six_numbers_in_the_reports_order(servers: Servers, root: Path, tmp_path: Path) -> None:
    stat_file = tmp_path / "statFile.txt"
    server = servers(root, "--workers", "1", "--stat-file", str(stat_file))
    assert [int(number) for number in stat_file.read_text().split(",")] == [0] * 6
    for target in ("/", "/", "/nope"):
        server.get(target)
    server.get("/", method="BREW")
    sent = server.stats()["bytes_sent"]
    expected = [0, sent, 2, 1, 1, 4]
    wait_for(lambda: [int(n) for n in stat_file.read_text().split(",")] == expected, "the numbers", seconds=7)
    assert [path.name for path in tmp_path.glob(".statFile*")] == []
