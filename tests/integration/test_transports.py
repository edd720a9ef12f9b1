# What a user may expect of each way from the listener to the workers, over a running server.
#
# What the death of a worker may cost: connections that it had taken and not answered, whatever the transport. What it
# had not taken is its successor's (socketpair, pidfd_getfd: it lies in the channel; reuseport: in the listener that the
# master holds) or anybody's (inherit).
"""Every transport serves, counts, survives kills and overload, and leaves nothing."""

import contextlib
import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import Servers
from tests.integration.test_exact import kill_workers_under_load
from tests.integration.test_mirror import DOCUMENTATION, digests
from tests.support.crowd import Crowd
from tests.support.launch import Launched, Launcher, driver
from tests.support.server import Server, read_answer, wait_for
from wsrv.plugins.registry import load

TRANSPORTS = load().transports
DISPATCHING = [name for name, transport in TRANSPORTS.items() if transport.DISPATCHES]
ACCEPTING = [name for name, transport in TRANSPORTS.items() if not transport.DISPATCHES]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# More than the kernel holds between two sockets, so that a reader who waits keeps the answer under way.
BIG = 64 * 1024 * 1024
# For ulimit in a shell: the server raises its soft limit as far as it may.
LIMIT = 200

OTHERS = [name for name in TRANSPORTS if name != "socketpair"]
every_transport = pytest.mark.parametrize("ipc", TRANSPORTS)
every_dispatching = pytest.mark.parametrize("ipc", DISPATCHING)
every_accepting = pytest.mark.parametrize("ipc", ACCEPTING)


@pytest.fixture
def unrotated(tmp_path: Path) -> tuple[str, str]:
    """Options by which the whole log stays in one file."""
    config = tmp_path / "unrotated.toml"
    config.write_text('[log]\nmax_size = "100GB"\n')
    return "--config", str(config)


def stop(*workers: psutil.Process) -> None:
    """Stop them, and wait until they stand still."""
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    for worker in workers:
        wait_for(lambda w=worker: w.status() == psutil.STATUS_STOPPED, "the worker to stop")  # type: ignore[misc]


def go_on(*workers: psutil.Process) -> None:
    for worker in workers:
        worker.send_signal(signal.SIGCONT)


def refused(server: Server) -> dict[str, int]:
    """Connections refused so far, by reason."""
    found: dict[str, int] = server.stats()["connections_refused"]
    return found


def assert_permits(server: Server, workers: list[psutil.Process], queue: int) -> None:
    """Each worker's queue takes as many as it has places, and not one more."""
    assert [slot["depth"] for slot in server.stats()["queue"]] == [0] * len(workers)
    before = refused(server).get("queue_full", 0)
    stop(*workers)
    places = queue * len(workers)
    with Crowd(server.port, places + 5, GET_AND_CLOSE) as crowd:
        crowd.ask()
        wait_for(lambda: refused(server).get("queue_full", 0) >= before + 5, "five refusals")
        assert [slot["depth"] for slot in server.stats()["queue"]] == [queue] * len(workers)
        go_on(*workers)
        assert crowd.hear() == {200: places, 503: 5}


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


@every_transport
def test_ab_counts_what_the_server_counts(servers: Servers, site: Path, unrotated: tuple[str, str], ipc: str) -> None:
    (site / "index.html").write_text("x" * 1024)
    server = servers(site, "--workers", "2", "--ipc", ipc, *unrotated)
    sent = 0
    for concurrency in (10, 100, 450, 1000):
        ab = ["ab", "-q", "-n", "20000", "-c", str(concurrency), f"{server.url}/index.html"]
        table = subprocess.run(ab, capture_output=True, text=True, check=True, timeout=60).stdout
        sent += 20_000
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


# test_exact does it with socketpair, for longer.
@pytest.mark.parametrize("ipc", OTHERS)
def test_killed_workers_lose_and_repeat_nothing(
    servers: Servers, site: Path, unrotated: tuple[str, str], ipc: str
) -> None:
    body = b"y" * 1024
    (site / "index.html").write_bytes(body)
    server = servers(site, "--workers", "2", "--ipc", ipc, *unrotated)
    kills = 3
    clients = kill_workers_under_load(server, body, kills)
    assert not [answer for client in clients for answer in client.wrong]
    whole = {name for client in clients for name in client.whole}
    assert len(whole) > 1000
    stats = wait_for(
        lambda: (s := server.stats())["requests_total"] == server.log.read_bytes().count(b"\n") and s,
        "as many requests counted as logged",
    )
    logged = Counter(re.findall(r'"GET /index\.html\?n=(\S+) HTTP/1\.1" 200 ', server.log.read_text("latin-1")))
    assert not [name for name, times in logged.items() if times > 1]
    assert not whole - set(logged)
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


