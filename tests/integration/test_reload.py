# `wsrv reload` and SIGHUP: what a running server takes up, and what it does not.
"""Other settings for a server that runs."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.integration.transports import ACCEPTING, GET, GET_AND_CLOSE, every_dispatching, every_transport, stop
from tests.support.certificates import Authority, connect
from tests.support.crowd import Crowd
from tests.support.download import BIG, begin_download, make_big, read_body
from tests.support.launch import Launcher, driver, wait_until_gone
from tests.support.reload import Config, launch_with, reload, reloaded, wait_until_left
from tests.support.server import WSRV, read_answer, wait_for
from wsrv.cli.exits import CANNOT_START, USAGE


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Path, Path]:
    """Two sites, /index.html of which says which it is."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
    return tmp_path / "one", tmp_path / "two"


@pytest.fixture
def config(tmp_path: Path, sites: tuple[Path, Path]) -> Config:
    return Config(tmp_path / "wsrv.toml", site_root="one", server_workers=2)


HEADER = """
[[header]]
match = "/**"
set = { X-Taken-Up = "yes" }
"""


@every_transport
def test_new_workers_serve_by_the_settings_of_now_and_counts_go_on(launch: Launcher, config: Config, ipc: str) -> None:
    server = launch_with(launch, config, "--ipc", ipc)
    before = server.workers()
    assert server.get("/").body == b"one"
    config.set(site_root="two")
    config.add(HEADER)
    assert reloaded(server)["generation"] == 1
    if ipc in ACCEPTING:  # until it has heard of its end, a worker of before may accept one more
        wait_until_gone(before, 15)
    answer = server.get("/")
    assert (answer.body, answer.fields["x-taken-up"]) == (b"two", "yes")
    wait_until_gone(before, 15)
    stats = server.stats()
    assert stats["requests_total"] == 2
    assert len(server.log_lines(2)) == 2
    assert [worker["restarts"] for worker in stats["workers"]] == [0, 0]
    family = server.family()
    assert server.status_after_term() == 0
    server.assert_nothing_left(family)


def test_a_signal_reloads_too(launch: Launcher, config: Config) -> None:
    server = launch_with(launch, config)
    config.set(site_root="two")
    server.signal(signal.SIGHUP)
    wait_for(lambda: "reloaded in" in server.words(), "the new workers")
    assert server.get("/").body == b"two"


def test_wrong_settings_change_nothing_and_every_fault_is_told(launch: Launcher, config: Config) -> None:
    server = launch_with(launch, config)
    before = server.workers()
    config.set(site_root="two", server_workrs=3, cache_size="big")
    run = reload(server)
    assert run.returncode == USAGE
    assert "server.workrs; did you mean server.workers?" in run.stderr
    assert "cache.size" in run.stderr
    server.signal(signal.SIGHUP)
    wait_for(lambda: server.words().count("not reloaded: ") == 4, f"both faults, both times: {run.stderr}")
    assert server.get("/").body == b"one"
    assert server.workers() == before
    assert server.stats()["reloads"] == {"generation": 0, "done": 0, "failed": 2, "under_way": False, "leaving": 0}
    config.path.unlink()
    assert "cannot read the config file" in reload(server).stderr
    config.set(server_workrs=None, cache_size=None, cache_policy="lfuu")
    assert "did you mean" in reload(server).stderr
    config.set(cache_policy=None)
    assert reload(server).returncode == 0
    assert server.get("/").body == b"two"


def test_a_file_that_was_found_and_is_gone_is_missed(launch: Launcher, config: Config, tmp_path: Path) -> None:
    places = ("--port", "0", "--runtime-dir", str(launch.runtime))
    server = launch(tmp_path, command=[*WSRV, "serve", *places], cwd=tmp_path)
    config.path.unlink()
    assert "wsrv.toml is gone, and the server was started with it" in reload(server).stderr
    assert server.get("/").body == b"one"


def test_what_only_a_restart_takes_up_is_named_and_the_rest_is_taken_up(launch: Launcher, config: Config) -> None:
    server = launch_with(launch, config)
    config.set(site_root="two", server_ipc="inherit", log_keep=9)
    run = reload(server)
    assert run.returncode == 0
    pending = [line for line in run.stdout.splitlines() if "only a restart takes it up" in line]
    assert ["server.ipc" in pending[0], "log.keep" in pending[1], len(pending)] == [True, True, 2]
    assert server.get("/").body == b"two"
    assert server.stats()["ipc"] == "socketpair"


