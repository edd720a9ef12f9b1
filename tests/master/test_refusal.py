# Over TCP on loopback: only there does a close with unread bytes become a reset.
"""The master's 503: whole for everybody, without a reset, and bounded in number and time."""

import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic_ns

import pytest

from wsrv.engine.ipc.closing import TLS_ALERT
from wsrv.engine.master.refusal import _LINGER_NS, _MAX_LINGERING, Refuser
from wsrv.engine.static.entity import Entity, of_page
from wsrv.testing.processes import open_fds

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UNFINISHED = REQUEST[:-2]
BODY = b"<!DOCTYPE html><title>busy</title>"
BOUND_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


def page() -> Entity:
    return of_page(503, None, BODY, ((b"Retry-After", b"1"),))


class Door:
    """A refuser with its epoll, and connections to refuse."""

    def __init__(self, undo: ExitStack) -> None:
        self.epoll = undo.enter_context(select.epoll())
        self.refuser = Refuser(self.epoll, page, frozenset((3,)))
        self._listener = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._undo = undo
        undo.callback(self._let_all_go)

    def _let_all_go(self) -> None:
        for fd in self.refuser.fds():
            self.refuser.let_go(fd)

    def connect(self) -> tuple[socket.socket, int]:
        """A client, and the master's descriptor of its connection."""
        client = self._undo.enter_context(socket.create_connection(self._listener.getsockname()))
        client.settimeout(BOUND_SECONDS)
        near, _ = self._listener.accept()
        near.setblocking(False)
        return client, near.detach()

    def hear(self, wait_seconds: float = 0.0) -> int:
        """A round of the master's loop; how many events it had."""
        events = self.epoll.poll(wait_seconds)
        for fd, _ in events:
            if self.refuser.owns(fd):
                self.refuser.handle(fd)
        return len(events)

    def hear_until_let_go(self, fd: int) -> None:
        while self.refuser.owns(fd):
            assert self.hear(BOUND_SECONDS), "nothing is heard of the client"


@pytest.fixture
def undo(_no_descriptor_left: None) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def door(undo: ExitStack) -> Door:
    return Door(undo)


