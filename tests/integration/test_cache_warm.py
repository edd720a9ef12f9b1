"""`wsrv cache warm`: files that are in every cache before anybody asks."""

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, wsrv
from tests.integration.test_cache_inspect import ask_often, cache, inspect
from tests.support.server import Servers, wait_for

FILES = {
    "index.html": 50,
    "a.css": 400,
    "img/1.png": 3000,
    "img/deep/2.png": 30_000,
    "img/index.html": 60,
    ".git/config": 10,
    "ü b.txt": 700,
    "large.bin": 200_000,
}
SHOWN = {"/", "/a.css", "/img/1.png", "/img/deep/2.png", "/img/", "/ü%20b.txt"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for name, size in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(size).hex()[:size].encode())
    # Neither round in circles nor out of the root.
    (folder / "img" / "circle").symlink_to("..")
    (folder / "outside.txt").symlink_to("/etc/passwd")
    (folder / "within.css").symlink_to("a.css")
    return folder


def test_everything_that_can_be_held_is_loaded_in_every_worker(servers: Servers, root: Path, tmp_path: Path) -> None:
    config = tmp_path / "wsrv.toml"
    config.write_text('[cache]\nmax_object = "100KiB"\n')
    server = servers(root, "--workers", "2", "--config", str(config))
    run = cache(server, "warm")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("14 entries loaded in 2 workers")
    found = inspect(server)
    for worker in (0, 1):
        paths = {entry["path"] for entry in found["entries"] if entry["worker"] == worker}
        assert paths == SHOWN | {"/within.css"}
    assert server.stats()["requests_total"] == 0
    ask_often(server, {"/": 1, "/img/": 1, "/img/1.png": 1})
    assert server.stats()["cache"]["misses"] == 0
    assert server.get("/img/1.png").body == (root / "img" / "1.png").read_bytes()
    assert "14 were there" in cache(server, "warm").stdout


def test_only_what_matches_is_loaded(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    assert cache(server, "warm", "/img/**").stdout.startswith("3 entries loaded")
    assert {entry["path"] for entry in inspect(server)["entries"]} == {"/img/1.png", "/img/deep/2.png", "/img/"}
    assert cache(server, "warm", "/img/index.html").stdout.startswith("0 entries loaded")
    assert cache(server, "warm", "*.css").stdout.startswith("2 entries loaded")


def test_nobody_has_to_leave_and_a_full_cache_ends_it(servers: Servers, root: Path) -> None:
    folder = root / "many"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.bin").write_bytes(os.urandom(5000))
    server = servers(root, "--workers", "1", "--cache-size", "512KiB")
    ask_often(server, {"/a.css": 1})
    run = cache(server, "warm", "/many/**")
    assert "1 caches are full" in run.stdout
    found = inspect(server, "--top", "0")
    assert found["totals"]["evictions"] == 0
    assert 10 < found["totals"]["objects"] < 40
    assert found["totals"]["size_bytes"] <= 512 * 1024
    assert "/a.css" in {entry["path"] for entry in found["entries"]}


def test_all_hosts_are_warmed(servers: Servers, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.css").write_text("other")
    config = tmp_path / "wsrv.toml"
    config.write_text(f'[[host]]\nnames = ["other.example"]\nroot = "{other}"\n')
    server = servers(root, "--workers", "1", "--config", str(config))
    cache(server, "warm", "/a.css")
    assert {(entry["host"], entry["bytes"]) for entry in inspect(server)["entries"]} == {
        ("", 400),
        ("other.example", 5),
    }


def test_what_is_withheld_or_protected_is_not_held(servers: Servers, root: Path, tmp_path: Path) -> None:
    config = root / "wsrv.toml"
    config.write_text("[site]\nlisting = true\n")
    server = servers(root, "--workers", "1", "--config", str(config))
    cache(server, "warm")
    paths = {entry["path"] for entry in inspect(server)["entries"]}
    assert "/wsrv.toml" not in paths
    assert "/outside.txt" not in paths
    assert "/.git/config" not in paths


def test_a_worker_that_stands_still_is_named(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    stopped = server.workers()[0]
    stopped.send_signal(signal.SIGSTOP)
    try:
        run = cache(server, "warm")
        assert run.returncode == 1
        assert "worker 0 stands still" in run.stderr
        assert "in 1 workers" in run.stdout
    finally:
        stopped.send_signal(signal.SIGCONT)
    wait_for(lambda: len({entry["worker"] for entry in inspect(server)["entries"]}) == 2, "it does it when it goes on")


def test_bad_patterns_and_no_server_are_told_apart(tmp_path: Path) -> None:
    assert wsrv("cache", "warm", "a//b", "--runtime-dir", str(tmp_path)).returncode == 2
    assert wsrv("cache", "warm", "--runtime-dir", str(tmp_path)).returncode == 3


def test_thousands_of_files_are_warmed_and_a_terminal_sees_how_far_it_is(servers: Servers, root: Path) -> None:
    for number in range(4000):
        folder = root / f"{number % 40}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.bin").write_bytes(b"%d" % number)
    server = servers(root, "--workers", "2", "--cache-size", "256MiB")
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "cache", "warm", "--runtime-dir", str(server.runtime)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=False)
    os.close(theirs)
    os.close(ours)
    assert run.returncode == 0
    assert inspect(server, "--top", "1")["totals"]["objects"] >= 8000
    assert run.stdout.startswith(b"8,0")
