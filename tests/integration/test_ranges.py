# Three files, sent in three ways: from one string, by writev, by sendfile. Each test asks for all of them.
"""Parts of files over real sockets: by curl, by wget, by readers of any speed, and of files that change."""

import os
import random
import re
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.conftest import Servers
from tests.support.server import Answer, Server, read_all, read_answer, wait_for

CONTENTS = {
    "small.bin": os.urandom(3000),
    "medium.bin": os.urandom(100 * 1024),
    "large.bin": os.urandom(3 * 1024 * 1024),
}
NAMES = pytest.mark.parametrize("name", CONTENTS)
CLIENT_SECONDS = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    for name, content in CONTENTS.items():
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def server(module_servers: Servers, root: Path) -> Server:
    return module_servers(root, "--workers", "2")


def parts_of(answer: Answer) -> list[tuple[int, bytes]]:
    """Where each part of a 206 begins, and its bytes. A reader of our own: by lines and lengths, not by boundaries."""
    kind = answer.fields["content-type"]
    if not kind.startswith("multipart/byteranges"):
        first, last = positions(answer.fields["content-range"])
        assert last - first + 1 == len(answer.body)
        return [(first, answer.body)]
    boundary = kind.partition("boundary=")[2].encode()
    rest, found = b"\r\n" + answer.body, []
    while not rest.startswith(b"\r\n--" + boundary + b"--"):
        head, _, rest = rest.partition(b"\r\n\r\n")
        opening, *lines = head[2:].split(b"\r\n")
        assert opening == b"--" + boundary
        fields = dict(line.split(b": ", 1) for line in lines)
        assert fields[b"Content-Type"] == b"application/octet-stream"
        first, last = positions(fields[b"Content-Range"].decode())
        found.append((first, rest[: last - first + 1]))
        rest = rest[last - first + 1 :]
    assert rest == b"\r\n--" + boundary + b"--\r\n"
    return found


def positions(content_range: str) -> tuple[int, int]:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/\d+", content_range)
    assert match is not None
    return int(match[1]), int(match[2])