def whole(client: socket.socket) -> bytes:
    """All that `client` receives, to the end. Raises ConnectionResetError."""
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def assert_is_503(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert {b"Connection: close", b"Retry-After: 1", b"Content-Length: %d" % len(BODY)} <= set(lines)
    assert any(line.startswith(b"Date: ") and line.endswith(b" GMT") for line in lines)
    assert body == BODY


@pytest.mark.parametrize("sent", [b"", REQUEST, REQUEST * 100, b"x" * 60_000])
def test_whatever_the_client_had_sent_it_gets_the_answer_and_no_reset(door: Door, sent: bytes) -> None:
    client, fd = door.connect()
    client.sendall(sent)
    door.refuser.refuse(fd, "queue_full")
    assert_is_503(whole(client))
    client.close()
    door.hear_until_let_go(fd)


def test_a_client_that_sends_afterwards_gets_the_answer_and_no_reset(door: Door) -> None:
    client, fd = door.connect()
    door.refuser.refuse(fd, "queue_full")
    for _ in range(20):
        client.sendall(b"y" * 50_000)
        door.hear()
    assert_is_503(whole(client))
    assert door.refuser.owns(fd)


def test_a_client_that_has_said_all_gets_the_answer(door: Door) -> None:
    client, fd = door.connect()
    client.sendall(REQUEST)
    client.shutdown(socket.SHUT_WR)
    door.refuser.refuse(fd, "queue_full")
    assert_is_503(whole(client))
    door.hear_until_let_go(fd)


@pytest.mark.parametrize("resets", [False, True])
def test_a_client_that_is_gone_already_leaves_nothing(door: Door, resets: bool) -> None:
    client, fd = door.connect()
    if resets:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    door.refuser.refuse(fd, "queue_full")
    while door.refuser.owns(fd):
        assert door.hear(BOUND_SECONDS)
    assert door.refuser.reasons == {"queue_full": 1}


def test_a_client_that_resets_while_it_is_seen_off_is_let_go(door: Door) -> None:
    client, fd = door.connect()
    door.refuser.refuse(fd, "queue_full")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    door.hear_until_let_go(fd)


def test_refusals_are_counted_by_reason(door: Door) -> None:
    for reason in ("queue_full", "queue_full", "worker_stalled"):
        door.refuser.refuse(door.connect()[1], reason)
    assert door.refuser.reasons == {"queue_full": 2, "worker_stalled": 1}


def test_who_neither_closes_nor_sends_is_let_go_at_his_time_and_not_before(door: Door) -> None:
    before_ns = monotonic_ns()
    _, fd = door.connect()
    door.refuser.refuse(fd, "queue_full")
    after_ns = monotonic_ns()
    door.refuser.tick(before_ns + _LINGER_NS - 1)
    assert door.refuser.owns(fd)
    door.refuser.tick(after_ns + _LINGER_NS)
    assert not door.refuser.owns(fd)


def test_who_goes_on_sending_is_let_go_at_his_time_all_the_same(door: Door) -> None:
    client, fd = door.connect()
    door.refuser.refuse(fd, "queue_full")
    after_ns = monotonic_ns()
    client.sendall(b"x")
    door.hear(BOUND_SECONDS)
    door.refuser.tick(after_ns + _LINGER_NS)
    assert not door.refuser.owns(fd)


def test_a_tick_ends_nobody_who_came_later(door: Door) -> None:
    _, first = door.connect()
    door.refuser.refuse(first, "queue_full")
    between_ns = monotonic_ns()
    _, second = door.connect()
    door.refuser.refuse(second, "queue_full")
    door.refuser.tick(between_ns + _LINGER_NS)
    assert door.refuser.fds() == [second]


@pytest.mark.parametrize(
    ("sent", "stays"),
    [
        (REQUEST, False),
        (REQUEST.replace(b"GET", b"HEAD"), False),
        (UNFINISHED, True),
        (REQUEST + REQUEST, True),
        (REQUEST + b"GET /", True),
        (REQUEST.replace(b"GET", b"POST"), True),
        (REQUEST.replace(b"Host: x", b"Host: x\r\nContent-Length: 5"), True),
        (REQUEST.replace(b"Host: x", b"Host: x\r\ntransfer-encoding: chunked"), True),
        (b"", True),
    ],
)
def test_who_has_asked_for_a_page_and_said_no_more_is_not_waited_for(door: Door, sent: bytes, stays: bool) -> None:
    client, fd = door.connect()
    client.sendall(sent)
    door.refuser.refuse(fd, "queue_full")
    assert door.refuser.fds() == ([fd] if stays else [])
    assert_is_503(whole(client))


def test_no_more_than_so_many_are_seen_off_at_once_and_the_oldest_goes_first(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrv.engine.master.refusal._MAX_LINGERING", 3)
    clients = [door.connect() for _ in range(5)]
    for client, fd in clients:
        client.sendall(UNFINISHED)
        door.refuser.refuse(fd, "queue_full")
    assert door.refuser.fds() == [fd for _, fd in clients[2:]]
    # What they had sent was read, so even those that were let go at once have their answer.
    for client, _ in clients:
        assert_is_503(whole(client))
    assert _MAX_LINGERING > 3


def test_a_descriptor_that_was_let_go_is_not_owned(door: Door) -> None:
    _, fd = door.connect()
    door.refuser.refuse(fd, "queue_full")
    assert door.refuser.owns(fd)
    door.refuser.let_go(fd)
    assert not door.refuser.owns(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_those_whose_descriptors_lie_in_the_reserve_stay_one_at_a_time_and_out_of_it(
    undo: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrv.engine.master.refusal.first_reserved", lambda: 200)
    door = Door(undo)
    clients = []
    for _ in range(20):
        client, low = door.connect()
        client.sendall(UNFINISHED)
        clients.append(client)
        fd = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 200)
        os.close(low)
        door.refuser.refuse(fd, "master_full")
    (stays,) = door.refuser.fds()
    assert stays < 200
    for client in clients:
        assert_is_503(whole(client))


def test_the_page_is_read_once_a_second_and_kept_when_it_cannot_be_read(
    undo: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = 10**15
    monkeypatch.setattr("wsrv.engine.master.refusal.monotonic_ns", lambda: now_ns)
    door = Door(undo)
    reads = 0

    def read() -> Entity:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return page()

    door.refuser._page = read
    for after_ns, wanted in ((0, 1), (999_999_999, 1), (1, 2), (999_999_999, 2), (1, 3)):
        now_ns += after_ns
        client, fd = door.connect()
        door.refuser.refuse(fd, "queue_full")
        assert_is_503(whole(client))
        assert reads == wanted


def test_without_any_page_there_is_still_an_answer(undo: ExitStack) -> None:
    def fail() -> Entity:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    door = Door(undo)
    door.refuser._page = fail
    client, fd = door.connect()
    door.refuser.refuse(fd, "queue_full")
    answer = whole(client)
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nRetry-After: 1\r\n" in answer
    assert b"<h1>503 Service Unavailable</h1>" in answer


def test_a_client_that_expects_tls_is_refused_by_an_alert(undo: ExitStack) -> None:
    door = Door(undo)
    for listener, beginning in ((3, TLS_ALERT), (2, b"HTTP/1.1 503 ")):
        client, fd = door.connect()
        client.sendall(REQUEST)
        door.refuser.refuse(fd, "queue_full", listener)
        assert client.recv(65536)[: len(beginning)] == beginning
        client.close()
        door.hear_until_let_go(fd)
    assert door.refuser.reasons == {"queue_full": 2}
