# The tables of raw requests and the lists of path traversal, over the other kinds of listeners: TLS, a Unix socket, and
# workers that accept for themselves. What the requests are to get stands in raw/ and test_traversal.py.
"""Hostile bytes get the same answers by whatever way they come."""

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_raw_requests import SHORT_BYTES, TABLE
from tests.integration.test_traversal import SECRET, targets
from tests.support.certificates import Authority, connect, options
from tests.support.raw import SECOND, SECOND_BODY, Raw, answers_in
from tests.support.server import Server, Servers, read_all, read_answer

# Where the tables are tested, each is; here the first are old when the last has come.
pytestmark = pytest.mark.not_linted("hundreds of answers a test, whose dates are long past at its end")

Connect = Callable[[], socket.socket]

ROWS = [row for row in TABLE if len(row.sent) <= SHORT_BYTES]
WAYS = ("tls", "unix", "inherit")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site, and secrets beside it and in it."""
    above = tmp_path_factory.mktemp("above")
    root = above / "site"
    (root / "d" / ".git").mkdir(parents=True)
    for path in (above / "secret.txt", root / ".htpasswd", root / "d" / ".git" / "config", root / "wsrv.toml"):
        path.write_bytes(SECRET)
    (root / "d" / "link").symlink_to(above)
    (root / "index.html").write_text("index")
    (root / "second").write_bytes(SECOND_BODY)
    return root


@pytest.fixture(scope="module")
def ways(root: Path, module_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Connect]:
    """How to connect, by the kind of listener."""
    folder = tmp_path_factory.mktemp("listeners")
    authority = Authority(folder / "tls")
    files = authority.issue("localhost")
    path = str(folder / "sock")
    places = ("--listen", "https://127.0.0.1:0", "--listen", f"unix:{path}", *options(files))
    server = module_servers(root, "--workers", "1", *places)
    port = int(server.url.rpartition(":")[2])
    context = authority.client()

    def unix() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        sock.connect(path)
        return sock

    accepting: Server = module_servers(root, "--workers", "1", "--ipc", "inherit")
    return {"tls": lambda: connect(port, context), "unix": unix, "inherit": accepting.connect}


def found(connected: Connect, row: Raw) -> tuple[list[int], bool]:
    """The statuses that the row and the request behind it get, and whether that one was answered."""
    with connected() as sock:
        sock.sendall(row.sent + SECOND)
        answers = answers_in(read_all(sock), to_head=row.sent.startswith(b"HEAD "))
    return [answer.status for answer in answers], answers[-1].body == SECOND_BODY


@pytest.mark.parametrize("way", WAYS)
def test_a_raw_request_gets_the_same_by_whatever_way_it_comes(ways: dict[str, Connect], way: str) -> None:
    wrong = []
    for row in ROWS:
        statuses, stays = found(ways[way], row)
        expected = [*row.gets, *([(200,)] if row.stays else [])]
        fits = len(statuses) == len(expected) and all(s in e for s, e in zip(statuses, expected, strict=True))
        if not fits or stays is not row.stays:
            wrong.append((row.sent, statuses, stays))
    assert not wrong


@pytest.mark.parametrize("way", WAYS)
def test_no_path_of_the_lists_leads_out_by_whatever_way_it_comes(ways: dict[str, Connect], way: str) -> None:
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(ways[way]())
        for target in targets()[::5]:
            sock.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            answer = read_answer(sock)
            assert b"root:" not in answer.raw, target
            assert answer.status in (200, 301, 308, 400, 403, 404, 414), target
            if answer.fields.get("connection") == "close":
                sock = undo.enter_context(ways[way]())
