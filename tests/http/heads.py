# Heads put together from pieces that are valid, nearly valid and wrong, and what may be said of one that is accepted.
"""Strategies for heads, and the comparison of our reading with those of httptools and h11."""

import re

from hypothesis import strategies as st

from tests.http.oracles import Reading, h11_reading, httptools_reading
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

_HIGHER_MINOR = re.compile(rb"\A([^\r]* HTTP/1\.)[2-9]\r\n")

METHODS = (b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"PROPFIND", b"get", b"G@T", b"")
TARGETS = (
    *(b"/", b"/a?b=c&d", b"//a", b"/%2e%2e/x", b"/a|b{}`'[]", b"/?", b"*", b"a:80", b"a:", b"[::1]:443", b"a"),
    *(b"http://h", b"http://h?q", b"HTTPS://H:8/p?q", b"http://[::1]:80/", b"http://u@h/", b"http://h:/p", b"ftp://h/"),
    *(b"/a#b", b'/a"b', b"/a\\b", b"/a^b", b"/<a>", b"/\xc3\xa9", b"/a b", b"/\x00", b"/\x7f", b"", b"http:///p"),
)
VERSIONS = (
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/1.10", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 "),
    *(b"ICE/1.0", b"HTTP/11", b""),
)
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


def assert_both_read_alike(ours: tuple[RequestLine, Fields], head: bytes) -> None:
    """httptools and h11 accept `head`, and read it as we do. A higher minor version is read as 1.1 (RFC 9110 2.5)."""
    head = _HIGHER_MINOR.sub(rb"\g<1>1\r\n", head)
    _assert_alike(ours, httptools_reading(head))
    _assert_alike(ours, h11_reading(head))


def _assert_alike(ours: tuple[RequestLine, Fields], theirs: Reading | None) -> None:
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
