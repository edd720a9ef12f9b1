# Request lines: methods, versions, line ends, and what stands around them.
"""Rows for RFC 9112 2 and 3."""

from tests.support.raw import Raw, bad, get, kept, ok


def line(raw: bytes) -> bytes:
    """A request with this request line."""
    return get(line=raw)


REST = b"\r\nHost: a\r\n\r\n"

SPACES: tuple[Raw, ...] = (
    ok("3", line(b"GET / HTTP/1.1")),
    bad("3", line(b"GET  / HTTP/1.1")),
    bad("3", line(b"GET /  HTTP/1.1")),
    bad("3", line(b"GET\t/ HTTP/1.1")),
    bad("3", line(b"GET /\tHTTP/1.1")),
    bad("3", line(b"GET\x0b/ HTTP/1.1")),
    bad("3", line(b"GET\x0c/ HTTP/1.1")),
    bad("3", line(b"GET\xa0/ HTTP/1.1")),
    bad("2.2", line(b" GET / HTTP/1.1")),
    bad("2.2", line(b"\tGET / HTTP/1.1")),
    bad("3", line(b"GET / HTTP/1.1 ")),
    bad("3", line(b"GET / HTTP/1.1\t")),
    bad("3", line(b"GET / HTTP/1.1 x")),
    bad("3", line(b"GET / x HTTP/1.1")),
    bad("3", line(b"GET/ HTTP/1.1")),
    bad("3", line(b"GET /HTTP/1.1"), 400, 505),
    bad("3", line(b"GET / HTTP/1.1,")),
    bad("3", line(b"GET")),
    bad("3", line(b"GET ")),
    bad("3", line(b"GET HTTP/1.1")),
    bad("3", line(b"GET  HTTP/1.1")),
    bad("3", line(b" / HTTP/1.1")),
    bad("3", line(b"/ HTTP/1.1")),
    bad("3", line(b"HTTP/1.1 200 OK")),
)

METHODS: tuple[Raw, ...] = (
    kept("9110 9.1", line(b"get / HTTP/1.1"), 400, 501),
    kept("9110 9.1", line(b"Get / HTTP/1.1"), 400, 501),
    kept("9110 9.1", line(b"GETT / HTTP/1.1"), 501),
    kept("9110 9.1", line(b"!#$%&'*+-.^_`|~ / HTTP/1.1"), 501),
    kept("9110 9.1", line(b"A" * 200 + b" / HTTP/1.1"), 501),
    bad("3", line(b"A" * 9000 + b" / HTTP/1.1"), 400, 414, 501),
    kept("9110 15.5.6", line(b"POST / HTTP/1.1"), 405),
    kept("9110 15.5.6", line(b"PUT / HTTP/1.1"), 405),
    kept("9110 15.5.6", line(b"DELETE / HTTP/1.1"), 405),
    kept("9110 9.3.8", line(b"TRACE / HTTP/1.1"), 405, 501),
    kept("9110 9.3.7", line(b"OPTIONS / HTTP/1.1"), 200, 204),
    bad("9110 5.6.2", line(b"G@T / HTTP/1.1")),
    bad("9110 5.6.2", line(b"G(T / HTTP/1.1")),
    bad("9110 5.6.2", line(b"G/T / HTTP/1.1")),
    bad("9110 5.6.2", line(b'"GET" / HTTP/1.1')),
    bad("9110 5.6.2", line(b"GET: / HTTP/1.1")),
    bad("9110 5.6.2", line(b"GET\x00 / HTTP/1.1")),
    bad("9110 5.6.2", line(b"\x00GET / HTTP/1.1")),
    bad("9110 5.6.2", line(b"G\xc3\x89T / HTTP/1.1")),
    bad("9110 5.6.2", line(b"\xef\xbb\xbfGET / HTTP/1.1")),
    bad("9110 5.6.2", line(b"GET\x7f / HTTP/1.1")),
)

