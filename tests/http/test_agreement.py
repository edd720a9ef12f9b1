# What our rules accept, httptools and h11 accept too, and read alike.
#
# Heads are put together from pieces that are valid, nearly valid and wrong, then bytes of them are changed. The last
# test holds that the generator does not merely produce refusals.
"""Differential tests of heads and bodies against httptools and h11."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, event, find, given, settings
from hypothesis import strategies as st

from tests.http.heads import (
    ENDS,
    LINES,
    METHODS,
    TARGETS,
    VERSIONS,
    accepted,
    alone,
    assert_both_read_alike,
    heads,
    likely_heads,
    mutated,
)
from tests.http.oracles import h11_body_bytes, httptools_body_bytes
from wsrv.engine.http.body import BodyReader
from wsrv.engine.http.head import Malformed, parse_fields

CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(heads(), likely_heads(), mutated(likely_heads()), mutated(heads())))
def test_what_we_accept_httptools_and_h11_accept_and_read_alike(head: bytes) -> None:
    ours = accepted(head)
    event("refused" if ours is None else "accepted")
    if ours is not None:
        assert_both_read_alike(ours, head)


@pytest.mark.parametrize("field", LINES)
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_each_field_alone_is_read_alike_or_refused(field: bytes, version: bytes) -> None:
    head = alone(b"GET", b"/", version, field)
    ours = accepted(head)
    if ours is not None:
        assert_both_read_alike(ours, head)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_is_read_alike_or_refused(version: bytes) -> None:
    head = alone(b"GET", b"/", version, b"X-A: b")
    ours = accepted(head)
    if ours is not None:
        assert_both_read_alike(ours, head)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_and_target_is_read_alike_or_refused(method: bytes, target: bytes) -> None:
    head = alone(method, target, b"HTTP/1.1", b"X-A: b")
    ours = accepted(head)
    if ours is not None:
        assert_both_read_alike(ours, head)


SIZE_LINES = (
    *(b"0", b"00", b"1", b"5", b"005", b"A", b"a;x", b"5;x=y", b'5;x="y;\\" z"', b"5;", b"5 ", b" 5", b"+5", b"0x5"),
    *(
        b"5;x=",
        b"5 ;x",
        b"5; x",
        b"g",
        b"",
        b"5,5",
        b"1_0",
        b"5;x;y=z",
        b'0;x=""',
        b"5;\xff",
        b"FFFFFFFFFFFFFFFF5",
        b"-5",
    ),
)
TRAILERS = (
    b"A: b",
    b"A:",
    b"A : b",
    b" A: b",
    b"A",
    b": b",
    b"A: \x00",
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    parts = []
    for line in draw(st.lists(st.sampled_from(SIZE_LINES), max_size=3)):
        digits = line.partition(b";")[0]
        length = (
            int(digits, 16) if digits.isalnum() and len(digits) < 4 and b"g" not in digits and b"x" not in digits else 1
        )
        end = draw(st.sampled_from(ENDS))
        parts += [line, end, b"d" * (length + draw(st.sampled_from((0, 0, 0, 1)))), b"\r\n" if length else b""]
    parts += [draw(st.sampled_from((b"0", b"0", b"0;x", b"000"))), b"\r\n"]
    for line in draw(st.lists(st.sampled_from(TRAILERS), max_size=2)):
        parts += [line, b"\r\n"]
    return b"".join((*parts, b"\r\n", draw(st.sampled_from((b"", b"GET / HTTP/1.1\r\n")))))


def body_bytes(head: bytes, body: bytes, cuts: list[int]) -> int | None:
    """How many bytes of `body` we take for the body; None when we refuse them or have not seen the end."""
    reader = BodyReader.of(parse_fields(head.partition(b"\r\n")[2]))
    assert reader is not None
    taken = 0
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    try:
        for begin, end in pairwise(edges):
            fed = reader.feed(memoryview(body)[begin:end])
            taken += fed
            if reader.done:
                break
            assert fed == end - begin, "bytes left over before the end"
    except Malformed:
        return None
    assert reader.received == taken
    return taken if reader.done else None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(chunked_bodies(), mutated(chunked_bodies())), st.lists(st.integers(0, 200), max_size=5))
def test_a_chunked_body_we_accept_ends_where_httptools_and_h11_see_its_end(body: bytes, cuts: list[int]) -> None:
    ours = body_bytes(CHUNKED_HEAD, body, cuts)
    event("refused" if ours is None else "accepted")
    assert ours == body_bytes(CHUNKED_HEAD, body, []), "the end depends on how the bytes arrive"
    if ours is not None:
        assert h11_body_bytes(CHUNKED_HEAD, body) == ours
        assert httptools_body_bytes(CHUNKED_HEAD, body) == ours


@pytest.mark.parametrize(("chunked", "length"), [(False, None), (True, None), (False, 5)])
def test_the_generator_reaches_every_kind_of_framing(chunked: bool, length: int | None) -> None:
    def fits(head: bytes) -> bool:
        ours = accepted(head)
        return ours is not None and ours[1].chunked is chunked and ours[1].content_length == length

    find(likely_heads(), fits, settings=settings(max_examples=2000, database=None))
