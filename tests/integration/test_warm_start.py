"""A worker that comes after a dead one has what that one was asked for most, before it answers anybody."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.test_cache_inspect import ask_often, inspect
from tests.support.server import Server, Servers, wait_for

COUNT = 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number}.bin").write_bytes(os.urandom(2000))
    (folder / "page.html").write_text("<p>word</p>\n" * 500)
    return folder


def bequeathed(server: Server) -> int:
    found: int = inspect(server)["workers"][0]["bequeathed"]
    return found


def kill_and_wait(server: Server, number: signal.Signals) -> None:
    worker = server.workers()[0]
    restarts = server.stats()["workers"][0]["restarts"]
    worker.send_signal(number)
    wait_for(lambda: server.stats()["workers"][0]["restarts"] > restarts, "the successor")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_successor_has_the_hottest_entries_before_it_is_asked(
    servers: Servers, root: Path, number: signal.Signals
) -> None:
    server = servers(root, "--workers", "1")
    ask_often(server, {f"/{n}.bin": 2 for n in range(COUNT)})
    server.get("/page.html", "Accept-Encoding: gzip")
    wait_for(lambda: bequeathed(server) == COUNT + 1, "the list to be written")
    kill_and_wait(server, number)
    found = inspect(server, "--top", "0")
    assert {(entry["path"], entry["coding"]) for entry in found["entries"]} == {
        *((f"/{n}.bin", "") for n in range(COUNT)),
        ("/page.html", "gzip"),
    }
    assert sum(entry["hits"] for entry in found["entries"]) == 0
    misses = server.stats()["cache"]["misses"]
    ask_often(server, {f"/{n}.bin": 1 for n in range(COUNT)})
    assert server.stats()["cache"]["misses"] == misses, "all of them are hits"
    assert server.get("/7.bin").body == (root / "7.bin").read_bytes()


def test_what_has_changed_or_gone_meanwhile_is_as_it_is_now(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    ask_often(server, {"/1.bin": 2, "/2.bin": 2, "/3.bin": 2})
    wait_for(lambda: bequeathed(server) == 3, "the list to be written")
    worker = server.workers()[0]
    worker.send_signal(signal.SIGSTOP)
    (root / "1.bin").write_bytes(b"another")
    (root / "2.bin").unlink()
    kill_and_wait(server, signal.SIGKILL)
    assert server.get("/1.bin").body == b"another"
    assert server.get("/2.bin").status == 404
    assert server.get("/3.bin").body == (root / "3.bin").read_bytes()


def test_a_worker_that_dies_before_it_is_ready_leaves_nothing_that_could_kill_the_next(
    servers: Servers, root: Path
) -> None:
    """Two in a row: the second begins with what the first had, and so does the third."""
    server = servers(root, "--workers", "1")
    ask_often(server, {"/1.bin": 3})
    wait_for(lambda: bequeathed(server) == 1, "the list to be written")
    kill_and_wait(server, signal.SIGKILL)
    wait_for(lambda: [entry["path"] for entry in inspect(server)["entries"]] == ["/1.bin"], "the entry")
    # The successor has been asked for nothing, so it has nothing to leave.
    assert bequeathed(server) == 0
    kill_and_wait(server, signal.SIGKILL)
    assert inspect(server)["entries"] == []
