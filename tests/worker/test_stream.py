"""Streams of several parts: bytes and spans of one file, in order, counted to the byte."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.worker.workbench import BOUND_SECONDS, Client, Workbench
from wsrv.engine.http.fields import parse_fields
from wsrv.engine.http.head import parse_request_line
from wsrv.engine.http.ranges import Span
from wsrv.engine.shm.row import BYTES_SENT
from wsrv.engine.static.file import OpenFile
from wsrv.engine.worker import delivery
from wsrv.engine.worker.connection import CLOSED, IDLE, WRITE, Connection
from wsrv.engine.worker.request import Request, Stream, size_of

# As it is outside these tests, of whose turns none ends before it has its bytes.
TURN_NS = delivery._TURN_NS
LINE = b"GET /big HTTP/1.1"
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CONTENT = os.urandom(1_500_000)
PARTS = (b"<", Span(0, 700_000), b"", b"|" * 300_000, Span(5, 0), Span(1_000_000, 500_000), b">")
BODY = b"<" + CONTENT[:700_000] + b"|" * 300_000 + CONTENT[1_000_000:] + b">"


def send(bench: Workbench, root: Path, client: Client, parts: Sequence[bytes | Span] = PARTS) -> None:
    """Let `bench` stream `parts` to `client`, as far as it goes at once."""
    (root / "big").write_bytes(CONTENT)
    fields, host = parse_fields(b"Host: x\r\n\r\n"), bench.hosts.default
    request = Request(LINE, parse_request_line(LINE), fields, b'"-" "-"\n', None, True, host)
    talk = client.conn.dialogue()
    talk.began.append(bench.now_ns)
    talk.stream = Stream(request, 200, OpenFile(os.open(root / "big", os.O_RDONLY | os.O_CLOEXEC)), HEAD, parts)
    bench.delivery.flush(client.conn, bench.now_ns)


def body_bytes_logged(bench: Workbench) -> int:
    (line,) = bench.log()
    status, body_bytes = line.split('"')[2].split()
    assert status == "200"
    return int(body_bytes)


@pytest.mark.not_linted("the head is the test's own")
def test_parts_come_in_order_and_whole(bench: Workbench, root: Path) -> None:
    client = bench.client()
    send(bench, root, client)
    assert bench.hear_all(client) == HEAD + BODY
    assert client.conn.state == IDLE
    assert bench.count(BYTES_SENT) == len(HEAD + BODY)
    assert body_bytes_logged(bench) == len(BODY)


def test_it_is_recorded_before_the_bytes_that_end_it_and_not_before(bench: Workbench, root: Path) -> None:
    client = bench.client()
    send(bench, root, client)
    got = client.received()
    while not bench.responses():
        assert len(got) < len(HEAD + BODY), "whole at the client, and not recorded"
        assert bench.hear()
        got += client.received()
    assert len(got) > len(BODY) // 2
    bench.hear_all()


@pytest.mark.parametrize("taken_bytes", [0, 1, 400_000, 800_000, 1_200_000])
def test_who_goes_away_in_the_middle_has_what_was_sent_counted(bench: Workbench, root: Path, taken_bytes: int) -> None:
    client = bench.client()
    send(bench, root, client)
    got = 0
    while got < taken_bytes:
        got += len(client.socket.recv(min(65536, taken_bytes - got)))
        while bench.hear():
            pass
    assert client.conn.state == WRITE
    stream = client.conn.dialogue().stream
    assert stream is not None
    assert stream.sent_bytes + stream.left_bytes == len(HEAD + BODY)
    assert stream.left_bytes == sum(map(size_of, stream.parts))
    sent = stream.sent_bytes
    client.close()
    bench.hear_all()
    assert client.conn.state == CLOSED
    assert bench.count(BYTES_SENT) == sent
    assert body_bytes_logged(bench) == sent - len(HEAD)


def test_many_small_parts_are_not_sent_in_one_turn(bench: Workbench, root: Path) -> None:
    # Over loopback all of it would be taken at once.
    client = bench.tcp_client()
    send(bench, root, client, [part for number in range(400) for part in (b"-", Span(number, 1))])
    assert client.conn.state == WRITE
    expected = HEAD + b"".join(b"-%c" % byte for byte in CONTENT[:400])
    got = bench.hear_all(client)
    client.socket.settimeout(BOUND_SECONDS)
    while len(got) < len(expected):
        got += client.socket.recv(len(expected))
    assert got == expected


RECORD_BYTES = 16_000


class Recorded(Connection):
    """Sends no more than a record at once, as TLS does, with room for more."""

    __slots__ = ()

    @property
    def is_secure(self) -> bool:
        return True

    def send_file(self, file: int, offset: int, count: int) -> int:
        return super().send_file(file, offset, min(count, RECORD_BYTES))


def test_a_record_is_a_piece_that_went_out_and_its_connection_stays_in_line(bench: Workbench, root: Path) -> None:
    client = bench.client()
    client.conn.__class__ = Recorded
    bench.connections.crowd = 2
    send(bench, root, client, (Span(0, 1_400_000),))
    assert len(client.received()) > 2 * RECORD_BYTES
    assert client.conn in bench.connections.line
    bench.hear_all(client)


def test_who_is_alone_need_not_stand_in_line(bench: Workbench, root: Path) -> None:
    client = bench.client()
    send(bench, root, client, (Span(0, 1_400_000),))
    assert client.conn.state == WRITE
    assert client.conn not in bench.connections.line
    bench.hear_all(client)


def test_a_piece_that_goes_out_in_part_says_that_there_is_no_room(bench: Workbench, root: Path) -> None:
    client = bench.client()
    bench.connections.crowd = 2
    send(bench, root, client, (Span(0, 1_400_000),))
    assert client.conn in bench.connections.line, "of a new stream only the beginning is sent at once"
    bench.turns.turn(bench.now_ns)
    assert client.conn.state == WRITE
    assert client.conn not in bench.connections.line
    bench.hear_all(client)


def test_a_turn_ends_with_its_time(bench: Workbench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little was sent: each look at the clock finds 0.4 ms gone."""
    ticks = itertools.count(0, 400_000)
    monkeypatch.setattr(delivery, "_TURN_NS", TURN_NS)
    monkeypatch.setattr(delivery, "monotonic_ns", lambda: next(ticks))
    client = bench.tcp_client()
    send(bench, root, client, [part for number in range(5) for part in (b"-", Span(number, 1))])
    assert client.conn in bench.connections.line
    assert client.received() == HEAD + b"-"
    for _ in range(5):
        bench.turns.turn(bench.now_ns)
    assert client.received() == b"".join(b"%c-" % byte for byte in CONTENT[:4]) + CONTENT[4:5]
    assert client.conn.state == IDLE