@every_dispatching
def test_overload_is_200_or_503_for_everybody_and_a_reset_for_nobody(servers: Servers, site: Path, ipc: str) -> None:
    server = servers(site, "--workers", "1", "--queue", "100", "--ipc", ipc)
    workers = server.workers()
    stop(*workers)
    with Crowd(server.port, 2000, GET_AND_CLOSE) as crowd:
        crowd.ask()
        wait_for(lambda: refused(server).get("queue_full", 0) >= 1900, "1,900 refusals")
        go_on(*workers)
        assert crowd.hear() == {200: 100, 503: 1900}
    assert refused(server) == {"queue_full": 1900}
    assert_permits(server, workers, 100)


@every_dispatching
def test_the_queue_of_a_stopped_worker_is_dispatched_elsewhere_and_no_permit_is_lost(
    servers: Servers, site: Path, ipc: str
) -> None:
    server = servers(site, "--workers", "2", "--queue", "50", "--ipc", ipc)
    workers = server.workers()
    stop(workers[0])
    with Crowd(server.port, 60, GET_AND_CLOSE) as crowd:
        assert crowd.hear() == {200: 60}
    with Crowd(server.port, 40, GET_AND_CLOSE) as crowd:
        assert crowd.hear(2.0) == {200: 40}, "it is passed by now"
    stats = server.stats()
    assert stats["workers"][0]["requests_total"] == 0
    assert stats["queue"][0]["depth"] == 0
    assert stats["connections_refused"] == {}
    go_on(workers[0])

    def serves_again() -> bool:
        server.get("/")
        return bool(server.stats()["workers"][0]["requests_total"])

    wait_for(serves_again, "the worker to serve again")
    assert_permits(server, workers, 50)


@every_dispatching
def test_when_every_worker_stands_still_those_who_wait_are_told(servers: Servers, site: Path, ipc: str) -> None:
    server = servers(site, "--workers", "1", "--queue", "50", "--ipc", ipc)
    workers = server.workers()
    stop(*workers)
    with Crowd(server.port, 50, GET_AND_CLOSE) as crowd:
        assert crowd.hear() == {503: 50}
    assert refused(server) == {"worker_stalled": 50}
    go_on(*workers)
    wait_for(lambda: server.get("/").status == 200, "the worker to serve again")
    assert_permits(server, workers, 50)


def test_a_stopped_worker_keeps_nobody_from_the_others_who_inherited_the_listener(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "2", "--ipc", "inherit")
    stopped, _ = server.workers()
    stop(stopped)
    with Crowd(server.port, 100, GET_AND_CLOSE) as crowd:
        assert crowd.hear(2.0) == {200: 100}
    go_on(stopped)


def under_limit(launch: Launcher, site: Path, ipc: str) -> Launched:
    """A server of one worker that may have few descriptors."""
    shell = ["bash", "-c", f'ulimit -n {LIMIT} && exec "$0" "$@"']
    return launch(site, "--workers", "1", "--ipc", ipc, wrapper=shell)


@every_transport
def test_a_worker_without_descriptors_answers_503_and_goes_on(launch: Launcher, site: Path, ipc: str) -> None:
    server = under_limit(launch, site, ipc)
    held = [server.connect() for _ in range(60)]
    for sock in held:
        sock.sendall(GET)
        assert read_answer(sock).status == 200
    with Crowd(server.port, 150, GET) as crowd:
        crowd.ask()
        wait_for(lambda: crowd_has(crowd, 150), "an answer for everybody")
        answers = Counter(int(client.received[9:12]) for client in crowd.clients)
        assert set(answers) == {200, 503}
        assert answers[200] < LIMIT // 2
        # With pidfd_getfd the master holds its copies for a moment, and may be the one that is full.
        found = refused(server)
        assert set(found) <= {"worker_full", "master_full"}
        assert sum(found.values()) == answers[503]
        held[0].sendall(GET)
        assert read_answer(held[0]).status == 200, "who is in is served"
    for sock in held:
        sock.close()
    wait_for(lambda: server.stats()["connections_active"] == 0, "the end of all connections")
    assert server.get("/").status == 200
    assert len(server.log_lines(62 + answers[200])) == server.stats()["requests_total"] == 62 + answers[200]
    server.signal(signal.SIGTERM)
    assert server.status() == 0


@every_dispatching
def test_overload_of_a_master_without_descriptors_is_a_503_for_everybody(
    launch: Launcher, site: Path, ipc: str
) -> None:
    server = under_limit(launch, site, ipc)
    workers = server.workers()
    stop(*workers)
    with Crowd(server.port, 1000, GET_AND_CLOSE) as crowd:
        crowd.ask()
        found = crowd.hear()
    assert found == {503: 1000}
    assert sum(refused(server).values()) == 1000
    go_on(*workers)
    wait_for(lambda: server.get("/").status == 200, "the worker to serve again")
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert "Too many open files" not in server.words()


def crowd_has(crowd: Crowd, number: int) -> bool:
    """Whether so many have received something."""
    with contextlib.suppress(AssertionError):
        crowd.hear(0.05)
    return sum(bool(client.received) for client in crowd.clients) == number


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
