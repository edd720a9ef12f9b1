"""`wsrv cache simulate --live`: what a server that runs is asked for."""

import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import wsrv
from tests.support.server import Server, Servers, read_answer

FILES = 16
BYTES = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.bin").write_bytes(os.urandom(BYTES))
    return folder


def simulate(server: Server, *args: str) -> Any:
    named = ("--runtime-dir", str(server.runtime), "--name", str(server.port))
    return wsrv("cache", "simulate", "--live", *args, *named)


@pytest.fixture
def asking() -> Iterator[threading.Event]:
    """Set when clients are to stop."""
    over = threading.Event()
    yield over
    over.set()


def go_round(server: Server, over: threading.Event) -> threading.Thread:
    """A client that asks for all files in turn, on one connection, until it is over."""

    def ask() -> None:
        with server.connect() as sock:
            for number in itertools.count():
                if over.is_set():
                    return
                sock.sendall(f"GET /{number % FILES}.bin HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                assert read_answer(sock).status == 200

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.parametrize("scope", ["process", "shared"])
def test_requests_are_replayed_in_order_and_none_is_missing(
    servers: Servers, root: Path, asking: threading.Event, scope: str
) -> None:
    server = servers(root, "--workers", "2", "--cache-scope", scope)
    thread = go_round(server, asking)
    sizes = [word for size in (8, 15, 16) for word in ("--size", str(size * BYTES))]
    run = simulate(server, "--seconds", "1s", *sizes, "--json")
    asking.set()
    thread.join()
    assert (run.returncode, run.stderr) == (0, "")
    said = json.loads(run.stdout)
    requests = said["trace"]["requests"]
    assert said["trace"]["formats"] == ["live"]
    assert (said["trace"]["objects"], said["trace"]["footprint_bytes"]) == (FILES, FILES * BYTES)
    assert requests > 2 * FILES
    assert 0.5 < said["trace"]["span_seconds"] < 30
    # Of a loop LRU misses all, until it fits: one request out of order, or missing, would be a hit too many or too few.
    if not said["trace"]["remarks"]:
        assert said["policies"]["lru"]["object_miss_ratio"] == [1.0, 1.0, FILES / requests]
    assert said["choice"]["size_bytes"] in (15_000, 16_000)
    assert "--cache-size" in said["choice"]["sentence"]


def test_a_share_of_the_keys_is_replayed_and_said_to_be_one(
    servers: Servers, root: Path, asking: threading.Event
) -> None:
    server = servers(root, "--workers", "1")
    thread = go_round(server, asking)
    shown = simulate(server, "--seconds", "1s", "--sample", "0.6", "--policy", "lru").stdout
    asking.set()
    thread.join()
    lines = shown.splitlines()
    assert lines[0].startswith(f"server {server.port}: ")
    assert " requests for about " in lines[0]
    assert any(line.startswith("sampled: 60.00 % of the objects: ") for line in lines)
    assert "  how far that is off is not known: nobody has noted the rest" in lines
    assert " saves some " in lines[-1]


def test_where_nobody_asks_there_is_nothing_to_measure(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    run = simulate(server, "--seconds", "100ms")
    assert run.returncode == 4
    assert run.stderr == f"wsrv: server {server.port}: nothing to measure: nobody asked for anything\n"


def test_without_a_server_it_ends_with_3(tmp_path: Path) -> None:
    run = wsrv("cache", "simulate", "--live", "--runtime-dir", str(tmp_path))
    assert (run.returncode, run.stderr) == (3, "wsrv: no server runs; start one with: wsrv serve\n")


@pytest.mark.parametrize(
    ("args", "why"), [((), "what to replay? files, or --live"), (("--live", "x"), "reads no files")]
)
def test_it_reads_files_or_listens(args: tuple[str, ...], why: str) -> None:
    run = wsrv("cache", "simulate", *args)
    assert run.returncode == 2
    assert why in run.stderr
