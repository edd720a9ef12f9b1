"""A session over a descriptor that takes and gives as little as it likes."""

import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tls.clients import Ends
from wsrv.engine.tls.step import NotTls, Step

Make = Callable[[], Ends]
WHOLE = bytes(range(256)) * 2000


def test_a_handshake_goes_on_byte_by_byte(ends: Make) -> None:
    end = ends()
    with pytest.raises(ssl.SSLWantReadError):
        end.client.do_handshake()
    for byte in end.said():
        assert end.session.handshake(end.fd) is Step.READS
        end.far.send(bytes((byte,)))
        step = end.session.handshake(end.fd)
    end.hear()
    end.client.do_handshake()
    for byte in end.said():
        assert step is Step.READS
        end.far.send(bytes((byte,)))
        step = end.session.handshake(end.fd)
    assert step is Step.DONE


def test_what_was_read_before_the_handshake_is_its_beginning(ends: Make) -> None:
    end = ends()
    with pytest.raises(ssl.SSLWantReadError):
        end.client.do_handshake()
    end.session.unread(end.said())
    assert end.session.handshake(end.fd) is Step.READS
    end.hear()
    end.client.do_handshake()
    end.send()
    assert end.session.handshake(end.fd) is Step.DONE


def test_a_client_that_takes_nothing_is_waited_for(ends: Make) -> None:
    end = ends()
    filled = end.fill()
    with pytest.raises(ssl.SSLWantReadError):
        end.client.do_handshake()
    end.send()
    assert end.session.handshake(end.fd) is Step.WRITES
    assert end.session.handshake(end.fd) is Step.WRITES
    assert len(end.far.recv(filled)) == filled
    assert end.session.handshake(end.fd) in (Step.WRITES, Step.READS)
    while end.hear():
        end.session.handshake(end.fd)
    end.client.do_handshake()
    end.send()
    while end.session.handshake(end.fd) is not Step.DONE:
        end.hear()


def test_the_request_that_came_with_the_handshake_is_read_though_nothing_more_comes(ends: Make) -> None:
    end = ends()
    with pytest.raises(ssl.SSLWantReadError):
        end.client.do_handshake()
    end.send()
    end.session.handshake(end.fd)
    end.hear()
    end.client.do_handshake()
    end.client.write(b"GET")
    end.send()
    assert end.session.handshake(end.fd) is Step.DONE
    assert end.session.read(end.fd) == b"GET"
    with pytest.raises(BlockingIOError):
        end.session.read(end.fd)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"\x00"])
def test_what_is_no_tls_is_handed_back(ends: Make, said: bytes) -> None:
    end = ends()
    end.far.send(said)
    with pytest.raises(NotTls) as caught:
        end.session.handshake(end.fd)
    assert caught.value.seen == said


def test_a_client_that_leaves_had_begun_or_not(ends: Make) -> None:
    for said in (b"", b"\x16"):
        end = ends()
        end.far.send(said)
        if said:
            assert end.session.handshake(end.fd) is Step.READS
        end.far.close()
        with pytest.raises(ConnectionResetError):
            end.session.handshake(end.fd)
        assert end.session.begun is bool(said)


def test_a_failed_handshake_tells_the_client(ends: Make) -> None:
    end = ends()
    end.far.send(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00")
    with pytest.raises(ssl.SSLError):
        end.session.handshake(end.fd)
    assert end.far.recv(7)[0] == 0x15


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([1, 100, 16_384, 65_536, 70_000, 200_000]), min_size=1, max_size=5),
    buffer=st.sampled_from([1, 20_000, 1_000_000]),
)
def test_what_is_gone_is_gone_and_arrives_once(ends: Make, sizes: list[int], buffer: int) -> None:
    """However little the kernel takes: what is said to be gone can be read by the client at that moment."""
    end = ends()
    end.shake_hands()
    end.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    parts: list[memoryview] = [memoryview(WHOLE[:size]) for size in sizes]
    expected = b"".join(parts)
    gone, received = 0, b""
    while parts:
        try:
            count = end.session.write(end.fd, parts)
        except BlockingIOError:
            received += end.received()
            continue
        gone += count
        while parts and count >= len(parts[0]):
            count -= len(parts.pop(0))
        if count:
            parts[0] = parts[0][count:]
        received += end.received()
        assert len(received) == gone
    assert received == expected


def test_a_file_is_sent_from_where_it_is_asked_for(ends: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(WHOLE)
    file = os.open(tmp_path / "file", os.O_RDONLY)
    end = ends()
    end.shake_hands()
    end.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    offset, received = 1000, b""
    while offset < len(WHOLE):
        try:
            gone = end.session.send_file(end.fd, file, offset, len(WHOLE) - offset)
        except BlockingIOError:
            gone = 0
        else:
            assert gone > 0
        received += end.received()
        offset += gone
    assert received == WHOLE[1000:]
    assert end.session.send_file(end.fd, file, offset, 1) == 0, "the file's end"
    os.close(file)


def test_a_head_and_a_small_body_are_one_record(ends: Make) -> None:
    end = ends()
    end.shake_hands()
    assert end.session.write(end.fd, (b"head", b"body")) == 8
    assert end.far.recv(100, socket.MSG_PEEK)[3:5] == (8 + 1 + 16).to_bytes(2, "big"), "type and tag beside them"
    assert end.received() == b"headbody"


def test_the_ends_of_what_a_client_sends(ends: Make) -> None:
    """With a farewell, without one, and with something before either."""
    for words in (b"", b"last"):
        end = ends()
        end.shake_hands()
        if words:
            end.client.write(words)
        with pytest.raises(ssl.SSLWantReadError):
            end.client.unwrap()
        end.send()
        assert end.session.read(end.fd) == words
        assert end.session.ended
        assert end.session.read(end.fd) == b""
        assert end.session.write(end.fd, (b"answer",)) == 6, "the other direction stands"
        torn = ends()
        torn.shake_hands()
        if words:
            torn.client.write(words)
            torn.send()
        torn.far.shutdown(socket.SHUT_WR)
        assert torn.session.read(torn.fd) == words
        assert torn.session.read(torn.fd) == b""


def test_an_end_is_said_once_all_is_sent_and_never_in_the_middle(ends: Make) -> None:
    end = ends()
    end.shake_hands()
    end.session.end(end.fd)
    end.near.shutdown(socket.SHUT_WR)
    assert end.received() == b""
    cut = ends()
    cut.shake_hands()
    cut.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with contextlib.suppress(BlockingIOError):
        while True:
            cut.session.write(cut.fd, (WHOLE,))
    # From here on there would be room for the rest, and for a farewell behind it.
    cut.hear()
    cut.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    cut.session.end(cut.fd)
    cut.near.shutdown(socket.SHUT_WR)
    cut.hear()
    with pytest.raises(ssl.SSLEOFError):
        cut.received()


def test_after_the_end_what_comes_is_read_past(ends: Make) -> None:
    end = ends()
    end.shake_hands()
    end.session.end(end.fd)
    end.far.send(b"anything")
    assert end.session.read(end.fd) == b"anything"


def test_what_was_tampered_with_is_an_error(ends: Make) -> None:
    end = ends()
    end.shake_hands()
    end.client.write(b"x" * 100)
    wire = bytearray(end.said())
    wire[20] ^= 1
    end.far.send(wire)
    with pytest.raises(ssl.SSLError):
        end.session.read(end.fd)
    assert end.far.recv(1) == b"\x17", "an encrypted alert"