VERSIONS: tuple[Raw, ...] = (
    # A higher minor version is taken for the highest that is known.
    ok("9110 2.5", line(b"GET / HTTP/1.2")),
    ok("9110 2.5", line(b"GET / HTTP/1.9")),
    bad("9110 15.6.6", line(b"GET / HTTP/2.0"), 400, 505),
    bad("9110 15.6.6", line(b"GET / HTTP/3.0"), 400, 505),
    bad("9110 15.6.6", line(b"GET / HTTP/0.9"), 400, 505),
    bad("9110 15.6.6", line(b"GET / HTTP/9.9"), 400, 505),
    bad("9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
    bad("2.3", line(b"GET / HTTP/1")),
    bad("2.3", line(b"GET / HTTP/11")),
    bad("2.3", line(b"GET / HTTP/1.")),
    bad("2.3", line(b"GET / HTTP/.1")),
    bad("2.3", line(b"GET / HTTP/1.10")),
    bad("2.3", line(b"GET / HTTP/01.1")),
    bad("2.3", line(b"GET / HTTP/1.01")),
    bad("2.3", line(b"GET / HTTP/1.1.1")),
    bad("2.3", line(b"GET / HTTP/1,1")),
    bad("2.3", line(b"GET / HTTP/+1.1")),
    bad("2.3", line(b"GET / HTTP/-1.1")),
    bad("2.3", line(b"GET / HTTP/1.a")),
    bad("2.3", line(b"GET / HTTP/a.1")),
    bad("2.3", line(b"GET / HTTP/\xd9\xa1.1")),
    bad("2.3", line(b"GET / http/1.1")),
    bad("2.3", line(b"GET / Http/1.1")),
    bad("2.3", line(b"GET / HTTPS/1.1")),
    bad("2.3", line(b"GET / HTP/1.1")),
    bad("2.3", line(b"GET / HTTP /1.1")),
    bad("2.3", line(b"GET / HTTP/ 1.1")),
    bad("2.3", line(b"GET / HTTP/1 .1")),
    bad("2.3", line(b"GET / HTTP 1.1")),
    bad("2.3", line(b"GET / HTTP\\1.1")),
    bad("2.3", line(b"GET / /1.1")),
    bad("2.3", line(b"GET / ICE/1.0")),
    bad("2.3", line(b"OPTIONS * RTSP/1.0")),
    bad("2.3", line(b"OPTIONS sip:a SIP/2.0")),
    bad("3", b"GET /\r\n\r\n", 400, 505),
    bad("3", b"GET / \r\n\r\n", 400, 505),
    bad("3", b"GET /\r\n", 400, 505),
)

ENDS: tuple[Raw, ...] = (
    ok("2.2", b"\r\n" + line(b"GET / HTTP/1.1")),
    bad("2.2", b"\r\n\r\n" + line(b"GET / HTTP/1.1")),
    bad("2.2", b"\r\n" * 5000 + line(b"GET / HTTP/1.1")),
    bad("2.2", b"\n" + line(b"GET / HTTP/1.1")),
    bad("2.2", b"\r" + line(b"GET / HTTP/1.1")),
    bad("2.2", b"\n\r\n" + line(b"GET / HTTP/1.1")),
    bad("2.2", b"\r\n\n" + line(b"GET / HTTP/1.1")),
    bad("2.2", b"\r\n " + line(b"GET / HTTP/1.1")),
    bad("2.2", b" \r\n" + line(b"GET / HTTP/1.1")),
    bad("2.2", b"GET / HTTP/1.1\nHost: a\n\n"),
    bad("2.2", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    bad("2.2", b"GET / HTTP/1.1\r\nHost: a\n\n"),
    bad("2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    bad("2.2", b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    bad("2.2", b"GET / HTTP/1.1\rHost: a\r\r"),
    bad("2.2", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    bad("2.2", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    bad("2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n"),
    bad("2.2", b"GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
    bad("2.2", b"GET / HTTP/1.1\x00" + REST),
    bad("2.2", b"GET / HTTP/1.1\x0b" + REST),
    bad("2.2", b"GET / HTTP/1.1\x85" + REST),
    bad("2.2", b"GET / HTTP/1.1\xe2\x80\xa8" + REST),
)

STRANGERS: tuple[Raw, ...] = (
    bad("3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\x20"),
    bad("3", b"SSH-2.0-OpenSSH_9.9\r\n"),
    bad("3", b"EHLO a\r\n"),
    bad("3", b"\x05\x01\x00"),
    bad("3", bytes(100)),
    bad("3", b"\xff" * 100 + b"\r\n"),
    bad("3", b'{"jsonrpc": "2.0"}\r\n'),
    bad("3", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    bad("3", b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c"),
    bad("3", b"stats\r\nquit\r\n"),
    bad("3", b'" 200 1 "-" "-"\n127.0.0.1 - - [x] "GET / HTTP/1.1\r\n\r\n'),
    bad("3", b"GET / HTTP/1.1\x1b[2J" + REST),
)

ROWS = (*SPACES, *METHODS, *VERSIONS, *ENDS, *STRANGERS)
