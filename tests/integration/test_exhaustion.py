# Descriptors, processes and memory that run out under a server, and come back. Its disk: test_full_disk.py.
#
# The limits of running processes are changed from outside (prlimit(2)).
"""A server that runs out of something goes on with what it has, says so, and recovers."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.transports import GET, GET_AND_CLOSE, every_dispatching
from tests.support.crowd import Crowd
from tests.support.launch import Launched, Launcher, driver, environment
from tests.support.processes import children
from tests.support.reload import Config, launch_with, reload
from tests.support.server import Answer, Server, read_answer, wait_for

# Fails every fork while there is the file `full`, as a bound of processes does (RLIMIT_NPROC and pids.max, which root
# is free of, or which need a control group).
_FULL = """
import errno, os
fork = os.fork
def fork_if_there_is_room():
    if full.exists():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()
os.fork = fork_if_there_is_room
"""


def troubles(server: Server) -> dict[str, int]:
    """What the server has met so far, by kind."""
    found: dict[str, int] = server.stats()["troubles"]
    return found


def limit(pid: int, soft: int) -> None:
    """Let the process have descriptors below this number from now on."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def limit_to_free(pid: int, number: int) -> None:
    """Let the process have so many descriptors more."""
    held = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = [fd for fd in range(max(held) + number + 2) if fd not in held]
    limit(pid, free[number])


@every_dispatching
def test_a_master_without_descriptors_accepts_nobody_says_so_once_and_goes_on_after(
    launch: Launcher, site: Path, ipc: str
) -> None:
    server = launch(site, "--workers", "1", "--ipc", ipc)
    whole, _ = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    with server.connect() as before:
        before.sendall(GET)
        assert read_answer(before).status == 200
        limit(server.pid, 3)
        with Crowd(server.port, 20, GET_AND_CLOSE) as crowd:
            crowd.ask()
            wait_for(lambda: "cannot accept connections" in server.words(), "the master to say so")
            before.sendall(GET)
            assert read_answer(before).status == 200, "who is in is served"
            assert not crowd.outcomes()
            limit(server.pid, whole)
            assert crowd.hear() == {200: 20}
    assert troubles(server)["accept_paused"] > 0
    assert server.words().count("cannot accept connections for the moment: Too many open files; it is tried again") == 1


def births_fail_as_long_as_descriptors_are_short(server: Launched) -> Iterator[int]:
    """Kill a worker with ever more descriptors left to the master; how many."""
    whole, _ = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    # What a worker had for itself is free when it is gone.
    for more in range(4):
        limit_to_free(server.pid, more)
        victim = server.workers()[0]
        victim.kill()
        wait_for(lambda victim=victim: not victim.is_running(), "its end")  # type: ignore[misc]
        yield more
        limit(server.pid, whole)
        wait_for(lambda: all(w["heartbeat_age_seconds"] is not None for w in server.stats()["workers"]), "two workers")


@pytest.mark.parametrize("sync", ["posix", "eventfd"])
def test_a_worker_that_cannot_be_replaced_for_want_of_descriptors_is_as_soon_as_it_can(
    launch: Launcher, site: Path, sync: str
) -> None:
    # Listeners are descriptors that the master has and no child: so it is short of them, and they are not.
    places = [place for host in range(1, 41) for place in ("--listen", f"127.0.0.{host}:0")]
    server = launch(site, "--workers", "2", "--sync", sync, *places)
    held = len(os.listdir(f"/proc/{server.pid}/fd"))
    for _ in births_fail_as_long_as_descriptors_are_short(server):
        for _ in range(4):
            assert server.get("/").status == 200, "the other one serves"
    wait_for(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) == held, "no descriptor to be left over")
    assert len(children(server.process)) == 3, "two workers and the log writer, and nobody who was forgotten"
    assert troubles(server)["fork_failed"] > 0
    assert "cannot start a worker: Too many open files; it is tried again" in server.words()
    assert "processes can be started again" in server.words()
    server.signal(signal.SIGTERM)
    assert server.status() == 0


