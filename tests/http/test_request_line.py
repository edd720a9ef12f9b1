"""Request lines, methods and heads that are not whole yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.bounds import MAX_HEAD_BYTES, MAX_TARGET_BYTES
from wsrv.engine.http.head import (
    ALLOWED_METHODS,
    KNOWN_METHODS,
    Malformed,
    RequestLine,
    parse_request_line,
    refusal_of,
    refusal_of_partial,
)

GOOD = [
    (b"GET / HTTP/1.1", RequestLine(b"GET", b"/", b"/", b"", 1, None)),
    (b"HEAD /a%20b/c?d=e&f HTTP/1.0", RequestLine(b"HEAD", b"/a%20b/c?d=e&f", b"/a%20b/c", b"d=e&f", 0, None)),
    (b"GET / HTTP/1.2", RequestLine(b"GET", b"/", b"/", b"", 1, None)),
    (b"GET / HTTP/1.9", RequestLine(b"GET", b"/", b"/", b"", 1, None)),
    (b"GET /? HTTP/1.1", RequestLine(b"GET", b"/?", b"/", b"", 1, None)),
    (b"GET /?a?b HTTP/1.1", RequestLine(b"GET", b"/?a?b", b"/", b"a?b", 1, None)),
    (b"GET //x HTTP/1.1", RequestLine(b"GET", b"//x", b"//x", b"", 1, None)),
    (b"GET /|{}`'[]!$&()*+,;=:@~ HTTP/1.1", RequestLine(b"GET", *(b"/|{}`'[]!$&()*+,;=:@~",) * 2, b"", 1, None)),
    (b"BREW /pot HTTP/1.1", RequestLine(b"BREW", b"/pot", b"/pot", b"", 1, None)),
    (b"get / HTTP/1.1", RequestLine(b"get", b"/", b"/", b"", 1, None)),
    (b"OPTIONS * HTTP/1.1", RequestLine(b"OPTIONS", b"*", b"*", b"", 1, None)),
    (b"OPTIONS /a HTTP/1.1", RequestLine(b"OPTIONS", b"/a", b"/a", b"", 1, None)),
    (b"GET http://h/p?q HTTP/1.1", RequestLine(b"GET", b"http://h/p?q", b"/p", b"q", 1, b"h")),
    (b"GET http://h HTTP/1.1", RequestLine(b"GET", b"http://h", b"/", b"", 1, b"h")),
    (b"GET http://h?q HTTP/1.1", RequestLine(b"GET", b"http://h?q", b"/", b"q", 1, b"h")),
    (b"GET HTTPS://H:443/ HTTP/1.0", RequestLine(b"GET", b"HTTPS://H:443/", b"/", b"", 0, b"H:443")),
    (b"GET http://[::1]:8080/a HTTP/1.1", RequestLine(b"GET", b"http://[::1]:8080/a", b"/a", b"", 1, b"[::1]:8080")),
    (b"CONNECT h:443 HTTP/1.1", RequestLine(b"CONNECT", b"h:443", b"", b"", 1, b"h:443")),
    (b"CONNECT [::1]:443 HTTP/1.1", RequestLine(b"CONNECT", b"[::1]:443", b"", b"", 1, b"[::1]:443")),
]

BAD = [
    (b"", 400),
    (b"GET", 400),
    (b"GET /", 400),  # the simple request of HTTP/0.9
    (b"GET / ", 400),
    (b"GET HTTP/1.1", 400),
    (b"GET  HTTP/1.1", 400),
    (b"GET  / HTTP/1.1", 400),
    (b"GET /  HTTP/1.1", 400),
    (b"GET\t/ HTTP/1.1", 400),
    (b"GET /\tHTTP/1.1", 400),
    (b" GET / HTTP/1.1", 400),
    (b"GET / HTTP/1.1 ", 400),
    (b"GET / HTTP/1.1\r", 400),
    (b"\r\nGET / HTTP/1.1", 400),
    (b"\nGET / HTTP/1.1", 400),
    (b"GET / HTTP/1.1\n", 400),
    (b"GET / a HTTP/1.1", 400),
    (b"GE\x00T / HTTP/1.1", 400),
    (b"GE:T / HTTP/1.1", 400),
    (b"G\xc9T / HTTP/1.1", 400),
    (b"(GET) / HTTP/1.1", 400),
    (b"GET / http/1.1", 400),
    (b"GET / HTTP/1", 400),
    (b"GET / HTTP/1.", 400),
    (b"GET / HTTP/11", 400),
    (b"GET / HTTP/1.10", 400),
    (b"GET / HTTP/01.1", 400),
    (b"GET / HTTP /1.1", 400),
    (b"GET / HTTP/1,1", 400),
    (b"GET / HTTPS/1.1", 400),
    (b"GET / ICE/1.0", 400),
    (b"GET / HTTP/-1.1", 400),
    (b"GET / HTTP/0.9", 505),
    (b"GET / HTTP/2.0", 505),
    (b"GET / HTTP/3.0", 505),
    (b"PRI * HTTP/2.0", 505),
    (b"GET /a#b HTTP/1.1", 400),
    (b'GET /a"b HTTP/1.1', 400),
    (b"GET /<a> HTTP/1.1", 400),
    (b"GET /a\\b HTTP/1.1", 400),
    (b"GET /a^b HTTP/1.1", 400),
    (b"GET /\x00 HTTP/1.1", 400),
    (b"GET /\x1f HTTP/1.1", 400),
    (b"GET /\x7f HTTP/1.1", 400),
    ("GET /é HTTP/1.1".encode(), 400),
    (b"GET a HTTP/1.1", 400),
    (b"GET a/b HTTP/1.1", 400),
    (b"GET ?a HTTP/1.1", 400),
    (b"GET * HTTP/1.1", 400),
    (b"OPTIONS ** HTTP/1.1", 400),
    (b"OPTIONS *?a HTTP/1.1", 400),
    (b"GET h:80 HTTP/1.1", 400),
    (b"GET ftp://h/ HTTP/1.1", 400),
    (b"GET http:/h/ HTTP/1.1", 400),
    (b"GET http:// HTTP/1.1", 400),
    (b"GET http:///p HTTP/1.1", 400),
    (b"GET http://:80/ HTTP/1.1", 400),
    (b"GET http://?q HTTP/1.1", 400),
    (b"GET http://u@h/ HTTP/1.1", 400),
    (b"GET http://u:p@h/ HTTP/1.1", 400),
    (b"GET http://h:x/ HTTP/1.1", 400),
    (b"GET http://h:65536/ HTTP/1.1", 400),
    (b"GET http://h%/ HTTP/1.1", 400),
    (b"GET http://[::1/ HTTP/1.1", 400),
    (b"GET http://[g::1]/ HTTP/1.1", 400),
    (b"GET http://[1.2.3.4]/ HTTP/1.1", 400),
    (b"CONNECT h HTTP/1.1", 400),
    (b"CONNECT h: HTTP/1.1", 400),
    (b"CONNECT :443 HTTP/1.1", 400),
    (b"CONNECT [::1] HTTP/1.1", 400),
    (b"CONNECT / HTTP/1.1", 400),
    (b"CONNECT http://h:443/ HTTP/1.1", 400),
]


@pytest.mark.parametrize(("raw", "line"), GOOD)
def test_a_good_line_falls_into_its_parts(raw: bytes, line: RequestLine) -> None:
    assert parse_request_line(raw) == line


@pytest.mark.parametrize(("raw", "status"), BAD)
def test_a_bad_line_is_refused(raw: bytes, status: int) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_request_line(raw)
    assert refusal.value.status == status
    assert refusal.value.reason.endswith(".")


@given(st.binary(max_size=30))
def test_no_bytes_but_a_refusal_or_a_line_with_the_same_parts(raw: bytes) -> None:
    try:
        line = parse_request_line(raw)
    except Malformed:
        return
    assert raw == b"%b %b HTTP/1.%d" % (line.method, line.target, line.minor)


def test_a_target_of_the_largest_size_passes_and_one_byte_more_is_414() -> None:
    longest = b"/" + b"a" * (MAX_TARGET_BYTES - 1)
    assert parse_request_line(b"GET " + longest + b" HTTP/1.1").target == longest
    for line in (b"GET " + longest + b"a HTTP/1.1", b"GET " + longest * 2):
        with pytest.raises(Malformed) as refusal:
            parse_request_line(line)
        assert refusal.value.status == 414


def test_a_long_target_with_a_bad_character_is_refused_all_the_same() -> None:
    with pytest.raises(Malformed) as refusal:
        parse_request_line(b"GET /" + b"a" * (MAX_TARGET_BYTES - 2) + b"\\ HTTP/1.1")
    assert refusal.value.status == 400


def test_methods_are_served_or_405_or_501() -> None:
    assert set(ALLOWED_METHODS) == {b"GET", b"HEAD", b"OPTIONS"}
    assert {refusal_of(method) for method in ALLOWED_METHODS} == {None}
    assert {refusal_of(method) for method in KNOWN_METHODS.difference(ALLOWED_METHODS)} == {405}
    assert {method: refusal_of(method) for method in (b"BREW", b"get", b"Get", b"")} == dict.fromkeys(
        (b"BREW", b"get", b"Get", b""), 501
    )
    assert {b"POST", b"PUT", b"DELETE", b"CONNECT", b"TRACE", b"PATCH"} < KNOWN_METHODS


@pytest.mark.parametrize(
    "buffered",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\t\xff\r\n\r",
        b"GET /" + b"a" * (MAX_TARGET_BYTES - 1) + b" HTTP/1.1",
        b"GET / HTTP/1.1\r\nA: " + b"a" * (MAX_HEAD_BYTES - 20),
    ],
)
def test_a_partial_head_that_can_still_become_one_is_waited_for(buffered: bytes) -> None:
    assert refusal_of_partial(buffered) is None


@pytest.mark.parametrize(
    ("buffered", "status"),
    [
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"\n", 400),
        (b"GET / HTTP/1.1\r\r", 400),
        (b"GET / HTTP/1.1\rHost", 400),
        (b"GET /\x00", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # a TLS greeting
        (b"GET / HTTP/1.1\r\nA: \x7f", 400),
        (b"GET /" + b"a" * (MAX_TARGET_BYTES + 100), 414),
        (b"a" * (MAX_HEAD_BYTES + 1), 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * (MAX_HEAD_BYTES - 19), 431),
        (b"\r\n", 400),
        (b"GET /\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a", 400),
        (b"PRI * HTTP/2.0\r\n", 505),
    ],
)
def test_a_partial_head_past_hope_is_refused_at_once(buffered: bytes, status: int) -> None:
    refusal = refusal_of_partial(buffered)
    assert refusal is not None
    assert refusal.status == status


@given(st.text("G \r\n\x00a", max_size=12).map(str.encode))
def test_a_partial_head_is_judged_alike_whole_or_byte_by_byte(buffered: bytes) -> None:
    step_by_step = any(refusal_of_partial(buffered[: end + 1], scanned=end) for end in range(len(buffered)))
    assert step_by_step == (refusal_of_partial(buffered) is not None)
