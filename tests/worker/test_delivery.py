# Files past `max_object_bytes` are streamed; here that is anything past a few bytes.
"""Streams and slow clients: recorded before the last byte, resumed where they stopped, and closed without a reset."""

import os
import socket
import struct
from pathlib import Path

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Client, Workbench, statuses
from wsrv.engine.settings import CacheSettings
from wsrv.engine.shm.row import BYTES_SENT
from wsrv.engine.worker.connection import CLOSED, IDLE, LINGER, WRITE

GET = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n")
SMALL = GET.replace(b"big", b"a.txt")
BIG_BYTES = 3_000_000
STREAMED = CacheSettings(max_object_bytes=100)


@pytest.fixture
def big(root: Path) -> bytes:
    """The content of /big."""
    content = os.urandom(BIG_BYTES)
    (root / "big").write_bytes(content)
    return content


@pytest.fixture
def streaming(make_bench: MakeBench, big: bytes) -> Workbench:
    """A workbench that streams /big."""
    return make_bench(cache=STREAMED)


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def stalled(bench: Workbench, request: bytes = GET) -> Client:
    """A client that has asked for /big and has taken nothing."""
    client = bench.client()
    client.send(request)
    bench.arrive(client)
    while bench.hear():
        pass
    assert client.conn.state == WRITE
    return client


def test_a_streamed_file_comes_whole_and_is_recorded_once(streaming: Workbench, big: bytes) -> None:
    client = streaming.client()
    got = streaming.answers(client, GET)
    assert body(got) == big
    assert b"\r\nContent-Length: %d\r\n" % BIG_BYTES in got
    assert client.conn.state == IDLE
    assert streaming.responses() == {200: 1}
    assert streaming.count(BYTES_SENT) == len(got)
    (line,) = streaming.log()
    assert f'"GET /big HTTP/1.1" 200 {BIG_BYTES} ' in line


def test_a_stream_is_recorded_before_its_last_piece_and_not_before(streaming: Workbench, big: bytes) -> None:
    client = stalled(streaming)
    got = len(client.received())
    assert streaming.responses() == {}
    while streaming.responses() == {}:
        assert streaming.hear()
        assert got < BIG_BYTES, "whole at the client, and not recorded"
        got += len(client.received())
    assert got >= BIG_BYTES // 2


def test_pipelined_behind_a_stream_answers_come_in_order(streaming: Workbench, big: bytes) -> None:
    client = streaming.client()
    got = streaming.answers(client, GET + SMALL + CLOSING + SMALL)
    assert got.count(b"\r\n\r\nalpha") == 1
    assert got.index(b"\r\n\r\nalpha") > BIG_BYTES
    assert got.endswith(big)
    # What stands behind the end is read past, not answered.
    assert client.is_over()
    assert client.conn.state == LINGER
    assert streaming.responses() == {200: 3}


def test_the_answer_to_head_for_a_streamed_file_has_its_length(streaming: Workbench) -> None:
    got = streaming.answers(streaming.client(), GET.replace(b"GET", b"HEAD"))
    assert b"\r\nContent-Length: %d\r\n" % BIG_BYTES in got
    assert body(got) == b""


def test_a_stream_that_is_abandoned_counts_what_was_taken(streaming: Workbench) -> None:
    client = stalled(streaming)
    got = len(client.received())
    client.close()
    streaming.hear_all()
    assert client.conn.state == CLOSED
    assert streaming.responses() == {200: 1}
    assert streaming.count(BYTES_SENT) == got
    (line,) = streaming.log()
    assert line.split('"')[2].split()[0] == "200"
    assert int(line.split('"')[2].split()[1]) < BIG_BYTES


def test_a_file_that_shrinks_under_a_stream_ends_its_connection(streaming: Workbench, root: Path) -> None:
    client = stalled(streaming)
    os.truncate(root / "big", 1000)
    got = streaming.hear_all(client)
    assert client.conn.state == CLOSED
    assert len(body(got)) < BIG_BYTES
    assert len(streaming.log()) == sum(streaming.responses().values()) == 1


def test_a_file_that_is_replaced_under_a_stream_goes_on_as_it_was(streaming: Workbench, root: Path, big: bytes) -> None:
    client = stalled(streaming)
    (root / "new").write_bytes(b"new")
    (root / "new").rename(root / "big")
    assert body(streaming.hear_all(client)) == big


def test_a_long_stream_lets_others_have_their_turn(streaming: Workbench, root: Path) -> None:
    # A client over loopback takes much at once; one round gives it a bounded part all the same.
    client = streaming.tcp_client()
    client.send(GET)
    streaming.connections.crowd = 2
    streaming.arrive(client)
    assert client.conn.state == WRITE
    streaming.hear_all(client)


def test_who_asks_for_the_end_of_a_stream_gets_it(streaming: Workbench, big: bytes) -> None:
    client = streaming.tcp_client()
    got = streaming.answers(client, CLOSING)
    while len(body(got)) < BIG_BYTES:
        got += streaming.hear_all(client)
    assert body(got) == big
    assert client.is_over()


def test_who_is_slow_is_resumed_where_he_stopped(make_bench: MakeBench, root: Path) -> None:
    content = os.urandom(250_000)
    (root / "big").write_bytes(content)
    bench = make_bench()
    client = bench.client()
    got = b""
    client.send(GET + GET + SMALL)
    bench.arrive(client)
    for _ in range(1000):
        try:
            got += client.socket.recv(10_007, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if not bench.hear():
                break
        bench.hear()
    assert statuses(got) == [200, 200, 200]
    assert got.count(content) == 2
    assert client.conn.state == IDLE


def test_an_early_refusal_over_tcp_is_read_to_its_end_though_the_client_goes_on_sending(bench: Workbench) -> None:
    client = bench.tcp_client()
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
    bench.arrive(client)
    for _ in range(9):
        client.send(b"b" * 100_000)
        bench.hear_all()
    client.socket.settimeout(20)
    got = b""
    while part := client.socket.recv(65536):
        got += part
    assert statuses(got) == [405]
    assert b"\r\nAllow: GET, HEAD, OPTIONS\r\n" in got
    assert client.conn.state == LINGER


def test_a_client_that_resets_in_the_middle_is_dropped(streaming: Workbench) -> None:
    client = streaming.tcp_client()
    client.send(GET)
    streaming.arrive(client)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    streaming.hear_all()
    assert client.conn.state == CLOSED
    assert streaming.responses() == {200: 1}
