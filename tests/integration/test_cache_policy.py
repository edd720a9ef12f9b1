"""`wsrv cache policy`: another policy for a server that runs."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import wsrv
from tests.integration.test_cache_inspect import cache, inspect
from tests.plugins.strangers import install
from tests.support.server import Server, Servers, wait_for
from wsrv.plugins.registry import load

GRUMPY = """
from typing import ClassVar
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.lru import Lru
WSRV_API = 1
class Good(Lru):
    "As good as lru."
    NAME: ClassVar[str] = "good"
class Old(Lru):
    "It tells nothing."
    NAME: ClassVar[str] = "old"
    state = None
    order = None
class Cold(Lru):
    "It works elsewhere."
    NAME: ClassVar[str] = "cold"
    @classmethod
    def available(cls, settings):
        return "it is too cold here; heat the room"
class Broken(Lru):
    "It fails at the second key."
    NAME: ClassVar[str] = "broken"
    def admit(self, key, weight):
        assert not len(self), "broken indeed"
        return super().admit(key, weight)
@hookimpl
def wsrv_register_policies():
    return [Good, Old, Cold, Broken]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.bin").write_bytes(os.urandom(1000))
    return folder


def ask_all(server: Server) -> None:
    for _ in range(4):
        for number in range(12):
            assert server.get(f"/{number}.bin").status == 200


def policies(server: Server) -> dict[int, tuple[str, int]]:
    return {one["worker"]: (one["policy"], one["objects"]) for one in inspect(server)["workers"]}


def test_a_running_server_changes_to_every_policy_and_keeps_its_entries(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    ask_all(server)
    before = inspect(server, "--top", "0")
    assert before["totals"]["objects"] >= 12
    keys = {(entry["worker"], entry["path"]) for entry in before["entries"]}
    for name in [*load().policies, "s3fifo:bounded=1", "sieve"]:
        run = cache(server, "policy", name)
        assert (run.returncode, run.stderr) == (0, "")
        found = inspect(server, "--top", "0")
        assert keys <= {(entry["worker"], entry["path"]) for entry in found["entries"]}
        assert [one["policy"] for one in found["workers"]] == [name, name]
        assert server.stats()["cache"]["policy"] == name
        assert server.get("/1.bin").body == (root / "1.bin").read_bytes()


def test_figures_before_and_after(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "1")
    ask_all(server)
    counted = server.stats()["cache"]
    answer = json.loads(cache(server, "policy", "lfu", "--json").stdout)
    assert {key: answer["before"][key] for key in ("policy", "hits", "misses", "objects", "size_bytes")} == {
        "policy": "sieve",
        "hits": counted["hits"],
        "misses": counted["misses"],
        "objects": 12,
        "size_bytes": counted["size_bytes"],
    }
    assert answer["after"]["policy"] == "lfu"
    assert (answer["after"]["hits"], answer["after"]["misses"], answer["after"]["objects"]) == (0, 0, 12)
    assert answer["left"] == 0
    ask_all(server)
    since = json.loads(cache(server, "policy", "--json").stdout)
    assert (since["policy"], since["hits"], since["misses"]) == ("lfu", 48, 0)
    run = cache(server, "policy")
    assert run.returncode == 0
    assert "100.00 %" in run.stdout
    assert "wtinylfu" in run.stdout
    assert max(map(len, cache(server, "policy", "wtinylfu").stdout.splitlines())) <= 80


def test_a_worker_that_comes_later_follows_the_new_policy(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    assert cache(server, "policy", "arc").returncode == 0
    server.workers()[0].send_signal(signal.SIGKILL)
    wait_for(lambda: server.stats()["workers"][0]["restarts"] == 1, "the successor")
    wait_for(lambda: len(policies(server)) == 2, "both to answer")
    assert {name for name, _ in policies(server).values()} == {"arc"}


def test_a_worker_that_stands_still_changes_when_it_goes_on(servers: Servers, root: Path) -> None:
    server = servers(root, "--workers", "2")
    stopped = server.workers()[1]
    stopped.send_signal(signal.SIGSTOP)
    try:
        run = cache(server, "policy", "gdsf")
        assert run.returncode == 1
        assert "changed in 1 workers" in run.stdout
        assert run.stderr == "wsrv: worker 1 stands still and has not answered\n"
    finally:
        stopped.send_signal(signal.SIGCONT)
    wait_for(lambda: {name for name, _ in policies(server).values()} == {"gdsf"}, "both to follow gdsf")


def test_a_policy_that_nobody_knows_is_refused_with_the_nearest(servers: Servers, root: Path, tmp_path: Path) -> None:
    server = servers(root, "--workers", "1")
    run = cache(server, "policy", "seive")
    assert run.returncode == 2
    assert "did you mean 'sieve'?" in run.stderr
    run = cache(server, "policy", "s3fifo:bound=1")
    assert (run.returncode, run.stderr) == (2, "wsrv: s3fifo: no parameter 'bound'; its parameters: bounded\n")
    assert policies(server) == {0: ("sieve", 0)}
    assert wsrv("cache", "policy", "lru", "--runtime-dir", str(tmp_path / "nowhere")).returncode == 3


def test_policies_of_plugins_can_be_changed_to_and_from(
    servers: Servers, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    install(packages, "grumpy", GRUMPY)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    server = servers(root, "--workers", "1", "--cache-policy", "good")
    ask_all(server)
    for name in ("old", "lfu", "good"):
        run = cache(server, "policy", name)
        assert (run.returncode, run.stderr) == (0, "")
        assert policies(server) == {0: (name, 12)}
    cache(server, "policy", "old")
    states: list[Any] = [entry["state"] for entry in inspect(server)["entries"]]
    assert states == [{}] * 12
    run = cache(server, "policy", "cold")
    assert (run.returncode, run.stderr) == (5, "wsrv: cold: it is too cold here; heat the room\n")
    # One that breaks while it takes over breaks nothing.
    run = cache(server, "policy", "broken")
    assert run.returncode == 3
    assert "broken indeed" in run.stderr
    assert policies(server) == {0: ("old", 12)}
    assert server.get("/1.bin").status == 200
    assert server.stats()["cache"]["policy"] == "old"