def test_where_there_can_be_no_more_processes_the_others_serve_and_it_is_tried_again(
    launch: Launcher, site: Path, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    log = tmp_path / "driven.log"
    server = launch(site, command=driver(_FULL, root=site, runtime=launch.runtime, log=log, full=full))
    full.touch()
    victim, other = server.workers()
    (writer,) = children(server.process, "wsrv: log")
    for dies in (victim, writer):
        dies.kill()
    wait_for(lambda: troubles(server)["fork_failed"] >= 3, "some tries")
    for _ in range(5):
        assert server.get("/").status == 200
    other.kill()
    wait_for(lambda: not other.is_running(), "its end")
    with Crowd(server.port, 10, GET_AND_CLOSE) as crowd:
        crowd.ask()
        full.unlink()
        assert crowd.hear() == {200: 10}, "who waited is answered by those who come"
    wait_for(lambda: len(server.workers()) == 2, "two workers")
    assert server.words().count("it is tried again") == 1
    assert server.words().count("processes can be started again") >= 1
    wait_for(lambda: log.read_bytes().count(b"\n") == 15, "all lines, also of the time without a log writer")


def test_a_reload_without_descriptors_changes_nothing(launch: Launcher, site: Path) -> None:
    config = Config(site.parent / "wsrv.toml", site_root=str(site))
    server = launch_with(launch, config, "--workers", "2")
    whole, _ = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    held = len(os.listdir(f"/proc/{server.pid}/fd"))
    # One for whoever asks, and few more.
    for more in (1, 2):
        limit_to_free(server.pid, more)
        run = reload(server)
        assert run.returncode != 0
        assert "Too many open files" in run.stderr
        limit(server.pid, whole)
        assert server.get("/").status == 200
    wait_for(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) == held, "no descriptor to be left over")
    assert reload(server).returncode == 0
    assert server.get("/").status == 200


def ask(server: Server, target: str) -> Answer | None:
    """The answer; None where the worker has died of it."""
    try:
        return server.get(target)
    except (ConnectionError, IndexError):
        return None


def test_a_worker_without_memory_answers_503_or_is_replaced(launch: Launcher, site: Path) -> None:
    size = 200 * 1024
    bodies = [b"%05d" % number * (size // 5) for number in range(120)]
    for number, body in enumerate(bodies):
        (site / f"{number}.bin").write_bytes(body)
    server = launch(site, "--workers", "1", env=environment(WSRV_CACHE_SIZE="256MiB"))
    assert server.get("/0.bin").status == 200
    (worker,) = server.workers()
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_AS)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (worker.memory_info().vms + 8 * 1024 * 1024, hard))
    for number, body in enumerate(bodies):
        answer = ask(server, f"/{number}.bin")
        assert answer is None or answer.status == 503 or (answer.status, answer.body) == (200, body)
    stats = server.stats()
    assert stats["troubles"]["no_memory"] == stats["responses"].get("503", 0)
    assert stats["troubles"]["no_memory"] + stats["workers"][0]["restarts"] > 0
    # The limit is not inherited by a successor, and is lifted from a survivor.
    (worker,) = server.workers()
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (hard, hard))
    assert [server.get(f"/{number}.bin").body for number in range(120)] == bodies


def test_what_the_cache_holds_is_all_that_a_worker_grows_by(launch: Launcher, site: Path) -> None:
    size = 200 * 1024
    for number in range(200):
        (site / f"{number}.bin").write_bytes(b"%05d" % number * (size // 5))
    server = launch(site, "--workers", "1", env=environment(WSRV_CACHE_SIZE="4MiB"))
    assert server.get("/").status == 200
    (worker,) = server.workers()
    before = worker.memory_info().rss
    for _ in range(3):
        for number in range(200):
            assert server.get(f"/{number}.bin").status == 200
    cache = server.stats()["cache"]
    assert cache["evictions"] > 500
    assert cache["size_bytes"] <= 4 * 1024 * 1024
    assert worker.memory_info().rss - before < 3 * 4 * 1024 * 1024, "40 MB went through it three times"
