# One request behind another: when the connection ends, and what stands between.
"""Rows for RFC 9112 9 and 9.3.2."""

from tests.support.raw import Raw, chunked, get, last, ok

GET = get()
NONE = get(line=b"GET /none HTTP/1.1")
OLD = b"GET / HTTP/1.0"


def connection(value: bytes, *more: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request with this Connection."""
    return get(b"Connection: " + value, *more, line=line)


PERSISTENCE: tuple[Raw, ...] = (
    *(
        last("9.6", connection(value))
        for value in (
            *(b"close", b"Close", b"CLOSE", b"cLoSe", b" close\t", b"close, x", b"x,close", b"x ,close, y", b",close"),
            *(b"close,close", b"keep-alive, close", b"close, keep-alive", b"Upgrade, close", b"close,", b", ,close"),
        )
    ),
    *(
        ok("9.3", connection(value))
        for value in (
            *(
                b"",
                b"keep-alive",
                b"Keep-Alive",
                b"closed",
                b"xclose",
                b"close;x",
                b"close x",
                b'"close"',
                b"x",
                b",",
                b"host",
            ),
            *(b"content-length", b"Upgrade", b"close=1", b"x-close", b"clo se"),
        )
    ),
    last("9.6", connection(b"x", b"Connection: close")),
    last("9.6", connection(b"close", b"Connection: keep-alive")),
    last("9.6", connection(b"keep-alive", b"connection: Close")),
    ok("9.3", get(b"Proxy-Connection: close")),
    ok("9.3", get(b"Keep-Alive: timeout=0")),
    last("9.3", get(line=OLD)),
    last("9.3", connection(b"x", line=OLD)),
    last("9.3", connection(b"close", line=OLD)),
    last("9.3", connection(b"close, keep-alive", line=OLD)),
    last("9.3", connection(b"keep-alive, close", line=OLD)),
    last("9.3", get(b"Keep-Alive: 300", line=OLD)),
    last("9.3", get(b"Proxy-Connection: keep-alive", line=OLD)),
    ok("9.3", connection(b"keep-alive", line=OLD)),
    ok("9.3", connection(b"Keep-Alive", line=OLD)),
    ok("9.3", connection(b"x, keep-alive", line=OLD)),
    last("9.6", get(b"Connection: close", line=b"GET / HTTP/1.2")),
)

PIPELINES: tuple[Raw, ...] = (
    ok("9.3.2", GET * 20, 20),
    ok("9.3.2", GET * 200, 200),
    Raw("9.3.2", (GET + NONE) * 10, ((200,), (404,)) * 10, True),
    Raw("9.3.2", GET + chunked(b"5\r\nhello\r\n0\r\n\r\n") + NONE, ((200,), (200,), (404,)), True),
    Raw("9.3.2", GET + get(line=b"OPTIONS * HTTP/1.1") + GET, ((200,), (204,), (200,)), True),
    Raw("9.3.2", GET + get(line=b"BREW / HTTP/1.1") + GET, ((200,), (501,), (200,)), True),
    Raw("9.3.2", GET + get(line=b"PUT / HTTP/1.1") + GET, ((200,), (405,), (200,)), True),
    Raw("9.3.2", GET + get(line=b"GET /%zz HTTP/1.1") + GET, ((200,), (400,), (200,)), True),
    Raw("9.3.2", GET + b"garbage\r\n\r\n" + GET, ((200,), (400,)), False),
    Raw("9.3.2", GET + get(b"A : b") + GET, ((200,), (400,)), False),
    Raw("9.3.2", GET + get(host=b"") + GET, ((200,), (400,)), False),
    Raw("9.3.2", GET + get(b"Content-Length: 5", b"Transfer-Encoding: chunked") + GET, ((200,), (400,)), False),
    Raw("9.3.2", GET + bytes(10) + GET, ((200,), (400,)), False),
    ok("2.2", GET + b"\r\n" + GET, 2),
    ok("2.2", get(b"Content-Length: 5") + b"hello\r\n" + GET, 2),
    Raw("2.2", GET + b"\r\n\r\n" + GET, ((200,), (400,)), False),
    Raw("2.2", GET + b"\n" + GET, ((200,), (400,)), False),
    Raw("2.2", GET + b" " + GET, ((200,), (400,)), False),
    Raw("6.3", get(b"Content-Length: 4") + b"hello\r\n\r\n", ((200,), (400,)), False),
)

ENDINGS: tuple[Raw, ...] = (
    last("9.6", connection(b"close") + GET),
    last("9.6", connection(b"close") + b"garbage"),
    last("9.6", connection(b"close") + bytes(1000)),
    last("9.6", connection(b"close") + bytes(100_000)),
    last("9.6", get(line=OLD) + b"garbage\r\n\r\n"),
    Raw("9.6", GET + connection(b"close") + GET, ((200,), (200,)), False),
    Raw("9.6", connection(b"close", line=b"GET /none HTTP/1.1") + GET, ((404,),), False),
    Raw("9.6", connection(b"close", line=b"PUT / HTTP/1.1") + b"hello", ((405,),), False),
    last("9.6", get(b"Connection: close", b"Content-Length: 5") + b"hello" + GET),
    last("9110 9.3.2", connection(b"close", line=b"HEAD / HTTP/1.1")),
    Raw("9110 9.3.2", connection(b"close", line=b"HEAD /none HTTP/1.1"), ((404,),), False),
    Raw("9110 9.3.2", get(host=b"", line=b"HEAD / HTTP/1.1"), ((400,),), False),
    ok("9110 9.3.2", get(line=b"HEAD / HTTP/1.1")),
)

ROWS = (*PERSISTENCE, *PIPELINES, *ENDINGS)
