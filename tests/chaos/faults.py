# What is done to a server: one function a fault. It returns when the fault is over, and service is due.
#
# Rule 1: a fault is over when what was done is undone, or when the server is told of a death by the kernel. A worker
#         that is stopped for good is a fault until the server ends it.
# Rule 2: chances are taken from the round's own seed, in an order that no clock has a say in.
"""Faults by name."""

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from tests.chaos.clients import recovery, rest_of, warm
from tests.chaos.ground import COLD, SHRINKING_BYTES, STALL_SECONDS, Ground
from tests.chaos.levers import CRASH, DEADLY, LOOP, NO_FORK, SLOW_DISK
from tests.support.crowd import Crowd
from tests.support.launch import lives
from tests.support.server import wait_for

# Two looks of the master after its bound, and room for a busy machine.
_ENDED_SECONDS = STALL_SECONDS + 9.0
_HOLDERS = 700
_COLD_CLIENTS = 300
_SLOW_CLIENTS = 60
_SLOW = b"GET /streamed.bin?slow HTTP/1.1\r\nHost: test\r\nX-Slow: something that takes its time\r\n\r\n"
# How long after its return workers may differ about a root.
_LOOK_SECONDS = 3.0


Strike = Callable[[Ground], None]


@dataclass(frozen=True)
class Fault:
    """What is done, and to which servers: only to those whose master dispatches, or whose workers share a cache."""

    strike: Strike
    dispatching: bool = False
    shared: bool = False


# By the name in the summary.
FAULTS: dict[str, Fault] = {}


def fault(name: str, *, dispatching: bool = False, shared: bool = False) -> Callable[[Strike], Strike]:
    """Register a fault."""

    def register(strike: Strike) -> Strike:
        FAULTS[name] = Fault(strike, dispatching, shared)
        return strike

    return register


# Deaths.


@fault("worker killed")
def kill_a_worker(ground: Ground) -> None:
    ground.a_worker().kill()


@fault("all workers killed")
def kill_all_workers(ground: Ground) -> None:
    for worker in ground.workers():
        worker.kill()


@fault("workers crash at start")
def crash_at_start(ground: Ground) -> None:
    ground.levers.pull(CRASH, ground.chance.randint(1, 2))
    ground.a_worker().kill()
    wait_for(lambda: not ground.levers.is_pulled(CRASH), "a worker to crash at start")


@fault("log writer killed")
def kill_the_log_writer(ground: Ground) -> None:
    ground.helper("log").kill()


@fault("keeper killed", shared=True)
def kill_the_keeper(ground: Ground) -> None:
    ground.helper("cache").kill()


def _kill_with(guard: str, *, dispatching: bool = False, shared: bool = False) -> None:
    @fault(f"killed with {guard}", dispatching=dispatching, shared=shared)
    def kill_whoever_has_it(ground: Ground) -> None:
        ground.levers.pull(DEADLY[guard])
        wait_for(lambda: not ground.ask_for_something_new(DEADLY[guard]), f"somebody to take {guard}")


_kill_with("queue", dispatching=True)
_kill_with("pool_empty")
_kill_with("pool_filled")
_kill_with("pool_mutex")
_kill_with("cache_writer", shared=True)


# Standing still.


@fault("worker stopped")
def stop_a_worker(ground: Ground) -> None:
    worker = ground.a_worker()
    worker.suspend()
    ground.lasts(0.2, 1.5)
    worker.resume()


@fault("all workers stopped")
def stop_all_workers(ground: Ground) -> None:
    workers = ground.workers()
    for worker in workers:
        worker.suspend()
    ground.lasts(0.1, 0.6)
    for worker in workers:
        worker.resume()


@fault("worker stopped for good")
def stop_a_worker_for_good(ground: Ground) -> None:
    worker = ground.a_worker()
    worker.suspend()
    wait_for(lambda: not lives(worker), "the end of the worker that stands still", _ENDED_SECONDS)


@fault("worker in an endless loop")
def loop(ground: Ground) -> None:
    before = ground.workers()
    ground.levers.pull(LOOP)
    wait_for(lambda: not ground.ask_for_something_new(LOOP), "a worker to take something new into its cache")
    wait_for(lambda: not all(lives(worker) for worker in before), "the end of the worker that loops", _ENDED_SECONDS)


@fault("log writer stopped")
def stop_the_log_writer(ground: Ground) -> None:
    writer = ground.helper("log")
    writer.suspend()
    ground.lasts(0.2, 1.0)
    writer.resume()


@fault("keeper stopped", shared=True)
def stop_the_keeper(ground: Ground) -> None:
    keeper = ground.helper("cache")
    keeper.suspend()
    ground.lasts(0.2, 1.5)
    keeper.resume()


@fault("master stopped")
def stop_the_master(ground: Ground) -> None:
    ground.server.process.suspend()
    ground.lasts(0.1, 0.6)
    ground.server.process.resume()


# Nothing left.


