# The access log on a disk that is full, has no inodes left, or may not be written: file systems, mounted for a test.
"""Requests go on, what is lost is counted and shown, and when there is room again lines are written again."""

import contextlib
import errno
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.launch import Launched, Launcher
from tests.support.processes import children
from tests.support.server import Server, read_answer, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")

# With these a request is a line of some 7 KB: 600 of them fill a worker's ring (4 MiB).
_PADDING = "x" * 7000
_ASKED = re.compile(rb'"GET /\?(\d+)-x* HTTP/1\.1" 200 \d+ "-" "-"\n$')


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB, and 8 inodes."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=8,mode=755", "wsrv-test", str(path)], check=True)
    try:
        yield path
    finally:
        # Lazily: a server may be ending still.
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Write a file until no more fits; the file."""
    path = disk / "fill"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    return path


def ask(server: Server, numbers: range, padding: str = _PADDING) -> None:
    """Ask for numbered targets on one connection, each answered 200."""
    with server.connect() as sock:
        for number in numbers:
            sock.sendall(f"GET /?{number}-{padding} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert read_answer(sock).status == 200


def asked(*paths: Path) -> list[int]:
    """The numbers in the lines of these files; fails when a line is torn."""
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    found = [_ASKED.search(line) for line in lines]
    assert None not in found, [line[:200] for line, match in zip(lines, found, strict=True) if match is None]
    return [int(match[1]) for match in found if match is not None]


def on(launch: Launcher, site: Path, log: Path, *more: str) -> Launched:
    """A server of one worker that logs there."""
    server = launch(site, "--workers", "1", "--log-file", str(log), *more)
    server.log = log
    return server


def test_on_a_full_disk_requests_go_on_and_what_is_lost_is_counted(launch: Launcher, site: Path, disk: Path) -> None:
    server = on(launch, site, disk / "access.log")
    ask(server, range(10))
    assert len(server.log_lines(10)) == 10
    filling = fill(disk)
    ask(server, range(10, 1000))
    dropped = server.stats()["log_dropped"]
    assert 200 < dropped < 600
    full = f"access log: {os.strerror(errno.ENOSPC)}; lines will be lost"
    assert server.words().count(full) == 1
    filling.unlink()
    wait_for(lambda: server.log.read_bytes().count(b"\n") == 1000 - dropped, "what was not lost")
    ask(server, range(1000, 1010))
    wait_for(lambda: server.log.read_bytes().count(b"\n") == 1010 - dropped, "the lines of afterwards")
    numbers = asked(server.log)
    assert numbers == sorted(set(numbers)), "in order, none twice"
    assert numbers[-10:] == list(range(1000, 1010))
    assert server.words().count("access log: lines are written again") == 1
    server.signal(signal.SIGTERM)
    assert server.status() == 0


def test_a_log_that_cannot_be_rotated_for_want_of_an_inode_is_rotated_later(
    launch: Launcher, site: Path, disk: Path
) -> None:
    config = site.parent / "wsrv.toml"
    config.write_text("[log]\nmax_size = 40000\nkeep = 3\n")
    server = on(launch, site, disk / "access.log", "--config", str(config))
    others = []
    with contextlib.suppress(OSError):
        for number in range(8):
            (disk / f"other-{number}").touch()
            others.append(disk / f"other-{number}")
    ask(server, range(20))
    wait_for(lambda: "cannot rotate" in server.words(), "the complaint")
    ask(server, range(20, 30))
    for other in others:
        other.unlink()

    def files() -> list[Path]:
        older = sorted(disk.glob("access.log.*"), key=lambda path: -int(path.suffix[1:]))
        return [*older, *disk.glob("access.log")]

    wait_for(lambda: sum(path.read_bytes().count(b"\n") for path in files()) == 30, "all thirty lines")
    # Rotated as ever, once the pause since the last try is over.
    given = 30

    def rotates() -> bool:
        nonlocal given
        ask(server, range(given, given + 1))
        given += 1
        return (disk / "access.log").exists() and (disk / "access.log.1").exists()

    wait_for(rotates, "a rotation", 20)
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert server.words().count("cannot rotate") == 1
    assert asked(*files())[-1] == given - 1


def test_a_disk_that_may_only_be_read_costs_no_request(launch: Launcher, site: Path, disk: Path) -> None:
    server = on(launch, site, disk / "access.log")
    ask(server, range(10), "")
    assert len(server.log_lines(10)) == 10
    # Whoever has a file open for writing keeps it writable. A log writer opens it with its first line.
    (writer,) = children(server.process, "wsrv: log")
    writer.kill()
    wait_for(lambda: not writer.is_running(), "its end")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ask(server, range(10, 20), "")
    wait_for(lambda: os.strerror(errno.EROFS) in server.words(), "the complaint")
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    server.log_lines(20)
    assert asked(server.log) == list(range(20))
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert server.words().count("lines will be lost") == 1
    assert "were lost" not in server.words()
