# More clients than there is room for, workers that stand still, and no descriptors left.
"""Overload: everybody gets a 200 or a 503, nobody a reset, and afterwards all is as before."""

import contextlib
import signal
from collections import Counter
from pathlib import Path

import psutil

from tests.integration.transports import GET, GET_AND_CLOSE, every_dispatching, every_transport, go_on, refused, stop
from tests.support.crowd import Crowd
from tests.support.launch import Launched, Launcher
from tests.support.server import Server, Servers, read_answer, wait_for

# For ulimit in a shell: the server raises its soft limit as far as it may.
LIMIT = 200


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
