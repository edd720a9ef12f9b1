# The lint that looks on at all other tests has to see what they read, and to find what is wrong there.
"""tests.support.lint finds faults, and finds them however the response is read."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from tests.support.lint import Tap

DATE = b"Date: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
GOOD = b"HTTP/1.1 404 Not Found\r\n" + DATE + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"
BAD = GOOD.replace(b"Content-Type: text/plain", b"Content-Type: text/plain\r\nLast-Modified: yesterday")


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tap]:
    """A tap of our own, beside that of the whole run, which does not hear what these tests make up."""
    monkeypatch.setattr("time.time", lambda: 1795435200.0)
    tap = Tap()
    with tap.open():
        yield tap


pytestmark = pytest.mark.not_linted("made up by the test")


def read(*pieces: bytes) -> None:
    """Receive `pieces`, each by a read of its own."""
    near, far = socket.socketpair()
    with near, far:
        for piece in pieces:
            far.sendall(piece)
            near.recv(1 << 20)


def test_a_good_response_is_linted_and_passes(tap: Tap) -> None:
    read(GOOD)
    assert (tap.verdict(), tap.linted) == ([], 1)


@pytest.mark.parametrize("cut", [1, 7, 20, len(BAD) - 2])
def test_a_fault_is_found_however_the_response_is_cut(tap: Tap, cut: int) -> None:
    read(BAD[:cut], BAD[cut:])
    (found,) = tap.verdict()
    assert "Last-Modified" in found
    assert tap.verdict() == []


def test_a_fault_is_found_behind_other_responses(tap: Tap) -> None:
    head = GOOD.removesuffix(b"no")
    chunked = GOOD.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked").replace(b"no", b"2\r\nno\r\n0\r\n\r\n")
    read(GOOD + head + b"HTTP/1.1 100 Continue\r\n\r\n" + chunked + BAD)
    (found,) = tap.verdict()
    assert "Last-Modified" in found
    assert tap.linted == 5


def test_a_body_too_long_to_keep_is_read_past(tap: Tap) -> None:
    long = GOOD.replace(b"Length: 2\r\n\r\nno", b"Length: 900000\r\n\r\n") + b"x" * 900_000
    read(long[:1000], *(long[at : at + 50_000] for at in range(1000, len(long), 50_000)), BAD)
    (found,) = tap.verdict()
    assert "Last-Modified" in found


def test_bytes_that_belong_to_no_response_are_a_fault(tap: Tap) -> None:
    read(GOOD + b"more")
    (found,) = tap.verdict()
    assert "after the end of a response" in found


def test_what_is_no_response_is_nobodys_business(tap: Tap) -> None:
    read(b'{"answer": 1}', BAD)
    read(b"GET / HTTP/1.1\r\n\r\n")
    assert (tap.verdict(), tap.linted) == ([], 0)


def test_a_head_alone_is_linted_when_the_test_ends(tap: Tap) -> None:
    read(BAD.removesuffix(b"no"))
    (found,) = tap.verdict()
    assert "Last-Modified" in found


def test_http_client_is_heard(tap: Tap) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(BAD)
        answer = http.client.HTTPResponse(near)
        answer.begin()
        assert answer.read() == b"no"
        answer.close()
    (found,) = tap.verdict()
    assert "Last-Modified" in found


def test_sockets_are_as_before_when_the_tap_is_closed() -> None:
    before = socket.socket.recv, socket.socket.recv_into
    with Tap().open():
        assert socket.socket.recv is not before[0]
    assert (socket.socket.recv, socket.socket.recv_into) == before
