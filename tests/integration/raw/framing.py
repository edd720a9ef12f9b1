# Where a body ends: Content-Length, Transfer-Encoding, both, neither.
"""Rows for RFC 9112 6 and RFC 9110 8.6."""

from tests.support.raw import Raw, bad, get, kept, ok

HELLO = b"hello"
# What a body must not be taken for.
DECOY = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"0\r\n\r\n"


def length(value: bytes, *more: bytes, body: bytes = HELLO) -> bytes:
    """A request with this Content-Length."""
    return get(b"Content-Length: " + value, *more) + body


def coding(value: bytes, *more: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request with this Transfer-Encoding."""
    return get(b"Transfer-Encoding: " + value, *more, line=line) + LAST


LENGTHS: tuple[Raw, ...] = (
    ok("6.2", length(b"5")),
    ok("6.2", length(b"0", body=b"")),
    ok("6.2", length(b"\t5 \t")),
    ok("9110 8.6", length(b"005")),
    ok("9110 8.6", length(b"000000000000000005")),
    ok("6.3", length(b"%d" % len(DECOY), body=DECOY)),
    ok("6.3", length(b"%d" % len(DECOY * 100), body=DECOY * 100)),
    # "llo" begins the method of what follows.
    Raw("6.3", length(b"2"), ((200,), (501,)), False),
    *(
        bad("9110 8.6", length(wrong))
        for wrong in (
            *(
                b"",
                b" ",
                b"+5",
                b"-5",
                b"-0",
                b"0x5",
                b"5.0",
                b"5e0",
                b"5 5",
                b"5;",
                b'"5"',
                b"'5'",
                b"5,",
                b",5",
                b"V",
            ),
            *(
                b"5, 6",
                b"6, 5",
                b"5 , 6",
                b"5\x00",
                b"\x005",
                b"5_0",
                b"_5",
                b"\xef\xbc\x95",
                b"\xd9\xa5",
                b"five",
                b"5L",
            ),
            *(b"0o5", b"0b1", b"5\x0b", b"\x0c5", b"5%", b"NaN", b"Infinity", b"chunked", b"1" * 19, b"9" * 400),
            *(b"18446744073709551616", b"18446744073709551621", b"4294967301" + b"0" * 10, b"-18446744073709551611"),
        )
    ),
    bad("6.3", length(b"5, 5")),
    bad("6.3", length(b"5", b"Content-Length: 5")),
    bad("6.3", length(b"5", b"Content-Length: 6")),
    bad("6.3", length(b"5", b"content-length: 0")),
    bad("6.3", length(b"0", b"Content-Length: 5")),
    bad("6.3", length(b"5", b"Content-Length:")),
    bad("9110 15.5.14", length(b"99999999"), 413),
    bad("9110 15.5.14", length(b"999999999999999999"), 413),
    ok("6.2", get(b"Content-Length: 5", line=b"HEAD / HTTP/1.1") + HELLO),
    kept("9110 9.3.7", get(b"Content-Length: 5", line=b"OPTIONS / HTTP/1.1") + HELLO, 200, 204),
    # A body that nobody wants is not waited for.
    bad("9110 9.3.3", get(b"Content-Length: 5", line=b"POST / HTTP/1.1") + HELLO, 405),
    bad("9110 9.1", get(b"Content-Length: 5", line=b"BREW / HTTP/1.1") + HELLO, 501),
    ok("6.2", get(b"Content-Length: 5", b"Connection: keep-alive", line=b"GET / HTTP/1.0") + HELLO),
    kept("6.3", get(b"Content-Length: 5", line=b"GET /none HTTP/1.1") + HELLO, 404),
    ok("9110 5.1", get(b"Content_Length: 5")),
    ok("9110 7.8", length(b"%d" % len(DECOY), b"Upgrade: h2c", b"Connection: upgrade", body=DECOY)),
    ok("9110 7.8", length(b"5", b"Upgrade: websocket", b"Connection: Upgrade")),
)

CODINGS: tuple[Raw, ...] = (
    ok("6.1", coding(b"chunked")),
    ok("7", coding(b"CHUNKED")),
    ok("7", coding(b"ChUnKeD  ")),
    # Valid, sent by nobody, and llhttp refuses it.
    bad("7", coding(b"chunked\t")),
    ok("7", coding(b"\tchunked")),
    ok("9110 10.1.4", get(b"TE: chunked")),
    ok("9110 10.1.4", get(b"TE: trailers, deflate;q=0.5", b"Connection: TE")),
    ok("9110 8.4", get(b"Content-Encoding: chunked")),
    ok("9110 5.1", get(b"Transfer_Encoding: chunked")),
    ok("9110 5.1", get(b"X-Transfer-Encoding: chunked")),
    *(
        bad("6.1", coding(wrong), 400, 501)
        for wrong in (
            *(b"", b" ", b",", b"chunked, chunked", b"chunked,chunked", b"chunked chunked", b"chunked, gzip", b"gzip"),
            *(
                b"gzip, chunked",
                b"gzip,chunked",
                b"deflate, chunked",
                b"identity",
                b"identity, chunked",
                b"br, chunked",
            ),
            *(
                b"xchunked",
                b"x-chunked",
                b"chunkedx",
                b"chunke",
                b"chunk",
                b"chunked;q=1",
                b"chunked; a=b",
                b'"chunked"',
            ),
            *(
                b"'chunked'",
                b"chunked,",
                b",chunked",
                b"chunked, ,",
                b"cow",
                b"\x0bchunked",
                b"chunked\x0c",
                b"chunked\x00",
            ),
            *(b"\x00chunked", b"\xa0chunked", b"chunked\x85", b"c\xc4\xa5unked", b"[chunked]", b"chunked=1", b"null"),
        )
    ),
    bad("6.1", coding(b"chunked", b"Transfer-Encoding: chunked"), 400, 501),
    bad("6.1", coding(b"chunked", b"Transfer-Encoding: identity"), 400, 501),
    bad("6.1", coding(b"identity", b"Transfer-Encoding: chunked"), 400, 501),
    bad("6.1", coding(b"gzip", b"Transfer-Encoding: chunked"), 400, 501),
    bad("6.1", coding(b"chunked", line=b"GET / HTTP/1.0")),
    bad("6.1", coding(b"chunked", b"Connection: keep-alive", line=b"GET / HTTP/1.0")),
    bad("6.3", coding(b"chunked", b"Content-Length: 5")),
    bad("6.3", coding(b"chunked", b"Content-Length: 0")),
    bad("6.3", get(b"Content-Length: 5", b"Transfer-Encoding: chunked") + LAST),
    bad("6.3", get(b"Content-Length: 5", b"Transfer-Encoding: identity") + HELLO, 400, 501),
    bad("6.3", get(b"Content-Length: 5", b"Transfer-Encoding: x") + HELLO, 400, 501),
    bad("6.3", get(b"Content-Length: 5", b"Transfer-Encoding:") + HELLO, 400, 501),
    bad("9110 9.3.3", coding(b"chunked", line=b"POST / HTTP/1.1"), 405),
    ok("9110 7.8", coding(b"chunked", b"Upgrade: h2c", b"Connection: upgrade")),
)

EXPECTATIONS: tuple[Raw, ...] = (
    ok("9110 10.1.1", length(b"5", b"Expect: 100-continue")),
    ok("9110 10.1.1", length(b"5", b"Expect: 100-CONTINUE")),
    ok("9110 10.1.1", coding(b"chunked", b"Expect: 100-continue")),
    ok("9110 10.1.1", length(b"0", b"Expect: 100-continue", body=b"")),
    bad("9110 10.1.1", length(b"5", b"Expect: 200-ok"), 417),
    bad("9110 10.1.1", length(b"99999999", b"Expect: 100-continue", body=b""), 413),
    bad("9110 10.1.1", get(b"Content-Length: 5", b"Expect: 100-continue", line=b"PUT / HTTP/1.1") + HELLO, 405),
)

ROWS = (*LENGTHS, *CODINGS, *EXPECTATIONS)
