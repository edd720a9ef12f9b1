# Each primitive that fits, end to end: load, a killed worker, and the counts of what was guarded.
"""Servers with each sync primitive."""

import os
import re
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import WSRV, Server, Servers, wait_for
from wsrv.engine.shm.row import GUARDS

REQUESTS = 5000
KILLS = 4
FITTING = ("posix", "robust", "eventfd")
# Of the file pool's guards, by name: how often a job has each of them taken.
TAKEN_A_JOB = {"pool_empty": 1, "pool_filled": 1, "pool_mutex": 2}


def ab(server: Server, requests: int = REQUESTS) -> str:
    """What ab says of `requests` over 50 connections at a time."""
    command = ["ab", "-q", "-r", "-n", str(requests), "-c", "50", f"{server.url}/index.html"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def used(server: Server) -> dict[str, dict[str, Any]]:
    """The counts of the guards, by name."""
    return {used["name"]: used for used in server.stats()["sync_objects"]}


def replaced(server: Server, times: int) -> list[int]:
    """The workers' pids, once workers were replaced so often and all serve; before that, nothing."""
    workers = server.stats()["workers"]
    serve = all(worker["heartbeat_age_seconds"] is not None for worker in workers)
    done = sum(worker["restarts"] for worker in workers) == times
    return [worker["pid"] for worker in workers] if serve and done else []


def forget(path: Path) -> None:
    """Let the kernel have nothing of the file in memory, where the file system can."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("primitive", FITTING)
def test_a_server_answers_under_load_and_when_a_worker_is_killed(servers: Servers, site: Path, primitive: str) -> None:
    server = servers(site, "--workers", "2", "--sync", primitive, "--queue", "64")
    assert re.search(r"Failed requests: +0\n", ab(server))
    enough = threading.Event()

    def keep_asking() -> None:
        while not enough.is_set():
            ab(server)

    load = threading.Thread(target=keep_asking)
    load.start()
    try:
        for kill in range(KILLS):
            pids = wait_for(partial(replaced, server, kill), "all workers")
            os.kill(pids[kill % 2], signal.SIGKILL)
        wait_for(partial(replaced, server, KILLS), "all workers")
    finally:
        enough.set()
    load.join()
    assert re.search(r"Failed requests: +0\n", ab(server))
    stats = server.stats()
    assert stats["sync"] == primitive
    assert [guard["name"] for guard in stats["sync_objects"]] == list(GUARDS)
    queue = stats["sync_objects"][0]
    # Each connection had a permit, those of the killed workers too; what it waited for, it waited for in the kernel.
    assert queue["acquired"] >= stats["connections_total"] >= 2 * REQUESTS
    assert queue["wait_ms"] == 0
    wait_for(lambda: all(q["depth"] == 0 for q in server.stats()["queue"]), "empty queues")


@pytest.mark.parametrize("primitive", FITTING)
def test_what_the_file_pool_takes_is_counted_and_survives_its_worker(
    servers: Servers, site: Path, primitive: str
) -> None:
    server = servers(site, "--workers", "1", "--sync", primitive)
    jobs = 0
    for number in range(50):
        file = site / f"{number}.bin"
        file.write_bytes(os.urandom(8192))
        forget(file)
        assert server.get(f"/{number}.bin").body == file.read_bytes()
        jobs = used(server)["pool_empty"]["acquired"]
        if jobs >= 5:
            break
    assert jobs, "the kernel kept every file in memory, so the pool was never asked"
    before = used(server)
    for name, taken in TAKEN_A_JOB.items():
        assert before[name]["acquired"] == taken * jobs
        assert before[name]["contended"] <= taken * jobs
    server.workers()[0].send_signal(signal.SIGKILL)
    wait_for(lambda: server.stats()["workers"][0]["restarts"] == 1, "a new worker")
    after = used(server)
    for name in TAKEN_A_JOB:
        assert after[name] == before[name]


def test_the_table_shows_the_counts_of_the_document(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1")
    for _ in range(3):
        server.get("/")
    command = [*WSRV, "stats", "--sync", "--runtime-dir", str(server.runtime), "--name", str(server.port)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()
    assert lines[0] == "sync posix"
    assert [line.split() for line in lines if "queue" in line] == [["queue", "3", "0", "0.00", "ms"]]


def test_a_full_queue_is_contended(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1", "--queue", "1")
    server.workers()[0].send_signal(signal.SIGSTOP)
    socks = [server.connect() for _ in range(3)]
    wait_for(lambda: used(server)["queue"]["contended"] >= 2, "two that found the queue full")
    assert used(server)["queue"]["acquired"] == 1
    server.workers()[0].send_signal(signal.SIGCONT)
    for sock in socks:
        sock.close()


def test_flock_is_refused_before_anything_starts(site: Path, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    command = [*WSRV, "serve", str(site), "--port", "0", "--runtime-dir", str(runtime), "--sync", "flock"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert run.returncode == 5
    assert (
        "flock offers locks only, and the connection queue needs a semaphore; use --sync posix, robust or eventfd"
        in run.stderr
    )
    assert "listening" not in run.stderr
    assert not runtime.exists()
