# What a client gets: one server, one site, every status that can be provoked from outside.
"""Answers of a running server."""

import os
import socket
from pathlib import Path

import pytest

from tests.support.server import Answer, Server, Servers, read_all, read_answer, wait_for

BIG = os.urandom(3_000_000)
MEDIUM = os.urandom(200_000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_text("<!doctype html><title>index</title>\n")
    (root / "big.bin").write_bytes(BIG)
    (root / "medium.bin").write_bytes(MEDIUM)
    (root / "empty.txt").touch()
    (root / "with space & ä.txt").write_text("odd name")
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_text("sub")
    (root / "bare").mkdir()
    (root / ".secret").write_text("secret")
    (root / "405.html").write_text("the site's own 405")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("outside")
    (root / "leaves").symlink_to(outside / "secret.txt")
    (root / "stays").symlink_to("index.html")
    return root


@pytest.fixture(scope="module", params=["process", "shared"])
def server(module_servers: Servers, root: Path, request: pytest.FixtureRequest) -> Server:
    return module_servers(root, "--workers", "2", "--timeout", "3s", "--cache-scope", request.param)


def test_index_of_the_root(server: Server, root: Path) -> None:
    answer = server.get("/")
    assert answer.status == 200
    assert answer.body == (root / "index.html").read_bytes()
    assert answer.fields["content-type"] == "text/html; charset=utf-8"
    assert answer.fields["content-length"] == str(len(answer.body))
    assert {"date", "server", "last-modified", "etag"} <= set(answer.fields)


@pytest.mark.parametrize(
    "name", ["big.bin", "medium.bin", "empty.txt", "sub/", "stays", "with%20space%20&%20%C3%A4.txt"]
)
def test_bytes_are_those_of_the_file(server: Server, root: Path, name: str) -> None:
    files = {"sub/": "sub/index.html", "with%20space%20&%20%C3%A4.txt": "with space & ä.txt"}
    expected = (root / files.get(name, name)).read_bytes()
    for _ in range(3):
        assert server.get(f"/{name}").body == expected


def test_head_is_get_without_its_body(server: Server) -> None:
    for target in ("/", "/big.bin", "/medium.bin", "/nope", "/sub"):
        get, head = server.get(target), server.get(target, method="HEAD")
        assert head.body == b""
        assert {**get.fields, "date": ""} == {**head.fields, "date": ""}
        assert get.status == head.status


def test_directory_without_slash_is_301(server: Server) -> None:
    answer = server.get("/sub?a=1")
    assert answer.status == 301
    assert answer.fields["location"] == "/sub/?a=1"


@pytest.mark.parametrize("target", ["/nope", "/bare/", "/.secret", "/sub/nope", "/index.html/", "/%2fetc/passwd"])
def test_what_is_not_there_is_404(server: Server, target: str) -> None:
    assert server.get(target).status == 404


def test_link_that_leaves_the_root_is_403(server: Server) -> None:
    answer = server.get("/leaves")
    assert answer.status == 403
    assert b"outside" not in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/sub/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e%2fetc%2fpasswd",
        "//../etc/passwd",
        "/sub/%00/../../etc/passwd",
        "/%252e%252e/etc/passwd",
        "/./../etc/passwd",
        "/leaves/../../etc/passwd",
    ],
)
def test_traversal_finds_nothing(server: Server, target: str) -> None:
    answer = server.get(target)
    assert answer.status in (400, 403, 404)
    assert b"root:" not in answer.raw


def test_if_none_match_is_304_without_body(server: Server) -> None:
    etag = server.get("/").fields["etag"]
    answer = server.get("/", f"If-None-Match: {etag}")
    assert answer.status == 304
    assert answer.body == b""
    assert answer.fields["etag"] == etag
    assert server.get("/", 'If-None-Match: "other"').status == 200


def test_if_modified_since_is_304(server: Server) -> None:
    modified = server.get("/big.bin").fields["last-modified"]
    assert server.get("/big.bin", f"If-Modified-Since: {modified}").status == 304
    assert server.get("/big.bin", "If-Modified-Since: Mon, 01 Jan 1990 00:00:00 GMT").status == 200


def test_known_method_is_405_with_allow_and_the_sites_own_page(server: Server) -> None:
    answer = server.get("/", method="DELETE")
    assert answer.status == 405
    assert answer.fields["allow"] == "GET, HEAD, OPTIONS"
    assert answer.body == b"the site's own 405"


def test_unknown_method_is_501(server: Server) -> None:
    assert server.get("/", method="BREW").status == 501


MALFORMED = {
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET / HTTP/1.1\nHost: a\n\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": 400,
    b"GET / HTTP/2.0\r\nHost: a\r\n\r\n": 505,
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: br, chunked\r\n\r\n": 501,
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n": 414,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n": 431,
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n": 413,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc": 405,
}


