"""Where bodies end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.body import MAX_CHUNK_LINE_BYTES, MAX_TRAILER_BYTES, BodyReader
from wsrv.engine.http.bounds import MAX_FIELDS
from wsrv.engine.http.head import Malformed, parse_fields

NEXT = b"GET /next HTTP/1.1\r\n"


def chunked() -> BodyReader:
    reader = BodyReader.of(parse_fields(b"Transfer-Encoding: chunked\r\n\r\n"))
    assert reader is not None
    return reader


def measured(length: int) -> BodyReader:
    reader = BodyReader.of(parse_fields(b"Content-Length: %d\r\n\r\n" % length))
    assert reader is not None
    return reader


def feed_in_steps(reader: BodyReader, body: bytes, step: int) -> None:
    for at in range(0, len(body), step):
        reader.feed(body[at : at + step])


@pytest.mark.parametrize("block", [b"\r\n", b"Content-Length: 0\r\n\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n\r\n"])
def test_without_a_length_there_is_no_body(block: bytes) -> None:
    assert BodyReader.of(parse_fields(block)) is None


def test_a_measured_body_ends_at_its_length() -> None:
    reader = measured(5)
    assert (reader.feed(b"ab"), reader.done, reader.received) == (2, False, 2)
    assert (reader.feed(memoryview(b"cde" + NEXT)), reader.done, reader.received) == (3, True, 5)
    assert reader.feed(NEXT) == 0


def test_upgrade_with_a_body_does_not_end_the_body_early() -> None:
    block = b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n"
    reader = BodyReader.of(parse_fields(block))
    assert reader is not None
    assert reader.feed(b"GET /" + NEXT) == 5


GOOD = [
    b"0\r\n\r\n",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b"A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n",
    b'5;a;b=c;d="e;\\"\xff"\r\nabcde\r\n0\r\n\r\n',
    b"2\r\n\r\n\r\n0\r\n\r\n",
    b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    b"0;last\r\n\r\n",
    b"0\r\nA: b\r\nC:\t\xff\r\n\r\n",
]


@pytest.mark.parametrize("body", GOOD)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_a_chunked_body_ends_behind_its_trailers(body: bytes, step: int) -> None:
    reader = chunked()
    whole = body + NEXT
    at = 0
    while not reader.done:
        fed = reader.feed(memoryview(whole)[at : at + step])
        assert fed > 0
        at += fed
    assert whole[at:] == NEXT
    assert reader.received == len(body)
    assert reader.feed(NEXT) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"g\r\n",
        b"5\nabcde\r\n0\r\n\r\n",
        b"5\rabcde\n",
        b"5\r\nabcde\n0\r\n\r\n",
        b"5\r\nabcdef\r\n0\r\n\r\n",
        b"5\r\nabcd\r\n0\r\n\r\n",
        b"5\r\nabcde0\r\n\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"5\t;a\r\n",
        b"0x5\r\n",
        b"5_0\r\n",
        b"5,5\r\n",
        b"5;\r\n",
        b"5; a\r\n",
        b"5;a=\r\n",
        b"5;a\x00\r\n",
        b'5;a="b\r\n',
        b"5;a\rb\r\n",
        b"5;\xff\r\n",
        b"\xb5\r\n",
        b"1000000000000000\r\n",
        b"FFFFFFFFFFFFFFFF5\r\n",
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_a_chunked_body_that_breaks_the_grammar_is_400(body: bytes, step: int) -> None:
    with pytest.raises(Malformed) as refusal:
        feed_in_steps(chunked(), body, step)
    assert refusal.value.status == 400
    assert refusal.value.reason.endswith(".")


def test_a_chunk_extension_of_the_largest_size_passes_and_one_byte_more_does_not() -> None:
    fill = b"a" * (MAX_CHUNK_LINE_BYTES - len(b"5;\r\n"))
    assert chunked().feed(b"5;" + fill + b"\r\n") == MAX_CHUNK_LINE_BYTES
    with pytest.raises(Malformed):
        chunked().feed(b"5;a" + fill + b"\r\n")


def test_a_size_line_without_end_is_not_waited_for_beyond_its_bound() -> None:
    with pytest.raises(Malformed):
        feed_in_steps(chunked(), b"1" * (MAX_CHUNK_LINE_BYTES + 1), 1)


def test_trailers_are_bounded_in_bytes_and_in_number() -> None:
    line = b"A: " + b"b" * 1000 + b"\r\n"
    reader = chunked()
    assert reader.feed(b"0\r\n" + line * 7) > 0
    with pytest.raises(Malformed):
        reader.feed(line * (MAX_TRAILER_BYTES // len(line) - 6))
    assert chunked().feed(b"0\r\n" + b"A: b\r\n" * MAX_FIELDS + b"\r\n")
    with pytest.raises(Malformed):
        chunked().feed(b"0\r\n" + b"A: b\r\n" * (MAX_FIELDS + 1))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(1, 9), min_size=1), st.binary())
def test_any_chunks_fed_in_any_pieces_end_at_their_end(chunks: list[bytes], steps: list[int], after: bytes) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    reader = chunked()
    at = turn = 0
    while not reader.done:
        step = steps[turn % len(steps)]
        at += reader.feed((body + after)[at : at + step])
        turn += 1
    assert at == reader.received == len(body)
