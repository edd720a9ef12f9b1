# Field lines: names, values, folding, Host, how many and how long.
"""Rows for RFC 9112 5 and RFC 9110 5, 7.2."""

from tests.support.raw import Raw, bad, get, kept, ok

NAMES: tuple[Raw, ...] = (
    ok("9110 5.1", get(b"!#$%&'*+-.^_`|~0aZ: b")),
    ok("9110 5.1", get(b"A" * 1000 + b": b")),
    bad("5", get(b"No colon")),
    bad("5", get(b"Nocolon")),
    bad("5", get(b":")),
    bad("5", get(b": b")),
    bad("5", get(b"GET /a HTTP/1.1")),
    bad("5.1", get(b"A : b")),
    bad("5.1", get(b"A\t: b")),
    bad("5.1", get(b"Host : a", host=b"")),
    bad("5.1", get(b"Content-Length : 5") + b"hello"),
    bad("5.1", get(b"Transfer-Encoding : chunked") + b"0\r\n\r\n"),
    bad("9110 5.6.2", get(b"A B: c")),
    *(bad("9110 5.6.2", get(b"A%cB: c" % delimiter)) for delimiter in b'"(),/;<=>?@[\\]{}'),
    bad("9110 5.6.2", get(b"A\x00: b")),
    bad("9110 5.6.2", get(b"\x00A: b")),
    bad("9110 5.6.2", get(b"A\x1f: b")),
    bad("9110 5.6.2", get(b"A\x7f: b")),
    bad("9110 5.6.2", get(b"\xc3\x84: b")),
    bad("9110 5.6.2", get(b"A\r: b")),
    bad("9110 5.6.2", get(b"A\n: b")),
    bad("9110 5.6.2", get(b"\x0bA: b")),
)

VALUES: tuple[Raw, ...] = (
    ok("5", get(b"A:")),
    ok("5", get(b"A:b")),
    ok("5", get(b"A: \t b \t ")),
    ok("9110 5.5", get(b"A: b\tc  d")),
    ok("9110 5.5", get(b"A: \xc3\xa4\xff")),
    ok("9110 5.5", get(b"A: ::,;=\"'\\<>()[]{}@?/")),
    *(bad("9110 5.5", get(b"A: b%cc" % control)) for control in b"\x00\x01\x07\x08\x0b\x0c\x1a\x1b\x1f\x7f"),
    bad("9110 5.5", get(b"A: b\rc")),
    bad("9110 5.5", get(b"A: b\nc")),
    bad("9110 5.5", get(b"A: b\r")),
    bad("9110 5.5", get(b"A: b\nHost: c")),
    bad("9110 5.5", get(b"A: \r\r\n")),
)

FOLDS: tuple[Raw, ...] = (
    bad("5.2", get(b"A: b", b" c")),
    bad("5.2", get(b"A: b", b"\tc")),
    bad("5.2", get(b"A: b", b" ", b"B: c")),
    bad("5.2", get(b"A: b", b"\t")),
    bad("5.2", get(b"A:", b" b")),
    bad("5.2", get(b" b", host=b"Host: a")),
    bad("5.2", get(b"Transfer-Encoding:", b" chunked") + b"0\r\n\r\n"),
    bad("5.2", get(b"Content-Length:", b" 5") + b"hello"),
    bad("2.2", get(b" Host: a", host=b"")),
    bad("2.2", get(b"\tHost: a", host=b"")),
    bad("2.2", get(b" ", b"Host: a", host=b"")),
)

