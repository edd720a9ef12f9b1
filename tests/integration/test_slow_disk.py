# Files that shrink while they are sent, and a disk that takes half a second for each read.
#
# The disk is made slow by strace(1), which holds up the system calls of the pool's threads, and of no other.
"""Trouble with files costs those who asked for them, and nobody else."""

import contextlib
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.integration.transports import GET
from tests.support.crowd import Crowd
from tests.support.download import BIG, begin_download, read_body
from tests.support.launch import Launched, Launcher
from tests.support.server import Server, read_answer, wait_for

THREADS = 2
# As many as wait for a thread (engine/master/births.py), and more.
PLACES = 16 * THREADS
COLD = PLACES + THREADS + 20
DELAY_SECONDS = 0.25


def troubles(server: Server) -> dict[str, int]:
    """What the server has met so far, by kind."""
    found: dict[str, int] = server.stats()["troubles"]
    return found


def test_a_file_that_shrinks_while_it_is_sent_costs_its_reader_alone(launch: Launcher, big: Path) -> None:
    server = launch(big, "--workers", "1")
    slow, got = begin_download(server)
    with server.connect() as other:
        other.sendall(GET)
        assert read_answer(other).status == 200
        os.truncate(big / "big", 4096)
        assert read_body(slow, got) < BIG, "the connection ends before the length that was promised"
        other.sendall(GET)
        assert read_answer(other).status == 200, "the others go on"
    wait_for(lambda: troubles(server)["file_cut_short"] == 1, "the count")
    line = next(line for line in server.log_lines(3) if "/big" in line)
    assert int(line.split('"')[2].split()[1]) < BIG
    assert server.get("/big").body == bytes(4096)
    assert server.stats()["workers"][0]["restarts"] == 0


def make_cold(path: Path, content: bytes) -> None:
    """Write a file that is on the disk and nowhere else."""
    path.write_bytes(content)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def pool_threads(worker: psutil.Process) -> list[int]:
    """The threads of a worker but for its loop."""
    return [thread.id for thread in worker.threads() if thread.id != worker.pid]


@contextlib.contextmanager
def slowly(threads: list[int], folder: Path) -> Iterator[None]:
    """Let these threads wait before they read from a file."""
    microseconds = int(DELAY_SECONDS * 1e6)
    inject = ("-e", "trace=pread64", "-e", f"inject=pread64:delay_enter={microseconds}")
    said = folder / "strace"
    command = ["strace", "-o", str(folder / "trace"), *inject, *(f"--attach={thread}" for thread in threads)]
    with said.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as tracer:
        try:
            wait_for(lambda: said.read_text().count("attached") == len(threads), "strace")
            yield
        finally:
            tracer.terminate()


def test_reads_that_are_slow_fill_the_pool_and_hits_are_not_delayed(
    launch: Launcher, site: Path, tmp_path: Path
) -> None:
    # Past what the loop reads itself (engine/static/file.py), so that each is the pool's.
    content = os.urandom(300_000)
    for number in range(COLD + 1):
        make_cold(site / f"{number}.bin", content)
    server: Launched = launch(site, "--workers", "1", "--threads", str(THREADS))
    (worker,) = server.workers()
    assert server.get("/0.bin").body == content
    threads = wait_for(lambda: pool_threads(worker), "the pool")
    assert len(threads) == THREADS
    with server.connect() as hit, slowly(threads, tmp_path):
        hit.sendall(GET)
        assert read_answer(hit).status == 200
        with contextlib.ExitStack() as undo:
            crowds = []
            for number in range(1, COLD + 1):
                request = f"GET /{number}.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
                crowds.append(undo.enter_context(Crowd(server.port, 1, request)).ask())
            wait_for(lambda: troubles(server)["pool_full"] > 0, "a full pool")
            # The pool has work for seconds; a hit waits for none of it.
            began = time.monotonic()
            for _ in range(100):
                hit.sendall(GET)
                assert read_answer(hit).status == 200
            took = time.monotonic() - began
            found: Counter[int | str] = Counter()
            for crowd in crowds:
                found += crowd.hear(30.0)
    assert took < DELAY_SECONDS * PLACES / THREADS / 2, "a hundred hits beside reads that take four seconds"
    assert found == {200: PLACES + THREADS, 503: COLD - PLACES - THREADS}
    assert troubles(server)["pool_full"] == found[503]
    assert server.get(f"/{COLD}.bin").body == content