@every_transport
def test_workers_become_more_and_fewer(launch: Launcher, config: Config, ipc: str) -> None:
    server = launch_with(launch, config, "--ipc", ipc)
    for number in (4, 1, 3):
        config.set(server_workers=number)
        assert reloaded(server)["workers"] == number
        wait_until_left(server)
        assert len(server.workers()) == number
        with Crowd(server.port, 60, GET_AND_CLOSE) as crowd:
            assert crowd.hear() == {200: 60}
    config.set(server_workers=1000)
    run = reload(server)
    assert "more need a restart" in run.stderr
    assert server.get("/").status == 200


def test_listeners_come_and_go_and_those_that_stay_are_never_closed(
    launch: Launcher, config: Config, tmp_path: Path
) -> None:
    other = tmp_path / "other.sock"
    command = [*WSRV, "serve", "--config", str(config.path), "--runtime-dir", str(launch.runtime), "--name", "it"]
    config.set(server_listen=["127.0.0.1:0", f"unix:{other}"])
    server = launch(tmp_path, command=[*command, "--log-file", str(tmp_path / "access.log")])

    def again() -> list[str]:
        run = ["--runtime-dir", str(launch.runtime), "--name", "it"]
        subprocess.run([*WSRV, "reload", *run], check=True, timeout=30, capture_output=True)
        text = subprocess.run([*WSRV, "stats", *run], check=True, timeout=30, capture_output=True, text=True).stdout
        return [word for word in text.split() if word.startswith(("http://", "unix:"))]

    assert other.exists()
    config.set(server_listen=["127.0.0.1:0", "[::1]:0"])
    found = again()
    assert found[0] == f"http://127.0.0.1:{server.port}"
    assert found[1].startswith("http://[::1]:")
    assert not other.exists()
    assert server.get("/").status == 200
    config.set(server_listen=[f"unix:{other}", "127.0.0.1:0"])
    assert again() == [f"unix:{other}", f"http://127.0.0.1:{server.port}"]
    assert server.get("/").status == 200


@every_transport
def test_what_has_begun_is_finished_by_the_old_workers(launch: Launcher, config: Config, ipc: str) -> None:
    make_big(config.path.parent / "one")
    server = launch_with(launch, config, "--ipc", ipc)
    download, got = begin_download(server)
    config.set(site_root="two")
    reloaded(server)
    wait_for(lambda: server.stats()["reloads"]["leaving"] == 1, "the end of those who had nothing to do")
    assert server.get("/").body == b"two"
    assert read_body(download, got) == BIG
    wait_until_left(server)


def test_who_takes_too_long_is_ended_with_the_old_workers(launch: Launcher, config: Config) -> None:
    make_big(config.path.parent / "one")
    server = launch_with(launch, config, "--timeout", "500ms")
    before = server.workers()
    download, got = begin_download(server)
    stop(before[0], before[1])
    reloaded(server)
    wait_until_gone(before, 15)
    with contextlib.suppress(ConnectionResetError):
        assert read_body(download, got) < BIG
    assert server.get("/").status == 200


@every_transport
def test_an_idle_client_is_answered_once_more(launch: Launcher, config: Config, ipc: str) -> None:
    server = launch_with(launch, config, "--ipc", ipc)
    with server.connect() as idle:
        idle.sendall(GET)
        assert read_answer(idle).status == 200
        reloaded(server)
        # Its worker may not have heard yet that it is to leave: then there is another answer first.
        wait_for(lambda: is_answered_last(idle), "the last answer")
        assert idle.recv(1) == b""
    wait_until_left(server)


def is_answered_last(client: socket.socket) -> bool:
    """Whether one more request of `client` is answered with the word that it was the last."""
    client.sendall(GET)
    answer = read_answer(client)
    assert answer.status == 200
    return answer.fields.get("connection") == "close"


@every_dispatching
def test_who_waits_for_an_old_worker_that_stands_still_is_answered_by_a_new_one(
    launch: Launcher, config: Config, ipc: str
) -> None:
    server = launch_with(launch, config, "--ipc", ipc)
    before = server.workers()
    stop(*before)
    with Crowd(server.port, 40, GET_AND_CLOSE) as crowd:
        crowd.ask()
        wait_for(lambda: sum(q["depth"] for q in server.stats()["queue"]) == 40, "all to wait")
        reloaded(server)
        assert crowd.hear() == {200: 40}
    for worker in before:
        worker.kill()
    wait_until_left(server)
    assert server.stats()["connections_refused"] == {}