@pytest.mark.parametrize(("raw", "status"), MALFORMED.items(), ids=lambda v: str(v)[:40])
def test_what_is_no_request_gets_its_status_and_a_close(server: Server, raw: bytes, status: int) -> None:
    answer = Answer(server.say(raw))
    assert answer.status == status
    assert answer.fields["connection"] == "close"
    assert server.get("/").status == 200


def test_head_that_never_ends_is_408(server: Server) -> None:
    assert Answer(server.say(b"GET / HTTP/1.1\r\nHost: a\r\n")).status == 408


def test_idle_connection_is_closed_without_a_word(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(sock).status == 200
        assert read_all(sock) == b""


def test_kept_alive_connection_answers_again_and_again(server: Server) -> None:
    with server.connect() as sock:
        for target in (b"/", b"/nope", b"/big.bin", b"/", b"/medium.bin", b"/sub", b"/"):
            sock.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            answer = read_answer(sock)
            assert "connection" not in answer.fields
            if target == b"/big.bin":
                assert answer.body == BIG
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Answer(read_all(sock)).status == 200


def test_http_1_0_is_closed_unless_it_asks_to_stay(server: Server) -> None:
    assert Answer(server.say(b"GET / HTTP/1.0\r\n\r\n")).fields["connection"] == "close"
    with server.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert read_answer(sock).fields["connection"] == "keep-alive"


def test_pipelined_answers_come_in_order(server: Server) -> None:
    targets = [b"/medium.bin", b"/nope", b"/", b"/big.bin", b"/sub", b"/empty.txt"] * 3
    raw = b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target for target in targets)
    with server.connect() as sock:
        sock.sendall(raw + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        received = read_all(sock)
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        answer = Answer(head + b"\r\n\r\n")
        length = int(answer.fields["content-length"])
        found.append((answer.status, rest[:length]))
        received = rest[length:]
    alone = {target: server.get(target.decode()) for target in set(targets)}
    assert found[:-1] == [(alone[target].status, alone[target].body) for target in targets]
    assert len(found) == len(targets) + 1


def test_request_in_single_bytes_is_answered(server: Server) -> None:
    with server.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert Answer(read_all(sock)).status == 200


def test_half_closed_client_gets_its_answer(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert Answer(read_all(sock)).body == BIG


def test_who_sends_a_long_body_before_he_reads_gets_his_answer(server: Server) -> None:
    body = bytes(8_000_000)
    with server.connect() as sock:
        sock.sendall(b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        sock.shutdown(socket.SHUT_WR)
        assert Answer(read_all(sock)).status == 405


@pytest.mark.parametrize("cut", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1"])
def test_half_closed_client_that_has_not_finished_is_told(server: Server, cut: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(cut)
        sock.shutdown(socket.SHUT_WR)
        answer = Answer(read_all(sock))
    assert (answer.status, answer.fields["connection"]) == (400, "close")


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 30\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n  ",
        b"Transfer-Encoding: chunked\r\n\r\n1e\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n  \r\n0\r\n\r\n",
        b"Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 30\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n  ",
    ],
)
def test_body_is_never_taken_for_a_request(server: Server, body: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + body)
        assert read_answer(sock).status == 200
        sock.sendall(b"GET /sub/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert Answer(read_all(sock)).body == b"sub"


def test_client_that_waits_for_100_continue_gets_it(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert read_answer(sock).status == 200


def test_changed_file_shows_within_a_second(server: Server, root: Path) -> None:
    page = root / "changes.html"
    with server.connect() as sock:
        for version in (b"one", b"two", b"six"):
            replacement = root / "changes.tmp"
            replacement.write_bytes(version)
            replacement.rename(page)

            def shows(expected: bytes = version) -> bool:
                sock.sendall(b"GET /changes.html HTTP/1.1\r\nHost: a\r\n\r\n")
                return read_answer(sock).body == expected

            wait_for(shows, f"{version!r} to show", seconds=1.2)


def test_deleted_file_is_404_within_a_second(server: Server, root: Path) -> None:
    page = root / "goes.html"
    page.write_text("there")
    assert wait_for(lambda: server.get("/goes.html").status == 200, "the page")
    page.unlink()
    wait_for(lambda: server.get("/goes.html").status == 404, "404", seconds=1.2)


def test_slow_reader_does_not_hold_others_up(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    readers = []
    for _ in range(20):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        readers.append(sock)
    assert server.get("/").status == 200
    assert server.get("/medium.bin").body == MEDIUM
    for sock in readers:
        with sock:
            assert Answer(read_all(sock)).body == BIG


def test_log_line_cannot_be_forged(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    server.say(b'GET /" 200 1 "-" "-"\n127.0.0.1 - - HTTP/1.1\r\nHost: a\r\n\r\n')
    server.get("/", 'User-Agent: "\\x\x1b[31m', 'Referer: a" "b')
    lines = server.log_lines(2)
    assert len(lines) == 2
    assert '"GET /\\x22 200 1' in lines[0]
    assert lines[0].count('"') == 6
    assert lines[1].count('"') == 6
