# Chunked bodies: sizes, extensions, data, trailers.
"""Rows for RFC 9112 7.1."""

from tests.support.raw import Raw, bad, chunked, ok

DECOY = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"0\r\n\r\n"


def sized(size: bytes, end: bytes = b"\r\n") -> bytes:
    """A request with a chunk of five bytes that says this of its size."""
    return chunked(size + end + b"hello\r\n" + LAST)


def trailed(*lines: bytes) -> bytes:
    """A request with these lines behind its last chunk."""
    return chunked(b"5\r\nhello\r\n0\r\n" + b"".join(line + b"\r\n" for line in (*lines, b"")))


SIZES: tuple[Raw, ...] = (
    ok("7.1", sized(b"5")),
    ok("7.1", sized(b"05")),
    ok("7.1", sized(b"000000000000005")),
    ok("7.1", chunked(b"a\r\n0123456789\r\nA\r\n0123456789\r\n" + LAST)),
    ok("7.1", chunked(b"000\r\n\r\n")),
    ok("7.1", chunked(b"1\r\na\r\n" * 200 + LAST)),
    ok("7.1", chunked(b"%x\r\n%b\r\n" % (len(DECOY), DECOY) + LAST)),
    ok("7.1", chunked(b"6\r\n0\r\n\r\n\n\r\n" + LAST)),
    *(
        bad("7.1", sized(wrong))
        for wrong in (
            *(b"", b" ", b"5 ", b" 5", b"\t5", b"5\t", b"+5", b"-5", b"-1", b"0x5", b"0X5", b"5h", b"g", b"x", b"5,5"),
            *(
                b"5.0",
                b"5_0",
                b"_5",
                b"5 5",
                b'"5"',
                b"\x005",
                b"5\x00",
                b"\x0b5",
                b"5\x0c",
                b"\xef\xbc\x95",
                b"\xd9\xa5",
            ),
            *(b"FFFFFFFFFFFFFFFF", b"10000000000000005", b"ffffffff00000005" + b"0", b"8000000000000000", b"f" * 300),
            *(b"0" * 300 + b"5", b"5\r", b"\r5", b"hello", b"GET / HTTP/1.1", b"5%"),
        )
    ),
    bad("7.1", sized(b"5", b"\n")),
    bad("7.1", sized(b"5", b"\r")),
    bad("7.1", sized(b"5", b"\n\r\n")),
    bad("7.1", sized(b"5", b"")),
    bad("9110 15.5.14", chunked(b"fffffff\r\n" + b"a" * 2_000_000), 413),
    bad("7.1", chunked(b"-0\r\n\r\n")),
    bad("7.1", chunked(b"+0\r\n\r\n")),
    bad("7.1", chunked(b"0x0\r\n\r\n")),
    bad("7.1", chunked(b"0 \r\n\r\n")),
    bad("7.1", chunked(b"0\n\r\n")),
    bad("7.1", chunked(b"0\n\n")),
    bad("7.1", chunked(b"0\r\n\n")),
    bad("7.1", chunked(b"0\r\n\rX")),
    bad("7.1", chunked(b"0\r\r\n\r\n")),
)

EXTENSIONS: tuple[Raw, ...] = (
    ok("7.1.1", sized(b"5;a")),
    ok("7.1.1", sized(b"5;a=b")),
    ok("7.1.1", sized(b"5;a=b;c;d=e")),
    ok("7.1.1", sized(b'5;a="b c"')),
    ok("7.1.1", sized(b'5;a="\\""')),
    ok("7.1.1", sized(b'5;a="0\\r\\n;"')),
    ok("7.1.1", chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n")),
    *(
        bad("7.1.1", sized(wrong))
        for wrong in (
            *(b"5;", b"5;;a", b"5;a=", b"5;=b", b"5; a", b"5 ;a", b"5;a =b", b"5;a= b", b"5;a ", b"5;\ta", b'5;a="b'),
            *(
                b'5;a="b"c',
                b"5;a=b c",
                b"5;a\x00",
                b"5;\x00",
                b"5;a=\x01",
                b'5;a="\x00"',
                b"5;a\x7f",
                b"5;\xff",
                b"5;a\rb",
            ),
            *(b"5;a=" + b"b" * 300, b"5" + b";a=b" * 100, b"5:a", b"5?a", b"5,a", b"5=a", b"5;a,b", b"5;a/b", b"5;(a)"),
        )
    ),
    bad("7.1.1", sized(b"5;a", b"\n")),
    bad("7.1.1", sized(b"5;a", b"\r")),
    bad("7.1.1", sized(b'5;a="b\r\nc"')),
    bad("7.1.1", chunked(b"5;a\nhello\r\n0\r\n\r\n" + DECOY)),
)

DATA: tuple[Raw, ...] = (
    bad("7.1", chunked(b"5\r\nhelloX\r\n" + LAST)),
    bad("7.1", chunked(b"5\r\nhello" + LAST)),
    bad("7.1", chunked(b"5\r\nhello\n" + LAST)),
    bad("7.1", chunked(b"5\r\nhello\r" + LAST)),
    bad("7.1", chunked(b"5\r\nhello\r\r\n" + LAST)),
    bad("7.1", chunked(b"5\r\nhello \r\n" + LAST)),
    bad("7.1", chunked(b"5\r\nhel\r\n" + LAST)),
    bad("7.1", chunked(b"4\r\nhello\r\n" + LAST)),
    bad("7.1", chunked(b"5\r\nhello\r\n\r\n" + LAST)),
    bad("7.1", chunked(b"\r\n5\r\nhello\r\n" + LAST)),
    bad("7.1", chunked(b"5\r\nhello\n\r" + LAST)),
)

TRAILERS: tuple[Raw, ...] = (
    ok("7.1.2", trailed(b"A: b")),
    ok("7.1.2", trailed(b"A: b", b"C:", b"D: \xff")),
    ok("9110 6.5.1", trailed(b"Host: b")),
    ok("9110 6.5.1", trailed(b"Connection: close")),
    bad("9110 6.5.1", trailed(b"Content-Length: 5")),
    bad("9110 6.5.1", trailed(b"Transfer-Encoding: chunked")),
    bad("7.1.2", trailed(b"No colon")),
    bad("7.1.2", trailed(b": b")),
    bad("7.1.2", trailed(b"A : b")),
    bad("7.1.2", trailed(b" A: b")),
    bad("7.1.2", trailed(b"A: b", b" c")),
    bad("7.1.2", trailed(b"A: \x00")),
    bad("7.1.2", trailed(b"A: b\rc")),
    bad("7.1.2", trailed(b"A: b\nc: d")),
    bad("7.1.2", trailed(b"A@: b")),
    bad("7.1.2", trailed(b"A: " + b"b" * 10_000), 400, 431),
    bad("7.1.2", trailed(*(b"A: b",) * 200), 400, 431),
    bad("7.1.2", trailed(b"GET /second HTTP/1.1")),
)

ROWS = (*SIZES, *EXTENSIONS, *DATA, *TRAILERS)
