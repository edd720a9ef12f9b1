# Methods over the wire: what HEAD and OPTIONS answer, what is refused, and that a refusal says why.
"""GET, HEAD, OPTIONS, and everything else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.server import Answer, Server, Servers, read_all, read_answer
from wsrv.engine.http.head import KNOWN_METHODS

ALLOW = "GET, HEAD, OPTIONS"
TARGETS = (
    *("/", "/small.txt", "/large.bin", "/empty", "/sub", "/sub?a=%20", "/none", "/.hidden", "/out", "/%zz", "/../x"),
    *("*", "http://other/", "/" + "a" * 9000, "/a#b", "/_wsrv/none"),
)
# Not Range, which means nothing to HEAD (RFC 9110 14.2).
# Those that hold for some targets and not for others, and those that make any request a bad one.
FIELDS = (
    *("If-None-Match: *", 'If-Match: "other"', "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"),
    *("If-Unmodified-Since: Mon, 01 Jan 1990 00:00:00 GMT", "Accept-Encoding: gzip"),
    *("Expect: x", "Content-Length: 0", "Content-Length: x", "Transfer-Encoding: gzip, chunked", "No colon"),
    *("Host: second", "Upgrade: h2c", "Max-Forwards: 0", "X: \x01", "Content-Length: 99999999", "Accept: text/plain"),
)


@pytest.fixture(scope="module")
def server(module_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_text("index")
    (root / "small.txt").write_text("small")
    (root / "large.bin").write_bytes(bytes(2_000_000))
    (root / "empty").touch()
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text("sub")
    (root / ".hidden").write_text("hidden")
    (root / "out").symlink_to("/etc/passwd")
    (root / "412.html").write_text("the site's own 412")
    return module_servers(root, "--workers", "1")


def ask(server: Server, method: str, target: str, *fields: str, version: str = "HTTP/1.1") -> Answer:
    """The answer to a request that is sent as it stands, on a connection of its own."""
    lines = (f"{method} {target} {version}", "Host: test", "Connection: close", *fields, "", "")
    return Answer(server.say("\r\n".join(lines).encode("latin-1")))


@given(
    target=st.sampled_from(TARGETS),
    fields=st.lists(st.sampled_from(FIELDS), max_size=3),
    version=st.sampled_from(("HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ")),
)
@settings(max_examples=100)
def test_head_is_gets_head_whatever_is_asked_for(server: Server, target: str, fields: list[str], version: str) -> None:
    get = ask(server, "GET", target, *fields, version=version)
    head = ask(server, "HEAD", target, *fields, version=version)
    assert head.body == b""
    assert (head.status, {**head.fields, "date": ""}) == (get.status, {**get.fields, "date": ""})
    # A length that is said is that of the body of GET.
    assert get.status == 304 or int(get.fields["content-length"]) == len(get.body)


def test_the_property_above_meets_every_kind_of_answer(server: Server) -> None:
    found = {ask(server, "HEAD", target).status for target in TARGETS}
    found |= {ask(server, "HEAD", "/", field).status for field in FIELDS}
    assert {200, 301, 304, 400, 403, 404, 412, 413, 414, 417, 501} <= found


@pytest.mark.parametrize("target", ["*", "/", "/none", "/small.txt", "http://other/small.txt"])
@pytest.mark.parametrize("field", ["X: y", "Max-Forwards: 0", "Content-Length: 0", "Origin: http://other"])
def test_options_says_what_is_allowed_and_nothing_else(server: Server, target: str, field: str) -> None:
    answer = ask(server, "OPTIONS", target, field)
    assert (answer.status, answer.fields["allow"], answer.body) == (204, ALLOW, b"")
    # RFC 9110 8.6.
    assert {"content-length", "transfer-encoding", "content-type"}.isdisjoint(answer.fields)


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 30\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n  ",
        b"Transfer-Encoding: chunked\r\n\r\n1e\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n  \r\n0\r\n\r\n",
    ],
)
def test_options_with_a_body_and_a_request_behind_it(server: Server, body: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + body)
        assert read_answer(sock).status == 204
        sock.sendall(b"GET /sub/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Answer(read_all(sock)).body == b"sub"


@pytest.mark.parametrize("path", ["/_wsrv/", "/_wsrv/stats.json"])
def test_options_of_the_servers_own_pages_tells_nothing_and_counts_as_internal(server: Server, path: str) -> None:
    before = server.stats()
    answer = ask(server, "OPTIONS", path)
    assert (answer.status, answer.body) == (204, b"")
    after = server.stats()
    assert after["internal_requests_total"] == before["internal_requests_total"] + 1
    assert after["requests_total"] == before["requests_total"]


@pytest.mark.parametrize("method", sorted(KNOWN_METHODS - {b"GET", b"HEAD", b"OPTIONS", b"CONNECT"}))
def test_known_method_is_405_and_the_connection_goes_on(server: Server, method: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(b"%b / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n" % method)
        answer = read_answer(sock)
        assert (answer.status, answer.fields["allow"]) == (405, ALLOW)
        # RFC 9110 9.3.8: a TRACE that is not refused would send this back.
        assert b"Max-Forwards" not in answer.raw
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Answer(read_all(sock)).body == b"index"


def test_connect_is_405_and_the_end_for_what_follows_may_be_meant_for_a_tunnel(server: Server) -> None:
    received = server.say(b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert received.count(b"HTTP/1.1 ") == 1
    answer = Answer(received)
    assert (answer.status, answer.fields["allow"], answer.fields["connection"]) == (405, ALLOW, "close")


@pytest.mark.parametrize("method", ["BREW", "get", "Get", "GETS", "M-SEARCH", "!"])
def test_unknown_method_is_501_without_allow(server: Server, method: str) -> None:
    answer = ask(server, method, "/")
    assert answer.status == 501
    assert "allow" not in answer.fields


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "The Host field is missing."),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "There is more than one Host field."),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "The request line is not method, target and version with one space"),
        (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "The request target holds a character that must be percent-encoded."),
        (b"GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "A percent sign is not followed by two"),
        (b"GET /../a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "The path climbs above the root."),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", "Whitespace stands between a header field&#x27;s name and"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "No expectation but 100-continue can be met."),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "The version is not HTTP/1.0 or HTTP/1.1."),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", "The body is longer than this"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "A chunk&#x27;s size is not a hex"),
        (b"GET / HTTP/1.1\r\nA: %b\r\n\r\n" % bytes(20_000), "The head holds a control character"),
        (b"GET / HTTP/1.1\r\nA: %b\r\n\r\n" % (b"a" * 20_000), "The header fields are too large."),
    ],
)
def test_a_refusal_says_why(server: Server, raw: bytes, sentence: str) -> None:
    answer = Answer(server.say(raw))
    assert f"<p>{sentence}" in answer.body.decode()
    assert answer.fields["content-length"] == str(len(answer.body))


def test_the_sites_own_page_says_what_the_site_wants(servers: Servers, site: Path) -> None:
    (site / "400.html").write_text("<h1>own</h1>")
    server = servers(site, "--workers", "1")
    assert Answer(server.say(b"GET / HTTP/1.1\r\n\r\n")).body == b"<h1>own</h1>"


@pytest.mark.parametrize("pieces", [[b"\r\n"], [b"\r", b"\n"], [b"\r\nG", b"ET"]])
def test_one_empty_line_before_a_request_is_passed_over_however_it_comes(server: Server, pieces: list[bytes]) -> None:
    with server.connect() as sock:
        for piece in pieces:
            sock.sendall(piece)
        rest = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[sum(map(len, pieces)) - 2 :]
        sock.sendall(rest)
        assert read_answer(sock).status == 200
        # Once for each request.
        sock.sendall(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(sock).status == 200
        sock.sendall(b"\r\n")
        sock.sendall(b"\r\n")
        assert Answer(read_all(sock)).status == 400
