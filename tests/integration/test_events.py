"""`/_wsrv/events`, and what else the dashboard reads, over real connections."""

import contextlib
import json
import signal
import socket
from pathlib import Path
from typing import Any

from tests.support.certificates import Authority, connect, options
from tests.support.launch import Launcher
from tests.support.server import Answer, Server, Servers, read_all, wait_for

GET = b"GET /_wsrv/%b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def events(sock: socket.socket, number: int, received: bytes = b"") -> list[dict[str, Any]]:
    """The first events of a stream, silence among them as nothing."""
    while received.count(b"\n\n") < number + 1:
        piece = sock.recv(65536)
        assert piece, "the stream goes on"
        received += piece
    body = received.partition(b"\r\n\r\n")[2].partition(b"retry: 2000\n\n")[2]
    return [json.loads(event.removeprefix(b"data: ")) for event in body.split(b"\n\n")[:number]]


def told(server: Server, name: str) -> dict[str, Any]:
    """One of the JSON documents."""
    answer = Answer(server.say(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % name.encode()))
    assert (answer.status, answer.fields["content-type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(answer.body)
    return found


def rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The samples of a document, by the names of their figures."""
    return [dict(zip(document["columns"], sample, strict=True)) for sample in document["samples"]]


def test_each_event_says_what_wsrv_stats_says_and_the_numbers_go_on(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "2")
    assert [server.get(target).status for target in ("/", "/nope")] == [200, 404]
    with server.connect() as sock:
        sock.sendall(GET % b"events")
        found = events(sock, 3)
    asked = server.stats()
    for event in found:
        assert event["stats"].keys() == asked.keys() - {"latency_buckets", "queue_wait_buckets"}
        assert event["stats"]["responses"] == asked["responses"] == {"200": 1, "404": 1}
    assert [e["line"] for e in found[-1]["errors"]] == ["GET /nope HTTP/1.1"]
    assert [e["path"] for e in found[-1]["entries"]] == ["/"]
    seen = sorted({sample["n"] for event in found for sample in rows(event)})
    assert seen == list(range(seen[0], seen[-1] + 1))
    # Streams are the server's own; whoever leaves is let go.
    assert asked["internal_requests_total"] == 1
    wait_for(lambda: server.stats()["connections_active"] == 0, "the end of the stream")


def test_who_opens_the_page_now_is_told_of_before(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "2")
    assert [server.get("/").status for _ in range(20)] == [200] * 20

    def busy() -> list[dict[str, Any]]:
        return [sample for sample in rows(told(server, "history.json")) if sample["requests"]]

    found = wait_for(busy, "a sample with the requests")
    assert sum(sample["2xx"] for sample in found) > 0
    assert all(sample["p50"] <= sample["p99"] for sample in found)
    assert told(server, "live.json")["stats"]["requests_total"] == 20


def test_a_drain_ends_the_streams_at_once(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2")
    family = server.family()
    socks = [server.connect(30) for _ in range(6)]
    for sock in socks:
        sock.sendall(GET % b"events")
        assert events(sock, 1)
    server.signal(signal.SIGTERM)
    for sock in socks:
        read_all(sock)
    assert server.status() == 0
    server.assert_nothing_left(family)
    assert "Traceback" not in server.words()


def test_a_worker_that_is_killed_ends_its_streams_and_another_takes_them(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "1")
    with server.connect() as sock:
        sock.sendall(GET % b"events")
        pid = events(sock, 1)[0]["stats"]["workers"][0]["pid"]
        server.workers()[0].kill()
        with contextlib.suppress(ConnectionResetError):
            read_all(sock)
    with server.connect() as sock:
        sock.sendall(GET % b"events")
        worker = events(sock, 1)[0]["stats"]["workers"][0]
    assert (worker["restarts"], worker["pid"] == pid) == (1, False)


def test_streams_over_tls_go_on_and_end_properly(servers: Servers, site: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    server = servers(site, "--workers", "1", *options(authority.issue("localhost")))
    with connect(server.port, authority.client()) as sock:
        sock.sendall(GET % b"events")
        assert len(events(sock, 2)) == 2
        server.process.send_signal(signal.SIGTERM)
        # Without close_notify this would raise.
        read_all(sock)
