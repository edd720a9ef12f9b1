"""The rules that need request line and fields both."""

import pytest

from wsrv.engine.http.fields import Fields
from wsrv.engine.http.head import Malformed, awaits_continue, check, host_of, parse_fields, parse_request_line

CHUNKED = b"Transfer-Encoding: chunked"


def fields_of(*lines: bytes) -> Fields:
    return parse_fields(b"".join(line + b"\r\n" for line in (*lines, b"")))


def refusal_by_check(raw_line: bytes, *lines: bytes) -> int | None:
    try:
        check(parse_request_line(raw_line), fields_of(*lines))
    except Malformed as refusal:
        return refusal.status
    return None


@pytest.mark.parametrize(
    ("raw_line", "lines", "status"),
    [
        (b"GET / HTTP/1.1", [b"Host: a"], None),
        (b"GET / HTTP/1.1", [b"Host:"], None),
        (b"GET / HTTP/1.1", [], 400),
        (b"GET http://a/ HTTP/1.1", [], 400),
        (b"GET http://a/ HTTP/1.1", [b"Host: b"], None),
        (b"GET / HTTP/1.0", [], None),
        (b"POST / HTTP/1.0", [CHUNKED], 400),
        (b"POST / HTTP/1.0", [b"Content-Length: 5"], None),
        (b"POST / HTTP/1.1", [b"Host: a", CHUNKED], None),
        (b"POST / HTTP/1.1", [b"Host: a", b"Expect: 100-Continue"], None),
        (b"POST / HTTP/1.1", [b"Host: a", b"Expect: x"], 417),
        (b"POST / HTTP/1.1", [b"Host: a", b"Expect: 100-continue, x"], 417),
        (b"POST / HTTP/1.1", [b"Host: a", b"Expect: 100-continue=1"], 417),
        (b"POST / HTTP/1.0", [b"Expect: x"], None),
    ],
)
def test_rules_between_line_and_fields(raw_line: bytes, lines: list[bytes], status: int | None) -> None:
    assert refusal_by_check(raw_line, *lines) == status


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"/", b"Host: A.Example:8080", b"a.example"),
        (b"/", b"Host: [2001:DB8::1]:80", b"[2001:db8::1]"),
        (b"/", b"Host: [::1]", b"[::1]"),
        (b"/", b"Host: a:", b"a"),
        (b"/", b"Host:", b""),
        (b"/", b"X: y", b""),
        (b"http://B:80/", b"Host: a", b"b"),
        (b"http://[::1]:80/", b"Host: a", b"[::1]"),
    ],
)
def test_the_host_asked_for(target: bytes, host: bytes, expected: bytes) -> None:
    assert host_of(parse_request_line(b"GET " + target + b" HTTP/1.1"), fields_of(host)) == expected


@pytest.mark.parametrize(
    ("version", "lines", "expected"),
    [
        (b"1.1", [b"Expect: 100-continue", b"Content-Length: 5"], True),
        (b"1.1", [b"Expect: 100-continue", CHUNKED], True),
        (b"1.1", [b"Expect: 100-continue", b"Content-Length: 0"], False),
        (b"1.1", [b"Expect: 100-continue"], False),
        (b"1.1", [b"Content-Length: 5"], False),
        (b"1.0", [b"Expect: 100-continue", b"Content-Length: 5"], False),
    ],
)
def test_100_is_awaited_only_before_a_body_and_in_1_1(version: bytes, lines: list[bytes], expected: bool) -> None:
    assert awaits_continue(parse_request_line(b"POST / HTTP/" + version), fields_of(*lines)) is expected
