# What our rules accept, httptools and h11 accept too, and read alike.
#
# Heads are put together from pieces that are valid, nearly valid and wrong, then bytes of them are changed. The last
# test holds that the generator does not merely produce refusals.
"""Differential tests of heads and bodies against httptools and h11."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, event, find, given, settings
from hypothesis import strategies as st

from tests.http.oracles import (
    Reading,
    h11_body_bytes,
    h11_reading,
    httptools_body_bytes,
    httptools_reading,
)
from wsrv.engine.http.body import BodyReader
from wsrv.engine.http.head import (
    Fields,
    Malformed,
    RequestLine,
    check,
    parse_fields,
    parse_request_line,
    persistent,
    refusal_of,
)

CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

METHODS = (b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"PROPFIND", b"get", b"G@T", b"")
TARGETS = (
    *(b"/", b"/a?b=c&d", b"//a", b"/%2e%2e/x", b"/a|b{}`'[]", b"/?", b"*", b"a:80", b"a:", b"[::1]:443", b"a"),
    *(b"http://h", b"http://h?q", b"HTTPS://H:8/p?q", b"http://[::1]:80/", b"http://u@h/", b"http://h:/p", b"ftp://h/"),
    *(b"/a#b", b'/a"b', b"/a\\b", b"/a^b", b"/<a>", b"/\xc3\xa9", b"/a b", b"/\x00", b"/\x7f", b"", b"http:///p"),
)
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"ICE/1.0", b"HTTP/11", b"")
LINES = (
    *(b"Host: a", b"Host: a:80", b"Host:", b"Host: [::1]:80", b"host:\ta.example \t", b"Host: a b", b"Host: a/b"),
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: Keep-Alive, x", b"Connection: x,,CLOSE\t"),
    *(b"Connection: closed", b"Connection: close close", b"Connection: upgrade", b"Upgrade: websocket", b"Connection:"),
    *(b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: 005", b"Content-Length: 5, 5", b"Content-Length:"),
    *(b"Content-Length: +5", b"Content-Length: 5 5", b"Content-Length: 99999999999999999999", b"Content-Length : 5"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked \t", b"Transfer-Encoding: gzip, chunked"),
    *(b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding:\x0bchunked"),
    *(b"Transfer-Encoding: ,chunked", b"Transfer-Encoding:", b"TE: chunked", b"Transfer-Encoding : chunked"),
    *(b"Expect: 100-continue", b"Expect: x", b"X-A: b\xff c\td", b"X-A:", b"X A: b", b": b", b"X-A b", b" folded: b"),
    *(b"\tfolded", b"X-A: \x00", b"X-A: \x7f", b"X-A: a\rb", b"X-A: a\nb", b"X-\xe9: b", b"Proxy-Connection: close"),
)
ENDS = (b"\r\n",) * 20 + (b"\n", b"\r", b"\r\r\n")


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    line = b" ".join((draw(st.sampled_from(METHODS)), draw(st.sampled_from(TARGETS)), draw(st.sampled_from(VERSIONS))))
    lines = draw(st.lists(st.sampled_from(LINES), max_size=5))
    return b"".join(part + draw(st.sampled_from(ENDS)) for part in (line, *lines, b""))


def mutated(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The bytes with a few replaced, removed or put in."""
    bytes_of_interest = st.sampled_from(b"\x00\t\n\x0b\r :,;/?#%@[]\"'\\0aZ\x7f\x80\xff")
    change = st.tuples(st.integers(0, 2), st.integers(0, 400), bytes_of_interest)

    def apply(raw: bytes, changes: list[tuple[int, int, int]]) -> bytes:
        mutable = bytearray(raw)
        for kind, position, byte in changes:
            at = position % (len(mutable) + 1)
            mutable[at : at + (kind > 0)] = b"" if kind == 2 else bytes((byte,))
        return bytes(mutable)

    return st.builds(apply, whole, st.lists(change, max_size=3))


def accepted(head: bytes) -> tuple[RequestLine, Fields] | None:
    """What our rules make of a whole head; None when they refuse it."""
    raw_line, _, block = head.partition(b"\r\n")
    try:
        line = parse_request_line(raw_line)
        fields = parse_fields(block)
        check(line, fields)
    except Malformed:
        return None
    return None if refusal_of(line.method) == 501 else (line, fields)


@st.composite
def likely_heads(draw: st.DrawFn) -> bytes:
    """Heads of pieces that are accepted each by itself."""
    version = draw(st.sampled_from(VERSIONS[:2]))
    method, target = draw(st.sampled_from(GOOD_STARTS))
    lines = draw(st.lists(st.sampled_from(GOOD_LINES), max_size=4, unique=True))
    return b"".join(part + b"\r\n" for part in (method + b" " + target + b" " + version, b"Host: a", *lines, b""))


def assert_alike(ours: tuple[RequestLine, Fields], theirs: Reading | None) -> None:
    line, fields = ours
    assert theirs is not None, "accepted by us alone"
    assert (theirs.method, theirs.target, theirs.minor) == (line.method, line.target, line.minor)
    assert theirs.hosts == ([] if fields.host is None else [fields.host])
    assert theirs.content_length == fields.content_length
    assert theirs.chunked == fields.chunked
    if theirs.persistent is not None:
        assert theirs.persistent == persistent(line, fields)


def alone(method: bytes, target: bytes, version: bytes, field: bytes) -> bytes:
    """A head in which one piece may be bad."""
    host = b"" if field.lower().startswith(b"host:") else b"Host: a\r\n"
    return method + b" " + target + b" " + version + b"\r\n" + host + field + b"\r\n\r\n"


GOOD_LINES = [
    field for field in LINES if accepted(alone(b"GET", b"/", b"HTTP/1.1", field)) and field[:4].lower() != b"host"
]
GOOD_STARTS = [(m, t) for m in METHODS for t in TARGETS if accepted(alone(m, t, b"HTTP/1.1", b"X-A: b"))]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(heads(), likely_heads(), mutated(likely_heads()), mutated(heads())))
def test_what_we_accept_httptools_and_h11_accept_and_read_alike(head: bytes) -> None:
    ours = accepted(head)
    event("refused" if ours is None else "accepted")
    if ours is not None:
        assert_alike(ours, httptools_reading(head))
        assert_alike(ours, h11_reading(head))


@pytest.mark.parametrize("field", LINES)
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_each_field_alone_is_read_alike_or_refused(field: bytes, version: bytes) -> None:
    head = alone(b"GET", b"/", version, field)
    ours = accepted(head)
    if ours is not None:
        assert_alike(ours, httptools_reading(head))
        assert_alike(ours, h11_reading(head))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_and_target_is_read_alike_or_refused(method: bytes, target: bytes) -> None:
    head = alone(method, target, b"HTTP/1.1", b"X-A: b")
    ours = accepted(head)
    if ours is not None:
        assert_alike(ours, httptools_reading(head))
        assert_alike(ours, h11_reading(head))


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
