"""The control socket: asked rightly, asked wrongly, not asked at all."""

import json
import os
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.master.loop import control_loop
from wsrv.engine.master import control
from wsrv.engine.master.ask import NoAnswer, Refused, ask
from wsrv.engine.master.control import CLIENT_SECONDS, MAX_CLIENTS, ControlServer, listen
from wsrv.engine.master.message import MAX_ANSWER_BYTES, MAX_REQUEST_BYTES
from wsrv.engine.master.runtime import RuntimeFolder

SECONDS = 10
BIG = {"text": "x" * (MAX_ANSWER_BYTES - 100)}


def fail(request: dict[str, Any]) -> dict[str, Any]:
    raise KeyError("gone")


HANDLERS = {
    "echo": lambda request: {"echo": request},
    "big": lambda request: BIG,
    "too-big": lambda request: BIG | {"more": "x" * 200},
    "no-json": lambda request: {"object": object()},
    "fail": fail,
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RuntimeFolder]:
    with RuntimeFolder.claim(tmp_path / "run", "x") as held:
        yield held


@pytest.fixture
def path(folder: RuntimeFolder) -> Iterator[Path]:
    """The socket of a server that answers."""
    with control_loop(listen(folder), HANDLERS):
        yield folder.socket_path


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(SECONDS)
    client.connect(str(path))
    return client