def test_two_who_ask_at_once_are_both_answered(launch: Launcher, config: Config) -> None:
    server = launch_with(launch, config)
    config.set(site_root="two")
    runs: list[int] = []
    askers = [threading.Thread(target=lambda: runs.append(reloaded(server)["generation"])) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(runs) == 4
    assert min(runs) == 1
    assert max(runs) == server.stats()["reloads"]["done"] <= 4
    assert server.get("/").body == b"two"


CRASHES = """
from wsrv.engine.master.renewal import Renewal
class Crashing(Lru):
    NAME = "crashing"
    def __init__(self, capacity_bytes):
        raise RuntimeError("not with me")
def renew():
    return Renewal(replace(settings, process=ProcessSettings(workers=3)), Crashing)
"""


def test_workers_that_do_not_come_up_leave_the_old_ones_in_place(launch: Launcher, site: Path) -> None:
    command = driver(CRASHES, root=site, runtime=launch.runtime, log=site.parent / "driven.log")
    server = launch(site, command=[*command[:-1], command[-1].replace("verbose=True)", "verbose=True), None, renew")])
    before = server.workers()
    run = reload(server)
    assert run.returncode == CANNOT_START
    assert "the new workers do not come up: worker" in run.stderr
    wait_for(lambda: server.workers() == before, "the new workers to be gone")
    assert server.get("/").status == 200
    assert "not with me" in server.words()
    stats = server.stats()
    assert (stats["reloads"]["failed"], stats["reloads"]["generation"]) == (1, 0)
    assert server.status_after_term() == 0


def test_a_policy_chosen_since_the_start_stays_until_the_settings_name_another(
    launch: Launcher, config: Config
) -> None:
    server = launch_with(launch, config)
    subprocess.run(
        [*WSRV, "cache", "policy", "lfu", "--runtime-dir", str(server.runtime), "--name", str(server.port)],
        check=True,
        capture_output=True,
        timeout=20,
    )
    reloaded(server)
    assert server.stats()["cache"]["policy"] == "lfu"
    config.set(cache_policy="arc")
    reloaded(server)
    assert server.stats()["cache"]["policy"] == "arc"


def test_a_shared_cache_is_kept_for_what_is_the_same(
    launch: Launcher, config: Config, sites: tuple[Path, Path]
) -> None:
    for site in sites:
        os.utime(site / "index.html", (1, 1))
    server = launch_with(launch, config, "--cache-scope", "shared")
    assert server.get("/").body == b"one"
    assert server.stats()["cache"]["objects"] == 1
    misses = server.stats()["cache"]["misses"]
    reloaded(server)
    assert server.get("/").body == b"one"
    assert server.stats()["cache"]["misses"] == misses
    config.add(HEADER)
    reloaded(server)
    assert server.get("/").fields["x-taken-up"] == "yes", "fields are part of what is kept"
    config.set(cache_size="1GiB", site_root="two")
    config.add("")
    assert ["cache.size" in line for line in reloaded(server)["pending"]] == [True]
    assert server.get("/").body == b"two"


def test_the_end_of_the_terminal_is_the_end_of_the_server(launch: Launcher, site: Path) -> None:
    master, slave = pty.openpty()
    try:
        server = launch(site, wrapper=["setsid", "--ctty"], stdin=slave)
        server.signal(signal.SIGHUP)
        wait_for(lambda: "cannot reload" in server.words() or "reloaded in" in server.words(), "a reload")
    finally:
        os.close(slave)
        os.close(master)
    assert server.status() == 0


def test_certificates_are_renewed_at_once_and_wrong_ones_change_nothing(
    launch: Launcher, config: Config, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.issue("localhost")
    config.set(tls_cert=str(pair.cert), tls_key=str(pair.key))
    server = launch_with(launch, config)

    def serial() -> object:
        with connect(server.port, authority.client()) as client:
            client.sendall(GET)
            assert read_answer(client).status == 200
            return (client.getpeercert() or {})["serialNumber"]

    first = serial()
    other = authority.issue("localhost", stem="other")
    config.set(tls_key=str(other.key))
    run = reload(server)
    assert run.returncode == CANNOT_START
    assert "does not belong to the certificate" in run.stderr
    assert serial() == first
    config.set(tls_cert=str(other.cert))
    assert reload(server, "--verify").returncode == 0
    second = serial()
    assert second != first
    config.set(tls_cert=None, tls_key=None)
    assert reloaded(server)["listeners"] == [server.url]
    assert server.get("/").body == b"one"
