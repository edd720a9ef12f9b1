"""Cutting a stream into answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.bench.answers import Done, Malformed, Reader, Shapes

BODY = st.binary(max_size=60)
STATUS = st.sampled_from([200, 206, 301, 404, 503])


def with_length(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d Some Reason\r\nServer: x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def in_chunks(status: int, body: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    return b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (status, chunks)


ANSWERS = st.one_of(
    st.tuples(STATUS, BODY).map(lambda each: (each[0], with_length(*each))),
    st.tuples(STATUS, BODY).map(lambda each: (each[0], in_chunks(*each))),
    st.sampled_from([204, 304]).map(lambda status: (status, b"HTTP/1.1 %d X\r\nETag: y\r\n\r\n" % status)),
    st.tuples(STATUS, BODY).map(lambda each: (each[0], b"HTTP/1.1 100 Continue\r\n\r\n" + with_length(*each))),
)


@given(st.lists(ANSWERS, max_size=6), st.data())
def test_a_stream_is_cut_into_its_answers_wherever_it_is_torn(
    answers: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(raw for _, raw in answers)
    tears = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    reader = Reader(Shapes())
    done: list[Done] = []
    for begin, end in zip([0, *tears], [*tears, len(stream)], strict=True):
        done += reader.feed(stream[begin:end])
    assert [each.status for each in done] == [status for status, _ in answers]
    assert reader.is_between
    assert reader.end() is None


@pytest.mark.parametrize(
    ("head", "close"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nconnection: Close", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked", True),
    ],
)
def test_whether_the_connection_ends_is_known(head: bytes, close: bool) -> None:
    body = b"0\r\n\r\n" if b"chunked" in head else b""
    assert Reader(Shapes()).feed(head + b"\r\n\r\n" + body) == [Done(200, close)]


def test_without_a_length_the_end_of_the_stream_ends_the_answer() -> None:
    reader = Reader(Shapes())
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nsome ") == []
    assert reader.feed(b"bytes") == []
    assert reader.end() == Done(200, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_an_answer_cut_short_is_not_taken_for_one(raw: bytes) -> None:
    reader = Reader(Shapes())
    assert reader.feed(raw) == []
    with pytest.raises(Malformed, match="cut short"):
        reader.end()


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 300_000,
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        Reader(Shapes()).feed(raw)


def test_a_head_is_parsed_once() -> None:
    shapes = Shapes()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3"
    assert shapes.of(head) is shapes.of(bytes(bytearray(head)))


def test_heads_that_are_remembered_are_bounded() -> None:
    shapes = Shapes()
    for number in range(10_000):
        shapes.of(b"HTTP/1.1 200 OK\r\nContent-Length: %d" % number)
    assert len(shapes.known) < 5000
