# Bounds on connections and on client addresses, over real sockets and several workers.
"""limits.requests, limits.connections_per_client, limits.rate_per_client."""

import contextlib
import math
import signal
import socket
import time
from pathlib import Path

from tests.integration.transports import GET, GET_AND_CLOSE, every_transport
from tests.support.server import Answer, Server, Servers, read_all, read_answer, wait_for


def limited(servers: Servers, site: Path, limits: str, *options: str, more: str = "") -> Server:
    """A server with these settings under `limits`, and two workers."""
    config = site.parent / "limits.toml"
    config.write_text(f"[limits]\n{limits}\n{more}")
    return servers(site, "--workers", "2", "--config", str(config), *options)


def connect(server: Server, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 10, (source, 0))


def is_let_in(server: Server, kept: contextlib.ExitStack, source: str = "127.0.0.1") -> bool:
    """Whether one more connection is answered; it is kept open."""
    sock = kept.enter_context(connect(server, source))
    sock.sendall(GET)
    answer = read_answer(sock)
    assert answer.status in (200, 429)
    if answer.status == 429:
        assert answer.fields["retry-after"] == "1"
        assert answer.fields["connection"] == "close"
        assert b"<p>This address has too many connections open.</p>" in answer.body
        assert read_all(sock) == b""
    return answer.status == 200


@every_transport
def test_connections_of_a_client_are_bounded_over_all_workers(servers: Servers, site: Path, ipc: str) -> None:
    server = limited(servers, site, "connections_per_client = 6", "--ipc", ipc)
    with contextlib.ExitStack() as kept:
        assert [is_let_in(server, kept) for _ in range(9)] == [True] * 6 + [False] * 3
        assert is_let_in(server, kept, "127.0.0.2")
        stats = server.stats()
        assert stats["limits"]["connections_per_client"] == stats["connections_refused"]["client_full"] == 3
        assert stats["requests_total"] == 7

    def has_room() -> bool:
        with contextlib.ExitStack() as brief:
            return is_let_in(server, brief)

    wait_for(has_room, "room where connections were closed")
    # A request a connection goes past what keeps them open.
    wait_for(lambda: server.stats()["connections_active"] == 0, "the end of all connections")
    for _ in range(20):
        with connect(server) as sock:
            sock.sendall(GET_AND_CLOSE)
            assert Answer(read_all(sock)).status == 200
        wait_for(lambda: server.stats()["connections_active"] == 0, "the end of the connection")


def test_the_connections_of_a_worker_that_is_killed_are_free_again(servers: Servers, site: Path) -> None:
    server = limited(servers, site, "connections_per_client = 6")
    with contextlib.ExitStack() as kept:
        assert [is_let_in(server, kept) for _ in range(7)] == [True] * 6 + [False]
        for worker in server.workers():
            worker.send_signal(signal.SIGKILL)
        wait_for(lambda: sum(w["restarts"] for w in server.stats()["workers"]) == 2, "successors")
        wait_for(lambda: all(w["heartbeat_age_seconds"] is not None for w in server.stats()["workers"]), "their start")
        with contextlib.ExitStack() as others:
            assert [is_let_in(server, others) for _ in range(7)] == [True] * 6 + [False]


@every_transport
def test_requests_of_a_client_are_bounded_over_all_workers(servers: Servers, site: Path, ipc: str) -> None:
    server = limited(servers, site, "rate_per_client = 1\nburst_per_client = 40", "--ipc", ipc)
    began = time.monotonic()
    found = []
    with contextlib.ExitStack() as kept:
        socks = [kept.enter_context(connect(server)) for _ in range(8)]
        for _ in range(10):
            for sock in socks:
                sock.sendall(GET)
                found.append(read_answer(sock))
        statuses = [answer.status for answer in found]
        # What became free while it was asked is known from the time that it took.
        freed = math.ceil(time.monotonic() - began)
        assert 40 <= statuses.count(200) <= 40 + freed
        assert statuses.count(200) + statuses.count(429) == 80
        refusals = [answer for answer in found if answer.status == 429]
        assert {answer.fields["retry-after"] for answer in refusals} == {"1"}
        assert all(b"has sent too many requests" in answer.body for answer in refusals)
        with connect(server, "127.0.0.2") as other:
            other.sendall(GET)
            assert read_answer(other).status == 200
    stats = server.stats()
    assert stats["limits"]["rate_per_client"] == stats["responses"]["429"] == len(refusals)
    assert len(server.log_lines(81)) == 81


def test_requests_of_a_connection_are_bounded(servers: Servers, site: Path) -> None:
    server = limited(servers, site, "requests = 5")
    for _ in range(3):
        with connect(server) as sock:
            for number in range(5):
                sock.sendall(GET)
                answer = read_answer(sock)
                assert answer.status == 200
                assert answer.fields.get("connection") == ("close" if number == 4 else None)
            assert read_all(sock) == b""
    received = server.say(GET * 7)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 5
    assert received.count(b"\r\nConnection: close\r\n") == 1
    assert server.stats()["limits"]["requests"] == 4


def test_behind_a_named_proxy_the_client_is_whom_it_names(servers: Servers, site: Path) -> None:
    limits = "rate_per_client = 1\nburst_per_client = 20\nconnections_per_client = 2"
    server = limited(servers, site, limits, more='[proxy]\ntrusted = "127.0.0.1"\n')
    with contextlib.ExitStack() as kept:
        socks = [kept.enter_context(connect(server)) for _ in range(4)]

        def ask(client: str) -> list[int]:
            found = []
            for _ in range(10):
                for sock in socks:
                    sock.sendall(GET[:-2] + f"X-Forwarded-For: {client}\r\n\r\n".encode())
                    found.append(read_answer(sock).status)
            return found

        for client in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
            began = time.monotonic()
            answered = ask(client).count(200)
            assert 20 <= answered <= 20 + math.ceil(time.monotonic() - began)
        # The same /64.
        assert ask("2001:db8::2").count(429) > 20