def run(*command: str, cwd: Path) -> str:
    """What a client says; fails when it does."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    assert done.returncode == 0, done
    return done.stdout + done.stderr


# Clients.


@NAMES
@pytest.mark.parametrize(
    ("asked", "begin", "end"), [("0-0", 0, 1), ("100-199", 100, 200), ("2990-", 2990, None), ("-7", -7, None)]
)
def test_curl_gets_a_range(server: Server, tmp_path: Path, name: str, asked: str, begin: int, end: int | None) -> None:
    said = run("curl", "-sS", "-r", asked, "-o", "part", "-w", "%{http_code}", f"{server.url}/{name}", cwd=tmp_path)
    assert said == "206"
    assert (tmp_path / "part").read_bytes() == CONTENTS[name][begin:end]


@NAMES
def test_curl_gets_several_ranges(server: Server, tmp_path: Path, name: str) -> None:
    run("curl", "-sS", "-i", "-r", "0-9,100-1099,-10", "-o", "parts", f"{server.url}/{name}", cwd=tmp_path)
    content = CONTENTS[name]
    answer = Answer((tmp_path / "parts").read_bytes())
    assert answer.status == 206
    assert parts_of(answer) == [(0, content[:10]), (100, content[100:1100]), (len(content) - 10, content[-10:])]


@NAMES
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("client", ["curl", "wget"])
def test_a_broken_off_download_is_resumed(server: Server, tmp_path: Path, name: str, share: float, client: str) -> None:
    content = CONTENTS[name]
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    url = f"{server.url}/{name}"
    command = {"curl": ("curl", "-sS", "-C", "-", "-O", url), "wget": ("wget", "-nv", "--tries=1", "-c", url)}[client]
    run(*command, cwd=tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_wget_that_has_all_hears_so(server: Server, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(CONTENTS["large.bin"])
    said = run("wget", "--tries=1", "-c", f"{server.url}/large.bin", cwd=tmp_path)
    assert "416" in said
    assert "nothing to do" in said


def test_a_download_in_parts_by_several_clients_at_once_is_the_file(server: Server, tmp_path: Path) -> None:
    content = CONTENTS["large.bin"]
    step = len(content) // 7 + 1
    clients = [
        subprocess.Popen(
            [
                "curl",
                "-sS",
                "-f",
                "-r",
                f"{begin}-{begin + step - 1}",
                "-o",
                f"part-{begin}",
                f"{server.url}/large.bin",
            ],
            cwd=tmp_path,
        )
        for begin in range(0, len(content), step)
    ]
    assert [client.wait(CLIENT_SECONDS) for client in clients] == [0] * 7
    assert b"".join((tmp_path / f"part-{n}").read_bytes() for n in range(0, len(content), step)) == content


# Sockets.


def ask(sock: socket.socket, name: str, *fields: str, method: str = "GET") -> None:
    lines = (f"{method} /{name} HTTP/1.1", "Host: test", *fields, "", "")
    sock.sendall("\r\n".join(lines).encode("latin-1"))


SPANS = st.lists(st.tuples(st.floats(0, 1.1), st.floats(0, 0.5)), min_size=1, max_size=5)
READS = st.sampled_from((1 << 20, 65536, 8191))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(CONTENTS)), SPANS), min_size=1, max_size=4), READS, st.booleans())
def test_random_ranges_come_as_asked_and_the_connection_goes_on(
    server: Server, asked: list[tuple[str, list[tuple[float, float]]]], read_bytes: int, slow: bool
) -> None:
    with socket.socket() as sock:
        if slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", server.port))
        for name, spans in asked:
            content = CONTENTS[name]
            covered = bytearray(len(content))
            specs = []
            for at, share in spans:
                first = int(at * len(content))
                end = min(len(content), first + int(share * len(content)) + 1)
                specs.append(f"{first}-{max(first, end - 1)}")
                covered[first:end] = b"\1" * max(0, end - first)
            ask(sock, name, f"Range: bytes={','.join(specs)}")
            answer = read_slowly(sock, read_bytes) if slow else read_answer(sock)
            if not any(covered):
                assert answer.status == 416
                assert answer.fields["content-range"] == f"bytes */{len(content)}"
                continue
            assert answer.status == 206
            runs = [(m.start(), content[m.start() : m.end()]) for m in re.finditer(b"\1+", bytes(covered))]
            assert sorted(parts_of(answer)) == runs
        ask(sock, "small.bin")
        assert read_answer(sock).body == CONTENTS["small.bin"]


def read_slowly(sock: socket.socket, read_bytes: int) -> Answer:
    """One answer, read in small pieces."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += sock.recv(1)
    match = re.search(rb"\r\nContent-Length: (\d+)", raw)
    assert match is not None
    pieces, left = [raw], int(match[1])
    while left:
        piece = sock.recv(min(left, read_bytes))
        assert piece, "closed in the middle of a body"
        pieces.append(piece)
        left -= len(piece)
    return Answer(b"".join(pieces))


@NAMES
@pytest.mark.parametrize("fields", [(), ("Range: bytes=1-",), ("Range: bytes=0-99,200-",)])
def test_who_closes_his_side_after_asking_gets_the_whole_answer(
    server: Server, name: str, fields: tuple[str, ...]
) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", server.port))
        ask(sock, name, *fields)
        sock.shutdown(socket.SHUT_WR)
        answer = Answer(read_all(sock))
    assert len(answer.body) == int(answer.fields["content-length"])
    content = CONTENTS[name]
    if not fields:
        assert answer.body == content
    elif "," in fields[0]:
        assert parts_of(answer) == [(0, content[:100]), (200, content[200:])]
    else:
        assert parts_of(answer) == [(1, content[1:])]


