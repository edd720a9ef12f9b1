# Three files, sent in three ways: from one string, by writev, by sendfile. Each test asks for all of them.
"""Parts of files over real sockets: by curl, by wget, by readers of any speed."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.parts import parts_of
from tests.support.server import Answer, Server, Servers, read_answer

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
