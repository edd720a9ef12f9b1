# What a user may expect of each way from the listener to the workers, over a running server.
#
# What the death of a worker may cost: connections that it had taken and not answered, whatever the transport. What it
# had not taken is its successor's (socketpair, pidfd_getfd: it lies in the channel; reuseport: in the listener that the
# master holds) or anybody's (inherit).
"""Every transport serves, counts, survives kills and overload, and leaves nothing."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_exact import assert_each_once, kill_workers_under_load
from tests.integration.test_mirror import DOCUMENTATION, digests
from tests.integration.transports import (
    DISPATCHING,
    GET_AND_CLOSE,
    OTHERS,
    TRANSPORTS,
    every_accepting,
    every_dispatching,
    every_transport,
    go_on,
    refused,
    stop,
)
from tests.support.crowd import Crowd
from tests.support.launch import Launched, Launcher, driver
from tests.support.server import Servers, wait_for

# More than the kernel holds between two sockets, so that a reader who waits keeps the answer under way.
BIG = 64 * 1024 * 1024

# With each number of connections.
REQUESTS = 5000


@pytest.fixture
def unrotated(tmp_path: Path) -> tuple[str, str]:
    """Options by which the whole log stays in one file."""
    config = tmp_path / "unrotated.toml"
    config.write_text('[log]\nmax_size = "100GB"\n')
    return "--config", str(config)


# One of them is mirrored whole in test_mirror.
@pytest.mark.parametrize("ipc", OTHERS)
def test_a_part_of_a_documentation_tree_arrives_byte_for_byte(servers: Servers, tmp_path: Path, ipc: str) -> None:
    tree, fetched, targets = tmp_path / "tree", tmp_path / "fetched", tmp_path / "targets"
    shutil.copytree(DOCUMENTATION / "library", tree / "library", symlinks=False)
    expected = digests(tree)
    assert len(expected) > 200
    server = servers(tree, "--workers", "2", "--ipc", ipc)
    targets.write_text("".join(f"{server.url}/{path}\n" for path in expected))
    wget = ["wget", "--quiet", "--no-host-directories", "--force-directories", "--execute", "robots=off"]
    subprocess.run([*wget, "--directory-prefix", str(fetched), "--input-file", str(targets)], check=True, timeout=120)
    assert digests(fetched) == expected
    assert server.stats()["requests_total"] == len(expected)


# test_exact does it with socketpair, for longer.
@pytest.mark.parametrize("ipc", OTHERS)
def test_ab_counts_what_the_server_counts(servers: Servers, site: Path, unrotated: tuple[str, str], ipc: str) -> None:
    (site / "index.html").write_text("x" * 1024)
    server = servers(site, "--workers", "2", "--ipc", ipc, *unrotated)
    sent = 0
    for concurrency in (10, 100, 450, 1000):
        ab = ["ab", "-q", "-n", str(REQUESTS), "-c", str(concurrency), f"{server.url}/index.html"]
        table = subprocess.run(ab, capture_output=True, text=True, check=True, timeout=60).stdout
        sent += REQUESTS
        assert re.search(r"Failed requests: +0\n", table), table
        assert "Non-2xx" not in table
    assert len(server.log_lines(sent)) == sent
    stats = wait_for(lambda: (s := server.stats())["requests_total"] >= sent and s, "all requests counted")
    assert stats["requests_total"] == sent
    assert stats["responses"] == {"200": sent}
    assert stats["connections_refused"] == {}
    assert stats["connections_active"] == 0
    assert stats["ipc"] == ipc
    assert all(worker["requests_total"] > 0 for worker in stats["workers"])
    known = ipc in DISPATCHING
    assert [(slot["depth"], slot["capacity"]) for slot in stats["queue"]] == [(0, 1024) if known else (None, None)] * 2
    assert all((ms is not None) is known for ms in stats["queue_wait_ms"].values())


# And this.
@pytest.mark.parametrize("ipc", OTHERS)
def test_killed_workers_lose_and_repeat_nothing(
    servers: Servers, site: Path, unrotated: tuple[str, str], ipc: str
) -> None:
    body = b"y" * 1024
    (site / "index.html").write_bytes(body)
    server = servers(site, "--workers", "2", "--ipc", ipc, *unrotated)
    kills = 3
    clients, answered = kill_workers_under_load(server, body, kills)
    stats = wait_for(
        lambda: (s := server.stats())["requests_total"] == server.log.read_bytes().count(b"\n") and s,
        "as many requests counted as logged",
    )
    assert_each_once(server.log.read_text("latin-1"), clients, answered, kills)
    assert stats["connections_refused"] == {}
    assert sum(worker["restarts"] for worker in stats["workers"]) == kills
    # Whoever was served by the dead had an end, and the successors serve.
    wait_for(lambda: server.stats()["connections_active"] == 0, "the end of all connections")
    assert server.get("/").status == 200


@every_transport
def test_connections_that_no_worker_has_taken_survive_the_death_of_all_workers(
    servers: Servers, site: Path, ipc: str
) -> None:
    server = servers(site, "--workers", "2", "--ipc", ipc)
    workers = server.workers()
    stop(*workers)
    with Crowd(server.port, 100, GET_AND_CLOSE) as crowd:
        crowd.ask()
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        assert crowd.hear() == {200: 100}
    assert server.stats()["requests_total"] == 100


@every_transport
def test_workers_that_are_told_to_end_are_succeeded_while_they_finish(launch: Launcher, site: Path, ipc: str) -> None:
    with (site / "big").open("wb") as file:
        file.truncate(BIG)
    server = launch(site, "--workers", "1", "--ipc", ipc)
    answered = 0
    for restarts in range(3):
        (worker,) = [w for w in server.workers() if w.pid == server.stats()["workers"][0]["pid"]]
        with Crowd(server.port, 50 - restarts, GET_AND_CLOSE) as crowd:
            assert crowd.hear() == {200: 50 - restarts}
        answered += 50 - restarts
        download = server.connect()
        download.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        assert download.recv(1000)
        worker.send_signal(signal.SIGTERM)
        wait_for(lambda n=restarts: server.stats()["workers"][0]["restarts"] > n, "the successor")  # type: ignore[misc]
    with Crowd(server.port, 50, GET_AND_CLOSE) as crowd:
        assert crowd.hear() == {200: 50}
    stats = wait_for(lambda: (s := server.stats())["requests_total"] >= answered + 50 and s, "all requests counted")
    assert stats["requests_total"] == answered + 50
    assert stats["connections_refused"] == {}
    server.disconnect()
    server.signal(signal.SIGTERM)
    assert server.status() == 0


@every_transport
def test_who_has_connected_is_answered_in_a_drain_and_nobody_can_connect_after(
    launch: Launcher, site: Path, ipc: str
) -> None:
    with (site / "big").open("wb") as file:
        file.truncate(BIG)
    server = launch(site, "--workers", "2", "--ipc", ipc)
    workers = server.workers()
    downloads = [server.connect() for _ in range(8)]
    for sock in downloads:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(1000)
    stop(*workers)
    with Crowd(server.port, 100, GET_AND_CLOSE) as crowd:
        crowd.ask()
        server.signal(signal.SIGTERM)
        go_on(*workers)
        assert crowd.hear() == {200: 100}
        wait_for(lambda: refuses(server), "the end of listening")
    assert server.workers(), "downloads are under way"
    server.signal(signal.SIGTERM)
    assert server.status() == 0


def refuses(server: Launched) -> bool:
    """Whether nobody listens on the server's port any more."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


