# `--cache-scope shared`, end to end.
"""A server whose workers share one cache."""

import json
import os
import random
import re
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.checked import Checkers, put, sealed
from tests.support.launch import wait_until_gone
from tests.support.processes import children
from tests.support.server import WSRV, Server, Servers, wait_for

SHARED = ("--cache-scope", "shared")
FILES = 60


@pytest.fixture
def files(site: Path) -> dict[str, bytes]:
    """Files of several lengths in the site, by target: 2.5 MB in all."""
    chance = random.Random(3)
    made = {f"/{n}.bin": os.urandom(chance.choice((10, 4000, 20_000, 150_000))) for n in range(FILES)}
    for target, content in made.items():
        (site / target[1:]).write_bytes(content)
    settled(site)
    return made


def settled(site: Path) -> None:
    """Wait until the stamps of what is in `site` stand for its content."""
    newest = max(path.stat().st_ctime_ns for path in site.iterdir())
    probe = site.parent / "probe"

    def later() -> bool:
        probe.touch()
        return probe.stat().st_ctime_ns - newest > 50_000_000

    wait_for(later, "the clock")


def cache(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.stats()["cache"]
    return found


def serving(server: Server, restarts: int) -> bool:
    """Whether so many workers were replaced, and all serve."""
    workers = server.stats()["workers"]
    alive = all(worker["heartbeat_age_seconds"] is not None for worker in workers)
    return alive and sum(worker["restarts"] for worker in workers) == restarts


def keeper(server: Server) -> psutil.Process | None:
    return next(iter(children(server.process, "wsrv: cache")), None)


def test_a_replaced_worker_finds_what_its_predecessor_has_stored(
    servers: Servers, site: Path, files: dict[str, bytes]
) -> None:
    server = servers(site, "--workers", "1", *SHARED)
    for target, content in files.items():
        assert server.get(target).body == content
    before = cache(server)
    assert (before["scope"], before["objects"], before["misses"]) == ("shared", FILES, FILES)
    server.workers()[0].send_signal(signal.SIGKILL)
    wait_for(lambda: serving(server, 1), "a new worker")
    for target, content in files.items():
        assert server.get(target).body == content
    after = cache(server)
    assert (after["misses"], after["hits"]) == (FILES, FILES)
    assert after["shared"]["hits"] == FILES
    assert after["shared"]["torn_reads"] == after["shared"]["unstored"] == 0
    length = sum(map(len, files.values()))
    assert length < after["shared"]["logical_bytes"] < length + FILES * 1024
    assert after["shared"]["logical_bytes"] <= after["shared"]["real_bytes"] <= length + FILES * 4096


def test_a_change_is_seen_by_all_and_a_file_that_is_gone_is_gone(servers: Servers, site: Path) -> None:
    page = site / "page.txt"
    page.write_text("old")
    settled(site)
    server = servers(site, "--workers", "2", *SHARED)
    assert {server.get("/page.txt").body for _ in range(10)} == {b"old"}
    (site / "new").write_text("newer")
    (site / "new").rename(page)
    wait_for(lambda: {server.get("/page.txt").body for _ in range(10)} == {b"newer"}, "the new content from all")
    answer = server.get("/page.txt")
    assert answer.fields["content-length"] == "5"
    page.unlink()
    wait_for(lambda: {server.get("/page.txt").status for _ in range(10)} == {404}, "404 from all")


@pytest.mark.parametrize("policy", ["lru", "wtinylfu"])
def test_a_site_larger_than_the_cache_is_answered_right_while_entries_come_and_go(
    servers: Servers, site: Path, files: dict[str, bytes], policy: str
) -> None:
    server = servers(site, "--workers", "2", *SHARED, "--cache-size", "1MiB", "--cache-policy", policy)
    chance = random.Random(1)
    for _ in range(6 * FILES):
        target = f"/{int(chance.paretovariate(0.5)) % FILES}.bin"
        assert server.get(target).body == files[target]
    found = wait_for(lambda: _with_room(server), "the keeper to make room")
    assert found["evictions"] + found["shared"]["refusals"] > 0
    assert found["hits"] + found["misses"] == 6 * FILES
    assert found["size_bytes"] <= found["capacity_bytes"] == 1024 * 1024


def _with_room(server: Server) -> dict[str, Any]:
    """What is said of the cache, once the keeper has made the room that is to be kept free; before that, nothing."""
    found = cache(server)
    return found if found["shared"]["real_bytes"] <= found["shared"]["capacity_bytes"] * 0.76 else {}


def test_a_killed_keeper_is_replaced_and_goes_on(servers: Servers, site: Path, files: dict[str, bytes]) -> None:
    server = servers(site, "--workers", "1", *SHARED, "--cache-size", "1MiB")
    first = keeper(server)
    assert first is not None
    first.send_signal(signal.SIGKILL)
    wait_for(lambda: keeper(server) not in (None, first), "another keeper")
    for _ in range(2):
        for target, content in files.items():
            assert server.get(target).body == content
    assert wait_for(lambda: _with_room(server), "the keeper to make room")["evictions"] > 0
    assert "the keeper of the cache was killed by SIGKILL; it is replaced" in server.said.read_text()


def test_workers_killed_while_they_store_leave_no_torn_answer_and_no_lock_held(
    servers: Servers, site: Path, files: dict[str, bytes]
) -> None:
    for target, content in files.items():
        put(site / target[1:], sealed(content))
    settled(site)
    server = servers(site, "--workers", "2", *SHARED, "--cache-size", "1MiB")
    with Checkers(server.port, list(files)) as clients:
        for kill in range(12):
            begun = clients.answered
            wait_for(lambda begun=begun: clients.answered > begun + 20, "answers")  # type: ignore[misc]
            wait_for(lambda: len(server.workers()) == 2, "both workers")
            victim = server.workers()[kill % 2]
            victim.send_signal(signal.SIGKILL)
            wait_until_gone([victim], 10)
        wait_for(partial(serving, server, 12), "all workers")
    assert clients.faults == []
    before = cache(server)
    # What is stored anew after all those deaths says that writers have their lock.
    wait_for(lambda: _asked_again(server, before["evictions"]), "entries that come and go")


def _asked_again(server: Server, evictions: int) -> bool:
    for number in range(FILES):
        server.get(f"/{number}.bin")
    return int(cache(server)["evictions"]) > evictions


def test_when_the_master_is_killed_the_keeper_goes_too(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1", *SHARED)
    family = [server.process, *children(server.process)]
    assert keeper(server) is not None
    server.process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(family, 15)
    assert not alive


def test_what_is_cleared_is_gone_for_all(servers: Servers, site: Path, files: dict[str, bytes]) -> None:
    server = servers(site, "--workers", "2", *SHARED)
    for target in files:
        server.get(target)
    subprocess.run(command(server, "clear", "/1*.bin"), check=True, capture_output=True, timeout=20)
    kept = [target for target in files if not target.startswith("/1")]
    assert cache(server)["objects"] == len(kept)
    subprocess.run(command(server, "clear"), check=True, capture_output=True, timeout=20)
    found = cache(server)
    assert (found["objects"], found["shared"]["real_bytes"]) == (0, 0)
    # Workers say how full their fronts are a few times a second.
    wait_for(lambda: cache(server)["fronts"]["objects"] == 0, "empty fronts")
    assert server.get("/1.bin").body == files["/1.bin"]


def command(server: Server, *words: str) -> list[str]:
    return [*WSRV, "cache", *words, "--runtime-dir", str(server.runtime), "--name", str(server.port)]


def inspected(server: Server, *words: str) -> dict[str, Any]:
    run = subprocess.run(command(server, "inspect", "--json", *words), check=True, capture_output=True, timeout=20)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_what_is_held_for_all_is_listed_beside_the_fronts(
    servers: Servers, site: Path, files: dict[str, bytes]
) -> None:
    server = servers(site, "--workers", "2", *SHARED, "--cache-policy", "lfu")
    for target in files:
        server.get(target)
    # The keeper learns of what is stored when it comes round.
    wait_for(lambda: all(one["state"] for one in inspected(server, "--top", "0")["entries"]), "the keeper")
    found = inspected(server, "--top", "0")
    for_all = [one for one in found["entries"] if one["worker"] == "shared"]
    assert {one["path"]: one["bytes"] for one in for_all} == {path: len(body) for path, body in files.items()}
    assert {one["worker"] for one in found["entries"]} == {"shared", 0, 1}
    assert [one["worker"] for one in found["workers"]] == ["shared", 0, 1]
    assert found["totals"]["size_bytes"] == cache(server)["size_bytes"]
    assert found["workers"][0]["objects"] == FILES
    first = inspected(server, "--sort", "weight", "--top", "1", "--filter", "/1*.bin")
    assert first["totals"]["matching"] >= 11
    run = subprocess.run(command(server, "inspect"), check=True, capture_output=True, text=True, timeout=20)
    assert f"{FILES} held for all" in run.stdout
    assert "in the fronts of 2 workers" in run.stdout
    run = subprocess.run(command(server, "show", "/1.bin"), check=True, capture_output=True, text=True, timeout=20)
    assert "/1.bin for all workers" in run.stdout
    assert server.get("/1.bin").fields["etag"] in run.stdout


def test_it_says_what_left_the_cache_of_all_why_and_for_whom(
    servers: Servers, site: Path, files: dict[str, bytes]
) -> None:
    server = servers(site, "--workers", "1", *SHARED, "--cache-size", "1MiB", "--cache-policy", "fifo")

    def left() -> dict[str, tuple[str, str | None]]:
        gone = [one for one in inspected(server)["departures"] if one["worker"] == "shared"]
        return {one["path"]: (one["reason"], one["pushed_by"]) for one in gone}

    for target in files:
        server.get(target)
    seen = wait_for(left, "departures")
    assert {reason for reason, _ in seen.values()} == {"capacity"}
    assert {pusher for _, pusher in seen.values()} <= set(files)


def test_what_is_warmed_is_there_for_all_and_pushes_nothing_out(
    servers: Servers, site: Path, files: dict[str, bytes]
) -> None:
    server = servers(site, "--workers", "2", *SHARED)
    run = subprocess.run(command(server, "warm", "*.bin"), check=True, capture_output=True, text=True, timeout=20)
    assert f"{FILES} entries loaded for all workers" in run.stdout
    found = cache(server)
    assert (found["objects"], found["fronts"]["objects"]) == (FILES, 0)
    for target, content in files.items():
        assert server.get(target).body == content
    assert cache(server)["misses"] == 0
    run = subprocess.run(command(server, "warm", "*.bin"), check=True, capture_output=True, text=True, timeout=20)
    assert f"0 entries loaded for all workers, 0B; {FILES} were there" in run.stdout


def test_a_cache_of_all_workers_that_is_full_is_not_warmed_further(
    servers: Servers, site: Path, files: dict[str, bytes]
) -> None:
    server = servers(site, "--workers", "2", *SHARED, "--cache-size", "1MiB")
    run = subprocess.run(command(server, "warm"), check=True, capture_output=True, text=True, timeout=20)
    assert "the cache is full" in run.stdout or "found no room" in run.stdout
    found = cache(server)
    assert found["objects"] > 5
    assert found["evictions"] + found["shared"]["refusals"] == 0


def test_another_policy_goes_on_with_the_entries(servers: Servers, site: Path, files: dict[str, bytes]) -> None:
    server = servers(site, "--workers", "2", *SHARED)
    for target in files:
        server.get(target)
    before = cache(server)
    first = keeper(server)
    subprocess.run(command(server, "policy", "lfu"), check=True, capture_output=True, timeout=20)
    wait_for(lambda: keeper(server) not in (None, first), "a keeper with that policy")
    after = cache(server)
    assert (after["policy"], after["objects"]) == ("lfu", before["objects"])
    shared = inspected(server)["workers"][0]
    assert (shared["worker"], shared["policy"], shared["objects"]) == ("shared", "lfu", before["objects"])
    for target, content in files.items():
        assert server.get(target).body == content
    assert cache(server)["misses"] == before["misses"]
    assert "it is replaced" not in server.said.read_text()


def serve(site: Path, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*WSRV, "serve", str(site), "--port", "0", "--runtime-dir", str(tmp_path / "run"), *SHARED, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_a_primitive_whose_locks_stay_taken_is_refused_by_name(site: Path, tmp_path: Path) -> None:
    for primitive in ("posix", "eventfd"):
        run = serve(site, tmp_path, "--sync", primitive)
        assert run.returncode == 2
        assert (
            f"--cache-scope shared: {primitive} offers locks and semaphores, and the shared cache's writer needs a "
            "lock that the death of its owner leaves free; use --sync robust\n"
        ) in run.stderr
    assert not (tmp_path / "run").exists()


def test_where_no_primitive_is_named_one_that_fits_is_taken_and_said(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1", *SHARED)
    assert server.stats()["sync"] == "robust"
    assert re.search(r"--cache-scope shared .* --sync robust", server.said.read_text())


def test_in_scope_process_there_is_no_keeper_and_nothing_said_of_sharing(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1", "--cache-scope", "process")
    assert server.get("/").status == 200
    assert keeper(server) is None
    found = cache(server)
    assert found["scope"] == "process"
    assert "shared" not in found
