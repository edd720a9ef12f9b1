# By levers that the server obeys (tests.chaos.victim): whoever takes the guard next is killed with it in its hands.
"""Workers killed while they hold each guard, of each primitive: the next one serves, and nothing is stuck or lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.clients import Checkers
from tests.chaos.faults import FAULTS
from tests.chaos.ground import Ground, Site, launch
from tests.chaos.levers import Levers
from tests.chaos.schedule import PARTS
from tests.integration.transports import DISPATCHING, TRANSPORTS
from tests.support.launch import Launcher
from tests.support.reload import Config
from tests.support.server import wait_for

# Every primitive with every transport that has a queue of ours would be the same again: pairwise.
PAIRS = [(transport, *PARTS[(at + 1) % len(PARTS)]) for at, transport in enumerate(TRANSPORTS)]


@pytest.fixture
def levers(nothing_left_behind: None, tmp_path: Path) -> Iterator[Levers]:
    made = Levers(tmp_path / "levers", anew=True)
    yield made
    made.close()


@pytest.mark.parametrize(("ipc", "sync", "scope"), [("socketpair", "posix", "process"), *PAIRS])
def test_a_worker_killed_with_a_guard_is_succeeded_by_one_that_finds_it_free(
    tmp_path: Path, levers: Levers, ipc: str, sync: str, scope: str
) -> None:
    guards = ["pool_empty", "pool_filled", "pool_mutex"]
    guards += ["queue"] if ipc in DISPATCHING else []
    guards += ["cache_writer"] if scope == "shared" else []
    with ExitStack() as undo:
        launcher = Launcher(tmp_path)
        undo.callback(launcher.end)
        site, config = Site(tmp_path / "site", "guards"), Config(tmp_path / "wsrv.toml")
        parts = ("--ipc", ipc, "--sync", sync, "--cache-scope", scope)
        server = launch(launcher, tmp_path, tmp_path / "levers", config, *parts)
        checkers = Checkers(server.port, site.targets, "guards")
        ground = Ground(server, levers, site, config, checkers, tmp_path)
        ground.settle()

        def successors() -> int:
            return sum(worker["restarts"] for worker in ground.stats()["workers"])

        with checkers:
            for guard in guards:
                before = successors()
                FAULTS[f"killed with {guard}"].strike(ground)
                # The lock of the cache may have been the keeper's.
                if guard != "cache_writer":
                    wait_for(lambda before=before: successors() > before, "a successor")  # type: ignore[misc]
                ground.settle()
                whole = len(checkers.whole)
                wait_for(lambda whole=whole: len(checkers.whole) > whole + 50, "answers")  # type: ignore[misc]
        assert checkers.faults == []
        stats = ground.stats()
        assert [queue["depth"] for queue in stats["queue"]] == [0 if ipc in DISPATCHING else None] * 2
        assert set(checkers.whole.values()) == {200}
        wait_for(
            lambda: ground.stats()["requests_total"] == server.log.read_bytes().count(b"\n"), "a line for each request"
        )
        family = server.family()
        assert server.status_after_term() == 0
        server.assert_nothing_left(family)