@fault("descriptors exhausted")
def take_all_descriptors(ground: Ground) -> None:
    with Crowd(ground.server.port, _HOLDERS, b"GET /small.bin?held HTTP/1.1\r\nHost: test\r\n\r\n") as crowd:
        # Whoever is not let in is told so, or waits in the backlog of the kernel.
        with contextlib.suppress(AssertionError):
            crowd.ask(2.0)
        ground.lasts(0.2, 0.8)


@fault("forks refused")
def refuse_forks(ground: Ground) -> None:
    ground.levers.pull(NO_FORK)
    ground.a_worker().kill()
    ground.lasts(0.2, 0.8)
    ground.levers.let_go(NO_FORK)


@fault("log full")
def fill_the_log(ground: Ground) -> None:
    # As a full disk: part of a write succeeds, and the rest fails.
    writer = ground.helper("log")
    _, most = resource.prlimit(writer.pid, resource.RLIMIT_FSIZE)
    room = ground.server.log.stat().st_size + ground.chance.randrange(5000)
    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (room, most))
    ground.lasts(0.2, 0.8)
    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (most, most))


@fault("log cannot be opened anew")
def stand_in_the_way_of_the_log(ground: Ground) -> None:
    log, words = ground.server.log, ground.server.words
    told = words().count("Is a directory")
    log.rename(ground.away())
    log.mkdir()
    try:
        ground.server.signal(signal.SIGUSR1)
        wait_for(lambda: words().count("Is a directory") > told, "the complaint")
    finally:
        log.rmdir()
        _reopen(ground)


@fault("slow disk")
def slow_disk(ground: Ground) -> None:
    """All threads of the pool wait for the disk; who asks for what is in memory does not."""
    requests = [f"GET {target}?cold HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode() for target in COLD]
    warm(ground.server.port)
    ground.levers.pull(SLOW_DISK)
    ground.site.touch_cold()
    try:
        with Crowd(ground.server.port, _COLD_CLIENTS, *requests) as crowd:
            crowd.ask()
            meanwhile = recovery(ground.server.port)
            if meanwhile.seconds > 1 + meanwhile.late_seconds:
                ground.faults.append(f"hits waited {meanwhile.seconds:.2f} s for a slow disk")
            ground.lasts(0.1, 0.5)
            ground.levers.let_go(SLOW_DISK)
            if wrong := {how: n for how, n in crowd.hear(20).items() if how not in (200, 503)}:
                ground.faults.append(f"a slow disk made of {_COLD_CLIENTS} answers {wrong}")
    finally:
        ground.levers.let_go(SLOW_DISK)


# What others do to files.


@fault("log rotated by others")
def rotate_the_log(ground: Ground) -> None:
    ground.server.log.rename(ground.away())
    _reopen(ground)


def _reopen(ground: Ground) -> None:
    ground.server.signal(signal.SIGUSR1)
    wait_for(ground.server.log.is_file, "the log, opened anew")


@fault("file shrinks while it is sent")
def shrink_a_file(ground: Ground) -> None:
    site = ground.site
    with socket.create_connection(("127.0.0.1", ground.server.port), 10) as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        sock.sendall(b"GET /shrinks.bin?shrinks HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        head = sock.recv(20_000)
        os.truncate(site.root / "shrinks.bin", ground.chance.randrange(SHRINKING_BYTES))
        body = rest_of(sock, head)
        if head.startswith(b"HTTP/1.1 200 ") and not site.shrinking.startswith(body):
            ground.faults.append(f"of a file that shrank came {len(body)} bytes that it never had")
    site.restore()


@fault("root vanishes and returns")
def take_the_root_away(ground: Ground) -> None:
    root, away = ground.site.root, ground.folder / "away"
    ground.checkers.away_until = float("inf")
    root.rename(away)
    ground.lasts(0.3, 1.2)
    away.rename(root)
    ground.checkers.away_until = monotonic() + _LOOK_SECONDS


# What is asked of it.


@fault("reload")
def reload(ground: Ground) -> None:
    _reload(ground)


@fault("death in a reload")
def reload_and_kill(ground: Ground) -> None:
    _reload(ground, kills=True)


def _reload(ground: Ground, *, kills: bool = False) -> None:
    ground.config.set(server_workers=ground.chance.choice((2, 3)))
    over = _reloads(ground)
    ground.server.signal(signal.SIGHUP)
    if kills:
        ground.lasts(0.0, 0.15)
        ground.a_worker().kill()
    wait_for(lambda: _reloads(ground) > over, "the end of the reload", 20)


def _reloads(ground: Ground) -> int:
    words = ground.server.words()
    return words.count("wsrv: reloaded in") + words.count("not reloaded: ")


@fault("slow clients")
def be_slow(ground: Ground) -> None:
    socks = []
    for number in range(_SLOW_CLIENTS):
        sock = socket.create_connection(("127.0.0.1", ground.server.port), 5)
        socks.append(sock)
        with contextlib.suppress(OSError):
            # Half of them never end a head, the others read nothing of what they asked for.
            sock.sendall(_SLOW[: -4 - number % 20] if number % 2 else _SLOW)
    ground.lasts(0.3, 1.0)
    for sock in socks:
        sock.close()
