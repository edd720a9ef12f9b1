"""`wsrv cache inspect`, `show` and `clear`: asking servers that run, are loaded, stand still or are not there."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import wsrv
from tests.support.server import Server, Servers, read_answer, wait_for
from wsrv.cli import figures

SIZES = {"a.bin": 100, "b.bin": 20_000, "c.bin": 3_000}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "img").mkdir(parents=True)
    for name, size in SIZES.items():
        (folder / name).write_bytes(os.urandom(size))
    (folder / "img" / "ü b%.txt").write_text("word " * 200)
    return folder


def cache(server: Server, *args: str) -> Any:
    return wsrv("cache", *args, "--runtime-dir", str(server.runtime), "--name", str(server.port))


def inspect(server: Server, *args: str) -> dict[str, Any]:
    run = cache(server, "inspect", "--json", *args)
    assert (run.returncode, run.stderr) == (0, "")
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def ask_often(server: Server, times: dict[str, int]) -> None:
    """Requests on one connection, so that one worker answers them all."""
    with server.connect() as sock:
        for target, number in times.items():
            for _ in range(number):
                sock.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                assert read_answer(sock).status == 200


def test_every_entry_is_listed_with_what_is_known_of_it(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1", "--cache-policy", "lfu")
    ask_often(server, {"/a.bin": 4, "/b.bin": 2, "/img/%C3%BC%20b%25.txt": 1})
    with server.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET /img/%C3%BC%20b%25.txt HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n")
            read_answer(sock)
    found = inspect(server)
    assert [(entry["path"], entry["coding"], entry["hits"]) for entry in found["entries"]] == [
        ("/a.bin", "", 3),
        ("/b.bin", "", 1),
        ("/img/ü%20b%25.txt", "gzip", 1),
        ("/img/ü%20b%25.txt", "", 0),
    ]
    first = found["entries"][0]
    assert (first["bytes"], first["worker"], first["host"]) == (100, 0, "")
    assert first["state"] == {"frequency": 4}
    assert 0 <= first["idle_seconds"] <= first["age_seconds"] < 60
    counted = server.stats()["cache"]
    assert sum(entry["hits"] for entry in found["entries"]) == counted["hits"]
    assert sum(entry["weight"] for entry in found["entries"]) == found["totals"]["size_bytes"] == counted["size_bytes"]
    assert found["totals"]["objects"] == counted["objects"] == 4


def test_they_are_sorted_filtered_and_cut(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    ask_often(server, {"/a.bin": 2, "/b.bin": 4, "/c.bin": 3, "/img/%C3%BC%20b%25.txt": 1})

    def names(*args: str) -> list[str]:
        return [entry["path"] for entry in inspect(server, *args)["entries"]]

    assert names("--sort", "hits", "--top", "2") == ["/b.bin", "/c.bin"]
    assert names("--sort", "bytes", "--filter", "*.bin") == ["/b.bin", "/c.bin", "/a.bin"]
    assert names("--sort", "weight", "--top", "1") == ["/b.bin"]
    assert names("--sort", "age", "--top", "1") == ["/a.bin"]
    assert names("--sort", "key", "--top", "3") == ["/a.bin", "/b.bin", "/c.bin"]
    assert names("--filter", "/img/**", "--top", "0") == ["/img/ü%20b%25.txt"]
    found = inspect(server, "--filter", "*.bin", "--top", "1")
    assert (found["totals"]["matching"], found["totals"]["objects"]) == (3, 4)


def test_the_table_fits_a_terminal(servers: Servers, root: Path) -> None:
    folder = root / ("long" * 20)
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.css").write_text(f"/* {number} */" * 500)
    server = servers(root, "--workers", "2", "--cache-policy", "wtinylfu", "--cache-size", "128KiB")
    for number in range(30):
        ask_often(server, {f"/{folder.name}/{number}.css": 3})
    run = cache(server, "inspect", "--top", "10")
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) == 80
    assert len(lines) <= 24
    assert "refused" in run.stdout
    assert "wtinylfu" in run.stdout


def test_it_says_who_left_why_and_for_whom(servers: Servers, root: Path) -> None:
    for number in range(6):
        (root / f"{number}.bin").write_bytes(os.urandom(20_000))
    server = servers(root, "--workers", "1", "--cache-size", "90KiB", "--cache-policy", "fifo")
    ask_often(server, {"/a.bin": 1, "/b.bin": 1, "/c.bin": 1})
    ask_often(server, {f"/{number}.bin": 1 for number in range(6)})
    (root / "5.bin").write_bytes(os.urandom(10_000))
    (root / "4.bin").unlink()

    def reasons() -> dict[str, tuple[str, str | None]]:
        for path in ("/5.bin", "/4.bin"):
            server.get(path)
        return {one["path"]: (one["reason"], one["pushed_by"]) for one in inspect(server)["departures"]}

    wait_for(lambda: {"/5.bin", "/4.bin"} <= set(reasons()), "both to be noticed")
    seen = reasons()
    assert seen["/a.bin"][0] == "capacity"
    assert seen["/a.bin"][1] in {f"/{number}.bin" for number in range(6)}
    assert seen["/5.bin"] == ("changed", None)
    assert seen["/4.bin"] == ("gone", None)


def test_an_entry_is_shown_with_everything_that_is_known(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1", "--cache-policy", "sieve")
    answer = server.get("/b.bin")
    ask_often(server, {"/b.bin": 2})
    run = cache(server, "show", "/b.bin", "--json")
    (entry,) = json.loads(run.stdout)["entries"]
    seen = (root / "b.bin").stat()
    assert entry["etag"] == answer.fields["etag"]
    assert ["ETag", answer.fields["etag"]] in entry["fields"]
    assert (entry["identity"]["ino"], entry["identity"]["mtime_ns"]) == (seen.st_ino, seen.st_mtime_ns)
    assert entry["state"] == {"queue": "ahead", "marked": True}
    assert entry["fresh_seconds"] <= 1
    assert {(one["method"], one["connection"]): one["hits"] for one in entry["prepared"]} == {
        ("GET", "close"): 0,
        ("GET", ""): 1,
    }
    text = cache(server, "show", "b.bin").stdout
    assert str(seen.st_ino) in text
    assert "ahead marked" in text
    missing = cache(server, "show", "/nothing.bin")
    assert (missing.returncode, missing.stdout) == (6, "")
    assert "no worker holds /nothing.bin" in missing.stderr


def test_entries_of_hosts_are_told_apart(servers: Servers, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.bin").write_bytes(b"the other")
    config = tmp_path / "wsrv.toml"
    config.write_text(f'[[host]]\nnames = ["other.example"]\nroot = "{other}"\n')
    server = servers(root, "--workers", "1", "--config", str(config))
    server.get("/a.bin")
    server.say(b"GET /a.bin HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")
    found = {entry["host"]: entry["bytes"] for entry in inspect(server)["entries"]}
    assert found == {"": 100, "other.example": 9}
    assert "other.example/a.bin" in cache(server, "inspect").stdout


def test_what_matches_is_cleared_in_all_workers_and_the_rest_stays(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    for _ in range(20):
        for name in SIZES:
            server.get(f"/{name}")
    before = inspect(server)
    assert before["totals"]["objects"] == 6, "both workers have had each file"
    run = cache(server, "clear", "/[ab].bin")
    assert run.stdout.startswith("0 entries"), "a bracket is a bracket"
    run = cache(server, "clear", "/b*")
    weight = sum(entry["weight"] for entry in before["entries"] if entry["path"] == "/b.bin")
    assert (run.returncode, run.stdout) == (0, f"2 entries dropped in 2 workers, {figures.size(weight)}B\n")
    after = inspect(server)
    assert {entry["path"] for entry in after["entries"]} == {"/a.bin", "/c.bin"}
    assert {one["reason"] for one in after["departures"]} == {"cleared"}
    assert server.get("/b.bin").body == (root / "b.bin").read_bytes()
    assert cache(server, "clear").stdout.startswith("5 entries dropped")
    assert inspect(server)["totals"]["size_bytes"] == 0


def test_a_pattern_that_is_none_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    for command in (("inspect", "--filter"), ("clear",)):
        run = wsrv("cache", *command, "a//b", "--runtime-dir", str(tmp_path))
        assert run.returncode == 2
        assert "'a//b' is no pattern" in run.stderr


@pytest.mark.parametrize("command", [("inspect",), ("show", "/a"), ("clear",)])
def test_without_a_server_the_status_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    run = wsrv("cache", *command, "--runtime-dir", str(tmp_path))
    assert (run.returncode, run.stdout) == (3, "")
    assert "no server runs" in run.stderr


def test_a_worker_that_stands_still_is_named_and_the_others_answer(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    for _ in range(10):
        server.get("/a.bin")
    stopped = server.workers()[1]
    stopped.send_signal(signal.SIGSTOP)
    try:
        run = cache(server, "inspect", "--json")
        assert run.returncode == 1
        assert run.stderr == "wsrv: worker 1 stands still and has not answered\n"
        found = json.loads(run.stdout)
        assert found["silent"] == [1]
        assert {entry["worker"] for entry in found["entries"]} == {0}
        run = cache(server, "clear")
        assert run.returncode == 1
        assert "in 1 workers" in run.stdout
    finally:
        stopped.send_signal(signal.SIGCONT)
    # When it goes on, it does what it was told.
    wait_for(lambda: inspect(server)["totals"]["objects"] == 0, "both caches to be empty")


def test_a_worker_that_is_killed_while_asked_is_not_waited_for(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    stopped = server.workers()[1]
    stopped.send_signal(signal.SIGSTOP)
    runs: list[Any] = []
    asking = threading.Thread(target=lambda: runs.append(cache(server, "inspect", "--json")))
    asking.start()
    stopped.kill()
    asking.join(20)
    found = json.loads(runs[0].stdout)
    # Before, while or after its successor came: it is gone, or the successor has answered.
    assert found["silent"] == []
    assert len(found["workers"]) + len(found["gone"]) == 2


@pytest.fixture
def load() -> Iterator[Any]:
    """Clients that ask for files in a circle, until the test is over."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    faults: list[str] = []

    def start(server: Server, bodies: dict[str, bytes]) -> list[str]:
        def ask() -> None:
            with server.connect() as sock:
                while not over.is_set():
                    for target, body in bodies.items():
                        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                        if read_answer(sock).body != body:
                            faults.append(target)

        threads.extend(threading.Thread(target=ask) for _ in range(4))
        for thread in threads:
            thread.start()
        return faults

    yield start
    over.set()
    for thread in threads:
        thread.join(20)


def test_thousands_of_entries_are_listed_and_cleared_under_load(servers: Servers, root: Path, load: Any) -> None:
    folder = root / "many"
    folder.mkdir()
    names = [f"{number:05}-{'x' * 200}.bin" for number in range(3000)]
    for name in names:
        (folder / name).write_bytes(name.encode())
    server = servers(root, "--workers", "1")
    with server.connect() as sock:
        for name in names:
            sock.sendall(f"GET /many/{name} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            read_answer(sock)
    faults = load(server, {f"/{name}": (root / name).read_bytes() for name in SIZES})
    found = inspect(server, "--top", "0", "--filter", "/many/**")
    assert {entry["path"] for entry in found["entries"]} == {f"/many/{name}" for name in names}
    assert found["totals"]["matching"] == 3000
    assert len(inspect(server, "--top", "1000")["entries"]) == 1000
    run = cache(server, "clear", "/many/**")
    assert run.stdout.startswith("3,000 entries dropped")
    assert inspect(server, "--filter", "/many/**")["entries"] == []
    assert faults == []