def answer(client: socket.socket) -> dict[str, Any]:
    """Everything until the end of the stream, as one message."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    assert struct.unpack(">I", received[:4]) == (len(received) - 4,)
    message: dict[str, Any] = json.loads(received[4:])
    return message


def framed(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def test_request_is_answered(path: Path) -> None:
    assert ask(path, {"command": "echo", "größe": 1}) == {"echo": {"command": "echo", "größe": 1}}


def test_socket_is_its_owners_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_answer_larger_than_the_sockets_buffer_arrives_whole(path: Path) -> None:
    assert ask(path, {"command": "big"}, SECONDS) == BIG


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("nonsense", "unknown command 'nonsense'; this server knows: big, echo, fail, no-json, too-big"),
        (None, "unknown command None"),
        (["echo"], "unknown command"),
        ("fail", "fail failed: KeyError: 'gone'"),
        ("no-json", "no-json failed: TypeError"),
        ("too-big", "too-big failed: ValueError: a message of"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(path: Path, command: object, error: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(path, {"command": command})
    assert str(caught.value).startswith(error)
    assert ask(path, {"command": "echo"})


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 60_000, b'{"command": "x", "command": 1e999}', b'"\\ud800"']
)
def test_request_that_is_no_message_is_refused(path: Path, text: bytes) -> None:
    with connect(path) as client:
        client.sendall(framed(text))
        assert "error" in answer(client)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_whatever_end_the_server(path: Path, noise: bytes) -> None:
    with connect(path) as client:
        client.sendall(noise)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert ask(path, {"command": "echo"})


def test_request_that_announces_too_much_is_refused_before_it_is_read(path: Path) -> None:
    with connect(path) as client:
        client.sendall(struct.pack(">I", MAX_REQUEST_BYTES + 1))
        assert answer(client)["error"].startswith(f"a request of {MAX_REQUEST_BYTES + 1} bytes")


def test_request_may_come_byte_by_byte(path: Path) -> None:
    with connect(path) as client:
        for byte in framed(b'{"command":"echo"}'):
            client.sendall(bytes([byte]))
        assert answer(client) == {"echo": {"command": "echo"}}


def test_silent_clients_keep_nobody_waiting(path: Path) -> None:
    silent = [connect(path) for _ in range(MAX_CLIENTS - 1)]
    assert ask(path, {"command": "echo"}, SECONDS)
    for client in silent:
        client.close()


def test_client_that_stops_reading_blocks_nobody(path: Path) -> None:
    with connect(path) as lazy:
        lazy.sendall(framed(b'{"command":"big"}'))
        assert select.select([lazy], [], [], SECONDS)[0]
        assert ask(path, {"command": "echo"}, SECONDS)
        assert answer(lazy) == BIG


def test_number_of_clients_is_bounded_and_the_rest_waits(folder: RuntimeFolder) -> None:
    with select.epoll() as epoll:
        server = ControlServer(listen(folder), HANDLERS)
        server.register(epoll)
        clients = [connect(folder.socket_path) for _ in range(MAX_CLIENTS + 1)]
        server.handle(server.fds()[0], select.EPOLLIN)
        server.handle(server.fds()[0], select.EPOLLIN)
        assert len(server.fds()) == 1 + MAX_CLIENTS
        assert epoll.poll(0) == []  # the one that waits does not spin the loop
        clients[0].close()
        ((fd, events),) = epoll.poll(SECONDS)
        server.handle(fd, events)
        ((fd, events),) = epoll.poll(SECONDS)
        server.handle(fd, events)
        assert len(server.fds()) == 1 + MAX_CLIENTS
        server.close()
        for client in clients[1:]:
            assert client.recv(1) == b""
            client.close()


def test_client_past_its_time_is_dropped(folder: RuntimeFolder) -> None:
    with select.epoll() as epoll, socket.socket():
        server = ControlServer(listen(folder), HANDLERS)
        server.register(epoll)
        with connect(folder.socket_path) as client:
            server.handle(server.fds()[0], select.EPOLLIN)
            server.tick(time.monotonic_ns())
            assert len(server.fds()) == 2
            server.tick(time.monotonic_ns() + CLIENT_SECONDS * 1_000_000_000)
            assert client.recv(1) == b""
        assert len(server.fds()) == 1
        server.close()


def test_accept_out_of_descriptors_pauses_until_the_next_tick(
    folder: RuntimeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        def __init__(self, listener: socket.socket) -> None:
            self.fileno, self.close = listener.fileno, listener.close

        def accept(self) -> None:
            raise OSError(24, "Too many open files")

    listener = listen(folder)
    with select.epoll() as epoll:
        server = ControlServer(listener, HANDLERS)
        server.register(epoll)
        with connect(folder.socket_path):
            monkeypatch.setattr(server, "_listener", Exhausted(listener))
            server.handle(listener.fileno(), select.EPOLLIN)
            assert epoll.poll(0) == []
            server.tick(time.monotonic_ns())
            assert epoll.poll(0) == [(listener.fileno(), select.EPOLLIN)]
        server.close()


def test_other_users_are_not_answered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Credentials:
        size = 12

        @staticmethod
        def unpack(raw: bytes) -> tuple[int, int, int]:
            return 1, 54321, 54321

    monkeypatch.setattr(control, "_CREDENTIALS", Credentials)
    with pytest.raises(NoAnswer, match="ended the connection without an answer"):
        ask(path, {"command": "echo"})


def test_path_longer_than_an_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    with RuntimeFolder.claim(deep, "x") as folder, control_loop(listen(folder), HANDLERS):
        assert len(str(folder.socket_path)) > 200
        assert folder.socket_path.is_socket()
        assert ask(folder.socket_path, {"command": "echo"})
    assert list(deep.iterdir()) == []


def test_server_that_is_stopped_is_no_answer(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wsrv.engine.master.control import listen\n"
        "from wsrv.engine.master.runtime import RuntimeFolder\n"
        "listener = listen(RuntimeFolder.claim(Path(sys.argv[1]), 'x')); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(NoAnswer, match=r"^the server does not answer within 0\.2 s; it may be stopped$"):
            ask(tmp_path / "x" / "control.sock", {"command": "echo"}, 0.2)
        process.kill()
        process.wait()
        with pytest.raises(NoAnswer, match="has no control socket"):
            ask(tmp_path / "x" / "control.sock", {"command": "echo"})


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (b"", "without an answer"),
        (b"\0\0\0\x09{}", "without an answer"),
        (struct.pack(">I", MAX_ANSWER_BYTES + 1), "announces an answer of"),
        (framed(b"nonsense"), "cannot be read"),
    ],
)
def test_server_that_lies_is_no_answer(folder: RuntimeFolder, lie: bytes, reason: str) -> None:
    listener = listen(folder)
    listener.settimeout(SECONDS)
    pid = os.fork()
    if pid == 0:
        server, _ = listener.accept()
        server.recv(65536)
        server.sendall(lie)
        os._exit(0)
    with pytest.raises(NoAnswer, match=reason):
        ask(folder.socket_path, {"command": "echo"}, SECONDS)
    os.waitpid(pid, 0)
    listener.close()