def test_what_was_pipelined_before_the_half_close_is_answered_too(server: Server) -> None:
    with server.connect() as sock:
        for name in ("large.bin", "medium.bin", "small.bin"):
            ask(sock, name, "Range: bytes=5-")
        ask(sock, "small.bin")
        sock.shutdown(socket.SHUT_WR)
        received = read_all(sock)
    for content in (*(CONTENTS[name][5:] for name in ("large.bin", "medium.bin", "small.bin")), CONTENTS["small.bin"]):
        head, _, received = received.partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: %d\r\n" % len(content) in head + b"\r\n"
        assert received.startswith(content)
        received = received[len(content) :]
    assert received == b""


# Files that change.


@NAMES
def test_who_resumes_what_has_changed_gets_it_whole(servers: Servers, site: Path, name: str) -> None:
    old, new = CONTENTS[name], CONTENTS[name][::-1]
    (site / name).write_bytes(old)
    server = servers(site, "--workers", "1")
    with server.connect() as sock:
        ask(sock, name)
        tag = read_answer(sock).fields["etag"]
        (site / "new").write_bytes(new)
        (site / "new").rename(site / name)

        def noticed() -> Answer | None:
            ask(sock, name, "Range: bytes=1000-", f"If-Range: {tag}")
            answer = read_answer(sock)
            if answer.status == 206:
                assert answer.fields["etag"] == tag
                assert answer.body == old[1000:], "a part of the new file for who has the old one"
                return None
            return answer

        answer = wait_for(noticed, "the new file")
        assert answer is not None
        assert (answer.status, answer.body) == (200, new)

        def resumed() -> Answer | None:
            # A file that has not rested yet has a tag that never comes again: who resumes it gets it whole once more.
            ask(sock, name)
            tag = read_answer(sock).fields["etag"]
            ask(sock, name, "Range: bytes=1000-", f"If-Range: {tag}")
            answer = read_answer(sock)
            return answer if answer.status == 206 else None

        again = wait_for(resumed, "the rest of the new file")
        assert again is not None
        assert again.body == new[1000:]


_CUT = 50_000


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=0-9,100-"])
def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection_and_nothing_is_made_up(
    servers: Servers, site: Path, asked: str
) -> None:
    content = random.Random(4).randbytes(24 * 1024 * 1024)
    (site / "big").write_bytes(content)
    server = servers(site, "--workers", "1")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", server.port))
        ask(sock, "big", f"Range: {asked}")
        received = sock.recv(2000)
        os.truncate(site / "big", _CUT)
        received += read_all(sock)
    answer = Answer(received)
    assert answer.status == 206
    assert len(answer.body) < int(answer.fields["content-length"])
    sent = answer.body[answer.body.index(content[100:150]) :]
    there = _CUT - 100
    assert sent[:there] == content[100:_CUT]
    # The kernel sends pages, not copies: what it had taken and not sent yet, it has cut off with the file.
    assert all(was == is_ or not is_ for was, is_ in zip(content[_CUT:], sent[there:], strict=False))
    assert server.get("/index.html").status == 200
    line = next(line for line in server.log_lines(2) if "/big" in line)
    assert line.split('"')[2].split()[0] == "206"


# Counts.


def test_what_is_counted_and_logged_is_what_was_received(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    expected: list[tuple[str, str, int]] = []
    received = 0
    for name in CONTENTS:
        for asked in ("bytes=0-9", "bytes=5-,0-0", "bytes=0-9,20-", "bytes=9999999-", "bytes=x"):
            answer = server.get(f"/{name}", f"Range: {asked}")
            expected.append((name, str(answer.status), len(answer.body)))
            received += len(answer.raw)
    lines = server.log_lines(len(expected))
    logged = [(line.split("/")[3].split()[0], *line.split('"')[2].split()) for line in lines]
    assert sorted(logged) == sorted((name, status, str(size)) for name, status, size in expected)
    document = server.stats()
    assert document["responses"] == {"200": 3, "206": 9, "416": 3} | {
        status: 0 for status in document["responses"] if status not in ("200", "206", "416")
    }
    assert document["bytes_sent"] == received
