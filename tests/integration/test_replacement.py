"""Workers that are replaced: one that stands still for too long, one that has answered enough."""

import signal
from pathlib import Path

from tests.support.download import BIG, begin_download, read_body
from tests.support.launch import Launcher, driver, lives, wait_until_gone
from tests.support.reload import Config, launch_with, reloaded
from tests.support.server import Servers, wait_for


def test_a_worker_that_stands_still_for_too_long_is_replaced(servers: Servers, site: Path, tmp_path: Path) -> None:
    config = tmp_path / "wsrv.toml"
    config.write_text('[server]\nstall_timeout = "3s"\n')
    server = servers(site, "--workers", "2", "--config", str(config))
    victim = server.workers()[0]
    victim.send_signal(signal.SIGSTOP)
    wait_for(lambda: [w["restarts"] for w in server.stats()["workers"]] == [1, 0], "a successor", 30)
    assert not victim.is_running()
    assert all(server.get("/").status == 200 for _ in range(8))
    assert "has stood still for 3 s; it is ended" in server.said.read_text()


def test_a_worker_that_has_followed_another_is_known_to_serve(launch: Launcher, big: Path, tmp_path: Path) -> None:
    config = Config(tmp_path / "wsrv.toml", site_root=str(big), server_workers=1, server_stall_timeout="3s")
    server = launch_with(launch, config)
    (first,) = server.workers()
    first.kill()
    (second,) = wait_for(lambda: [w for w in server.workers() if w.pid != first.pid], "a successor")
    assert server.get("/").status == 200
    download, got = begin_download(server)
    reloaded(server)
    assert read_body(download, got) == BIG, "it is told to finish, not ended, by a reload"
    wait_until_gone([second], 10)
    (third,) = server.workers()
    third.kill()
    (fourth,) = wait_for(lambda: [w for w in server.workers() if w.pid != third.pid], "a successor")
    assert server.get("/_wsrv/ready").status == 200
    fourth.send_signal(signal.SIGSTOP)
    wait_for(lambda: not lives(fourth), "the end of one that stands still", 30)
    wait_for(lambda: server.get("/").status == 200, "a successor")


_ENDLESS = """
class Endless(Lru):
    def admit(self, key, weight):
        while b"trap" in key:
            pass
        return super().admit(key, weight)
parts = replace(parts, policy=Endless)
settings = replace(settings, process=ProcessSettings(workers=2, stall_seconds=3))
"""


def test_a_worker_in_an_endless_loop_shows_where_and_is_replaced(launch: Launcher, site: Path) -> None:
    (site / "trap.txt").write_text("round and round")
    server = launch(site, command=driver(_ENDLESS, root=site, runtime=launch.runtime, log=site.parent / "driven.log"))
    with server.connect() as sock:
        sock.sendall(b"GET /trap.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: sum(w["restarts"] for w in server.stats()["workers"]) == 1, "a successor", 30)
    assert all(server.get("/").status == 200 for _ in range(8))
    assert "in admit" in server.words()


def test_workers_that_have_answered_enough_are_replaced_and_nothing_is_lost(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "2", "--max-requests", "40")
    asked = 0
    while not all(w["restarts"] for w in server.stats()["workers"]):
        assert server.get("/").status == 200
        asked += 1
        assert asked < 2000, "workers are replaced after some 40 requests each"
    assert asked >= 80
    assert len(server.log_lines(asked)) == asked
    assert server.stats()["requests_total"] == asked
