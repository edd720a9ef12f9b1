# As in test_ranges: three files, sent in three ways.
"""Parts of files that change, and of connections that are closed on one side."""

import os
import random
import socket
from pathlib import Path

import pytest

from tests.integration.test_ranges import CONTENTS, NAMES, ask
from tests.support.parts import parts_of
from tests.support.server import Answer, Server, Servers, read_all, read_answer, wait_for


@pytest.fixture(scope="module")
def server(module_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    for name, content in CONTENTS.items():
        (root / name).write_bytes(content)
    return module_servers(root, "--workers", "2")


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


@NAMES
def test_who_knows_only_a_date_resumes_by_it_as_soon_as_its_second_is_over(
    servers: Servers, site: Path, name: str
) -> None:
    content = CONTENTS[name]
    server = servers(site, "--workers", "1")
    (site / name).write_bytes(content)
    with server.connect() as sock:

        def resumed() -> Answer | None:
            ask(sock, name)
            modified = read_answer(sock).fields["last-modified"]
            ask(sock, name, "Range: bytes=1000-", f"If-Range: {modified}")
            answer = read_answer(sock)
            if answer.status == 206:
                return answer
            assert (answer.status, answer.body) == (200, content)
            return None

        answer = wait_for(resumed, "a part")
        assert answer is not None
        assert answer.body == content[1000:]
        assert answer.fields["date"] != answer.fields["last-modified"]


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