HOSTS: tuple[Raw, ...] = (
    bad("3.2", get(host=b"")),
    bad("3.2", get(b"Host: b")),
    bad("3.2", get(b"Host: a")),
    bad("3.2", get(b"X: y", b"host: a")),
    kept("3.2", get(host=b"Host:"), 200, 400),
    kept("3.2", get(host=b"Host: \t "), 200, 400),
    *(
        ok("9110 7.2", get(host=b"Host: " + good))
        for good in (
            *(
                b"a:",
                b"a:80",
                b"a:65535",
                b"a:0",
                b"A.EXAMPLE",
                b"a.",
                b"a_b",
                b"a-b",
                b"1.2.3.4",
                b"999.1.1.1",
                b"%41",
            ),
            *(b"[::1]", b"[::1]:80", b"[2001:DB8::1]", b"[::ffff:1.2.3.4]", b"[v1.a:b]", b"xn--4ca", b"!$&'()*+;="),
        )
    ),
    *(
        bad("9110 7.2", get(host=b"Host: " + wrong))
        for wrong in (
            *(b"a b", b"a\tb", b"a/", b"a/b", b"http://a", b"//a", b"u@a", b"u:p@a", b"a?b", b"a#b", b"a\\b"),
            *(b'"a"', b"<a>", b"a:b", b"a:65536", b"a:99999999999999999999", b"a:-1", b"a:+80", b"a: 80", b"a:80:80"),
            *(b":80", b":", b"::1", b"[::1", b"::1]", b"[]", b"[::1]x", b"[::1]80", b"[1.2.3.4]", b"[:::1]", b"[g::1]"),
            *(b"[fe80::1%eth0]", b"[fe80::1%25eth0]", b"[1:2:3:4:5:6:7:8:9]", b"[v.a]", b"%", b"%4", b"%zz", b"a^b"),
            *(b"\xc3\xa4", b"a|b", b"{a}", b"a`b", b"a" * 300, b"a\x00b", b"a\x7fb"),
        )
    ),
    # A comma is a host's right (RFC 3986 3.2.2), a space is not.
    bad("9110 7.2", get(host=b"Host: a, b")),
    ok("3.2", get(host=b"", line=b"GET / HTTP/1.0\r\nConnection: keep-alive")),
    bad("3.2", get(b"Host: b", line=b"GET / HTTP/1.0")),
    bad("3.2", get(host=b"Host: a b", line=b"GET / HTTP/1.0")),
    ok("9110 5.1", get(host=b"hOsT:a")),
)

BOUNDS: tuple[Raw, ...] = (
    ok("9110 5.4", get(*(b"A: b",) * 99)),
    bad("9110 5.4", get(*(b"A: b",) * 100), 431),
    bad("9110 5.4", get(*(b"A%d: b" % number for number in range(5000))), 431),
    ok("9110 5.4", get(b"A: " + b"b" * 8000)),
    bad("9110 5.4", get(b"A: " + b"b" * 17_000), 431),
    bad("9110 5.4", get(b"A: " + b"b" * 100_000), 431),
    bad("9110 5.4", get(b"A" * 17_000 + b": b"), 400, 431),
    bad("9110 5.4", get(*(b"A: " + b"b" * 1000,) * 20), 431),
    bad("9110 5.4", get(b"Cookie: " + b"a=b; " * 5000), 431),
    bad("9110 5.4", b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 20_000, 431),
)

MEANINGS: tuple[Raw, ...] = (
    ok("9110 8.3", get(b"Content-Type: a", b"Content-Type: b")),
    ok("9110 5.3", get(b"Accept: a", b"Accept: b", b"accept: c")),
    ok("9110 14.2", get(b"Range: x")),
    ok("9110 14.2", get(b"Range: bytes=")),
    ok("9110 14.2", get(b"Range: bytes=5-2")),
    ok("9110 14.2", get(b"Range: lines=1-2")),
    ok("9110 13.1.3", get(b"If-Modified-Since: yesterday")),
    ok("9110 13.1.2", get(b"If-None-Match: unquoted")),
    ok("9110 12.5.3", get(b"Accept-Encoding: ;;q=2,,")),
    ok("9110 12.5.1", get(b"Accept: ,,/;;q=")),
    ok("9110 11.6.2", get(b"Authorization: x")),
    ok("9110 6.6.1", get(b"Date: now")),
    ok("9110 7.6.2", get(b"Max-Forwards: -1")),
    ok("9110 10.1.3", get(b'Referer: "\\', b'User-Agent: "\\"')),
    ok("9110 7.8", get(b"Upgrade: websocket", b"Connection: Upgrade")),
    ok("9110 7.8", get(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk")),
    bad("9110 10.1.1", get(b"Expect: x"), 417),
    bad("9110 10.1.1", get(b"Expect: 100-continue, x"), 417),
    bad("9110 10.1.1", get(b"Expect: 100-continue;q=1"), 417),
    bad("9110 10.1.1", get(b"Expect: 100"), 417),
    ok("9110 10.1.1", get(b"Expect: 100-continue")),
    ok("9110 10.1.1", get(b"Expect: x", b"Connection: keep-alive", line=b"GET / HTTP/1.0")),
)

ROWS = (*NAMES, *VALUES, *FOLDS, *HOSTS, *BOUNDS, *MEANINGS)