@every_dispatching
def test_in_a_drain_what_waits_for_a_stopped_worker_is_refused_and_not_given_to_one_that_has_drained(
    launch: Launcher, site: Path, ipc: str
) -> None:
    server = launch(site, "--workers", "2", "--ipc", ipc)
    workers = server.workers()
    stop(*workers)
    with Crowd(server.port, 100, GET_AND_CLOSE) as crowd:
        crowd.ask()
        server.signal(signal.SIGTERM)
        go_on(workers[0])
        found = crowd.hear()
    assert set(found) == {200, 503}
    go_on(workers[1])
    assert server.status() == 0


@every_accepting
def test_a_second_server_on_the_port_does_not_start(launch: Launcher, site: Path, ipc: str) -> None:
    server = launch(site, "--workers", "2", "--ipc", ipc)
    status, said = launch.failing(site, "--ipc", ipc, "--port", str(server.port), "--name", "other")
    assert status == 5
    assert "in use" in said
    assert server.get("/").status == 200


def test_a_worker_that_loses_the_right_to_pull_is_a_503_that_is_counted(launch: Launcher, site: Path) -> None:
    log = launch.runtime.parent / "pulled.log"
    command = driver(
        """
import errno
from wsrv.plugins.transports import pidfd_getfd
def refuse(pidfd, number):
    raise PermissionError(errno.EPERM, "Operation not permitted")
pidfd_getfd.pull = refuse
parts = replace(parts, transport=pidfd_getfd.PidfdGetfd)
""",
        root=site,
        runtime=launch.runtime,
        log=log,
    )
    server = launch(site, command=command)
    with Crowd(server.port, 100, GET_AND_CLOSE) as crowd:
        assert crowd.hear() == {503: 100}
    assert refused(server) == {"worker_declined": 100}
    assert [slot["depth"] for slot in server.stats()["queue"]] == [0, 0]
    server.signal(signal.SIGTERM)
    assert server.status() == 0


def test_the_line_that_says_why_a_transport_cannot_work_names_another(launch: Launcher, site: Path) -> None:
    status, said = launch.failing(site, "--ipc", "carrier_pigeon")
    assert status == 2
    for name in TRANSPORTS:
        assert name in said
