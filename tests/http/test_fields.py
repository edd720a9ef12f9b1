"""Field blocks."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.bounds import MAX_FIELDS, MAX_HEAD_BYTES
from wsrv.engine.http.head import (
    Fields,
    Malformed,
    parse_fields,
    parse_request_line,
    persistent,
)

GET = parse_request_line(b"GET / HTTP/1.1")
GET_10 = parse_request_line(b"GET / HTTP/1.0")
CHUNKED = b"Transfer-Encoding: chunked"
# All but HTAB.
CONTROLS = [*range(0x09), *range(0x0A, 0x20), 0x7F]


def block_of(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (*lines, b""))


def fields_of(*lines: bytes) -> Fields:
    return parse_fields(block_of(*lines))


def refusal_of_block(block: bytes) -> Malformed:
    with pytest.raises(Malformed) as refusal:
        parse_fields(block)
    assert refusal.value.reason.endswith(".")
    return refusal.value


def status_of(block: bytes) -> int:
    return refusal_of_block(block).status


def test_an_empty_block_says_nothing() -> None:
    fields = parse_fields(b"\r\n")
    assert fields.host is None
    assert fields.content_length is None
    assert fields.range is None
    assert (fields.referer, fields.user_agent) == (b"", b"")
    for flag in (
        "close",
        "keep_alive",
        "chunked",
        "has_transfer_encoding",
        "expect_continue",
        "upgrade",
        "conditional",
    ):
        assert getattr(fields, flag) is False


def test_a_browsers_block_is_read() -> None:
    fields = fields_of(
        b"Host: localhost:8080",
        b"Connection: keep-alive",
        b'sec-ch-ua: "Chromium";v="130"',
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        b"Accept: image/avif,*/*;q=0.8",
        b"Referer: http://localhost:8080/",
        b"Range: bytes=0-99",
        b'If-None-Match: "a"',
    )
    assert fields.host == b"localhost:8080"
    assert (fields.keep_alive, fields.close, fields.conditional) == (True, False, True)
    assert fields.user_agent == b"Mozilla/5.0 (X11; Linux x86_64)"
    assert fields.referer == b"http://localhost:8080/"
    assert fields.range == b"bytes=0-99"
    assert fields.get(b"sec-ch-ua") == b'"Chromium";v="130"'
    assert fields.get(b"accept-encoding") is None


def test_names_are_caseless_and_whitespace_around_values_is_nothing() -> None:
    fields = fields_of(b"hOsT:\t a \t", b"X-A:", b"X-B: \t ", b"X-C:b  \t c")
    assert fields.host == b"a"
    assert (fields.get(b"x-a"), fields.get(b"x-b"), fields.get(b"x-c")) == (b"", b"", b"b  \t c")


def test_fields_of_one_name_are_joined_in_order() -> None:
    fields = fields_of(b"Accept: a", b"X: y", b"accept: b ", b"ACCEPT:")
    assert fields.get(b"accept") == b"a, b, "


@pytest.mark.parametrize("byte", sorted({*range(0x20, 0x7F), *range(0x80, 0x100), 0x09}))
def test_a_value_may_hold_tab_visible_ascii_and_obs_text(byte: int) -> None:
    assert fields_of(b"X: a" + bytes((byte,)) + b"b").get(b"x") == b"a" + bytes((byte,)) + b"b"


@pytest.mark.parametrize("byte", CONTROLS)
def test_no_other_control_is_allowed_in_a_value(byte: int) -> None:
    for value in (b"a" + bytes((byte,)) + b"b", bytes((byte,)), b"a" + bytes((byte,))):
        refusal = refusal_of_block(block_of(b"Host: a", b"X: " + value))
        assert refusal.status == 400
        assert "bare CR or LF" in refusal.reason or "control character" in refusal.reason


@pytest.mark.parametrize("byte", [*b' "(),/;<=>?@[\\]{}', *CONTROLS, 0x09, 0x80, 0xE9, 0xFF])
def test_a_name_is_a_token(byte: int) -> None:
    for name in (b"X" + bytes((byte,)) + b"Y", bytes((byte,)) + b"X", b"X" + bytes((byte,))):
        assert status_of(block_of(b"Host: a", name + b": b")) == 400


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\n",
        b"\r",
        b"Host: a",
        b"Host: a\r\n",
        b"Host: a\n\n",
        b"Host: a\r\n\n",
        b"Host: a\n\r\n",
        b"Host: a\r\r\n\r\n",
        b"Host: a\rX: b\r\n\r\n",
        b"Host: a\nX: b\r\n\r\n",
        b"Host: a\r\n\r\nX: b\r\n\r\n",
        b"\r\n\r\n",
        b"Host: a\r\n b\r\n\r\n",
        b"Host: a\r\n\tb\r\n\r\n",
        b"Host: a\r\n \r\n\r\n",
        b" Host: a\r\n\r\n",
        b"Host : a\r\n\r\n",
        b"Host\t: a\r\n\r\n",
        b": a\r\n\r\n",
        b"Host\r\n\r\n",
        b"Host a\r\n\r\n",
    ],
)
def test_a_block_that_is_not_lines_of_fields_is_400(block: bytes) -> None:
    assert status_of(block) == 400


@pytest.mark.parametrize(
    "host",
    [
        *(
            b"a",
            b"A.Example",
            b"a.example.",
            b"a:80",
            b"a:",
            b"a:0",
            b"a:00080",
            b"a:65535",
            b"127.0.0.1:8080",
            b"[::1]",
        ),
        *(b"[::1]:80", b"[2001:DB8::ffff:192.0.2.1]:80", b"[v1.a:b]", b"a_b-c~d", b"a%2Fb", b"a,b;c=d!$&'()*+", b""),
    ],
)
def test_a_good_host_is_kept_as_it_is(host: bytes) -> None:
    assert fields_of(b"Host: " + host).host == host


@pytest.mark.parametrize(
    "host",
    [
        *(
            b"a b",
            b"a/b",
            b"/",
            b"a?b",
            b"a#b",
            b"u@a",
            b"http://a",
            b"a:b",
            b"a:-1",
            b"a:80:80",
            b"a:65536",
            b":80",
            b":",
        ),
        *(b"a\\b", b"a%", b"a%2", b"a%zz", b'"a"', b"<a>", b"a|b", b"a^b", b"{a}", b"a\xff", b"::1", b"[]", b"[::1"),
        *(
            b"::1]",
            b"[::1]a",
            b"[g::1]",
            b"[:::1]",
            b"[1::2::3]",
            b"[1.2.3.4]",
            b"[fe80::1%25eth0]",
            b"[v.a]",
            b"[va.]",
        ),
        *(b"[::1]:65536", b"a" * 300),
    ],
)
def test_a_bad_host_is_400(host: bytes) -> None:
    assert status_of(block_of(b"Host: " + host)) == 400


def test_two_hosts_are_400_even_when_equal() -> None:
    for second in (b"Host: a", b"host: b", b"HOST:"):
        refusal = refusal_of_block(block_of(b"Host: a", second))
        assert str(refusal) == "400 There is more than one Host field."


@pytest.mark.parametrize(("value", "length"), [(b"0", 0), (b"5", 5), (b"007", 7), (b"5\t", 5), (b"9" * 18, 10**18 - 1)])
def test_a_good_content_length_is_a_number(value: bytes, length: int) -> None:
    fields = fields_of(b"Content-Length: " + value)
    assert fields.content_length == length
    assert not fields.chunked


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"a", b"5a", b"+5", b"-5", b"5.0", b"0x5", b"1_0", b"5 5", b"5, 5", b"5,6", b"5;", b'"5"', b"\xb2"),
        *(b"9" * 19, b"18446744073709551621", b"9" * 5000),
    ],
)
def test_a_bad_content_length_is_400(value: bytes) -> None:
    assert status_of(block_of(b"Content-Length: " + value)) == 400


@pytest.mark.parametrize("second", [b"5", b"6", b""])
def test_two_content_lengths_are_400_even_when_equal(second: bytes) -> None:
    refusal = refusal_of_block(block_of(b"Content-Length: 5", b"X: y", b"content-length: " + second))
    assert str(refusal) == "400 There is more than one Content-Length field."


def test_fields_that_httptools_does_not_find_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        def __init__(self, protocol: object) -> None:
            pass

        def feed_data(self, raw: bytes) -> None:
            pass

    monkeypatch.setattr("httptools.HttpRequestParser", Blind)
    assert parse_fields(b"\r\n").host is None
    assert status_of(block_of(b"Host: a")) == 400


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED "])
def test_chunked_is_understood(value: bytes) -> None:
    fields = fields_of(b"Transfer-Encoding: " + value)
    assert fields.chunked
    assert fields.has_transfer_encoding
    assert fields.content_length is None


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Transfer-Encoding: x-unknown,chunked"], 501),
        ([b"Transfer-Encoding: gzip", CHUNKED], 501),
        # Without chunked at the end nobody knows where the body ends (RFC 9112 6.3 asks for 400).
        ([b"Transfer-Encoding: gzip"], 400),
        ([b"Transfer-Encoding: identity"], 400),
        ([b"Transfer-Encoding: chunked, gzip"], 400),
        ([b"Transfer-Encoding: chunked, identity"], 400),
        ([CHUNKED, b"Transfer-Encoding: gzip"], 400),
        ([b"Transfer-Encoding: chunked, chunked"], 400),
        ([b"Transfer-Encoding: gzip, chunked, chunked"], 400),
        ([CHUNKED, CHUNKED], 400),
        ([b"Transfer-Encoding:"], 400),
        ([CHUNKED, b"Transfer-Encoding:"], 400),
        ([b"Transfer-Encoding: ,chunked"], 400),
        ([b"Transfer-Encoding: chunked,"], 400),
        ([b"Transfer-Encoding: chunked;q=1"], 400),
        ([b"Transfer-Encoding: xchunked"], 400),
        ([b"Transfer-Encoding: chunked x"], 400),
        ([b"Transfer-Encoding: 'chunked'"], 400),
        ([b"Transfer-Encoding: \x0bchunked"], 400),
        ([b"Transfer-Encoding: chunked\xa0"], 400),
        ([CHUNKED, b"Content-Length: 5"], 400),
        ([b"Content-Length: 5", CHUNKED], 400),
        ([b"Content-Length: 0", CHUNKED], 400),
        ([b"Content-Length: 5", b"Transfer-Encoding: gzip, chunked"], 400),
    ],
)
def test_any_other_transfer_coding_is_refused(lines: list[bytes], status: int) -> None:
    assert status_of(block_of(b"Host: a", *lines)) == status


@pytest.mark.parametrize(
    ("lines", "close", "keep_alive"),
    [
        ([b"Connection: close"], True, False),
        ([b"Connection: Close"], True, False),
        ([b"Connection: keep-alive"], False, True),
        ([b"Connection: Keep-Alive, Upgrade"], False, True),
        ([b"Connection: x,\tclose ,y"], True, False),
        ([b"Connection: ,,close"], True, False),
        ([b"Connection: x", b"Connection: close"], True, False),
        ([b"Connection: keep-alive, close"], True, True),
        ([b"Connection: closed, not-close, close=1, clo se"], False, False),
        ([b"Connection:"], False, False),
    ],
)
def test_connection_is_a_list_of_caseless_options(lines: list[bytes], close: bool, keep_alive: bool) -> None:
    fields = fields_of(*lines)
    assert (fields.close, fields.keep_alive) == (close, keep_alive)
    assert persistent(GET, fields) is not close
    assert persistent(GET_10, fields) is (keep_alive and not close)


@pytest.mark.parametrize("name", [b"If-Match", b"If-None-Match", b"if-modified-since", b"If-Unmodified-Since"])
def test_each_precondition_makes_a_request_conditional(name: bytes) -> None:
    assert fields_of(name + b": x").conditional
    assert not fields_of(b"X-" + name + b": x").conditional


def test_an_upgrade_with_a_body_keeps_its_body() -> None:
    fields = fields_of(b"Host: a", b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 5")
    assert fields.upgrade
    assert fields.content_length == 5


def test_as_many_fields_as_allowed_pass_and_one_more_is_431() -> None:
    lines = [b"X-%d: a" % number for number in range(MAX_FIELDS)]
    assert fields_of(*lines).get(b"x-99") == b"a"
    assert status_of(block_of(*lines, b"Y: a")) == 431


def test_a_block_of_the_largest_size_passes_and_one_byte_more_is_431() -> None:
    value = b"a" * (MAX_HEAD_BYTES - len(block_of(b"X: ")))
    assert fields_of(b"X: " + value).get(b"x") == value
    assert status_of(block_of(b"X: a" + value)) == 431


@given(st.binary(max_size=60))
def test_no_bytes_but_a_refusal_or_fields(raw: bytes) -> None:
    for block in (raw, b"X: " + raw + b"\r\n\r\n", b"Host: " + raw + b"\r\n\r\n"):
        with suppress(Malformed):
            parse_fields(block)
