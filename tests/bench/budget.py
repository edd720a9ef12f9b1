# What a request is made of: python -m tests.bench.budget
#
# The parts of a worker are put together in this process, with real sockets, and go through rounds of a batch of
# requests: now as they are, and timed stage by stage; now with each call that the hot path makes of the system timed
# apart. What is a few bytecodes long is timed in a loop of its own, and what the lines leave over of the hot path is a
# line too.
#
# Beside the sum stands what a server of one worker takes, per process (/proc/PID/schedstat), asked by wrk, or by ab for
# a connection a request. How often its processes fell asleep, in vain or not, tells how long its batches are, and the
# rounds here are as long; what it costs to sleep and to be woken is a line. Needs wrk and ab.
"""CPU microseconds of a request, line by line, beside those of the whole, as Markdown tables on stdout."""

import argparse
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from time import monotonic_ns, perf_counter_ns, thread_time_ns
from types import SimpleNamespace
from typing import Any, NamedTuple

from tests.bench.transports import Server
from tests.master.slots import open_slots
from tests.worker.workbench import Workbench
from wsrv.engine.ipc.accept import AcceptingSource
from wsrv.engine.ipc.transport import ConnectionSource
from wsrv.engine.log.format import Combined
from wsrv.engine.master.dispatch import Dispatcher
from wsrv.engine.shm.histogram import BUCKET_TABLE, UNIT_SHIFT
from wsrv.engine.shm.row import TAIL_WORD
from wsrv.engine.sync.primitive import Semaphore
from wsrv.engine.worker import hot
from wsrv.engine.worker.arrivals import Arrivals
from wsrv.engine.worker.connection import IDLE, Connection

# As wrk and ab ask.
KEEP_ALIVE = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
CLOSING = b"GET /index.html HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n"
BODY_BYTES = 1024
CALLS = 20_000
# Connections that a worker takes at once.
ROUND = 16

# Nanoseconds of each stage of a round.
Stages = dict[str, int]


def _each_ns(work: Callable[[], object]) -> float:
    """Nanoseconds of one of the CALLS that `work` makes, without the loop around them."""
    times = []
    for each in (work, lambda: [None for _ in repeat(None, CALLS)]):
        best = []
        for _ in range(5):
            begin = thread_time_ns()
            each()
            best.append((thread_time_ns() - begin) / CALLS)
        times.append(min(best))
    return times[0] - times[1]


class Replay:
    """Rounds of a worker, and of a master where there is one, over TCP on loopback."""

    def __init__(self, root: Path, request: bytes, batch: int) -> None:
        self.request = request
        self.batch = batch
        self.bench = Workbench(root)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener.setblocking(False)
        self.answer = self.bench.warm(request)

    def close(self) -> None:
        """End all."""
        self.listener.close()
        self.bench.close()

    def client(self) -> socket.socket:
        """A client that has connected and asked."""
        client = socket.create_connection(self.listener.getsockname())
        client.sendall(self.request)
        return client

    def answered(self, clients: Sequence[socket.socket]) -> None:
        """Have each take its answer."""
        for client in clients:
            got = len(client.recv(65536))
            assert got == len(self.answer), f"{got} bytes for an answer of {len(self.answer)}"

    @contextmanager
    def watched(self) -> Iterator[Stages]:
        """Time what the hot path calls; the nanoseconds by line."""
        took: Stages = {"read": 0, "write": 0, "record": 0, "close": 0}
        place: Any = hot
        ledger: Any = self.bench.ledger
        close_all = place.close_all
        calls = {"read": os.read, "write": os.write, "record": ledger.commit, "close": close_all}
        read, write, commit, close = (_watching(took, line, call) for line, call in calls.items())
        place.os = SimpleNamespace(read=read, write=write, writev=os.writev)
        place.close_all = close
        ledger.commit = commit
        try:
            yield took
        finally:
            place.os, place.close_all = os, close_all
            del ledger.commit

    def small(self) -> dict[str, float]:
        """What is a few bytecodes long, in nanoseconds."""
        shelf, request = self.bench.shelf, self.request
        line, _, block = request.partition(b"\r\n")
        remembered, hit = shelf.remembered, shelf.store.policy.hit
        known = remembered[block]
        key = known.front[line].key
        histogram, began_ns = self.bench.ledger.histogram, monotonic_ns()

        def parse() -> None:
            # Bytes that are new each time, so that their hash has to be made.
            for _ in repeat(None, CALLS):
                _, _, rest = request.partition(b"\r\n")
                remembered.get(rest)

        def look_up() -> None:
            for _ in repeat(None, CALLS):
                prepared = known.front.get(request[:27])
                if prepared is not None and prepared.until_ns > began_ns:
                    hit(key)
                    prepared.hits += 1

        def count() -> None:
            for _ in repeat(None, CALLS):
                units = (monotonic_ns() - began_ns) >> UNIT_SHIFT
                histogram[BUCKET_TABLE[units % len(BUCKET_TABLE)]] += 1

        return {
            "parse: field block remembered": _each_ns(parse),
            "lookup: answer, cache policy": _each_ns(look_up),
            "statistics: clock, histogram": _each_ns(count),
        }

    def budget(self, rounds: int, rehearse: Callable[[], Stages]) -> dict[str, float]:
        """Microseconds a request by line. `rehearse` makes a round, and tells its stages."""
        found: dict[str, list[int]] = {}
        for number in range(-2, rounds):
            self.refresh()
            stages = rehearse()
            self.refresh()
            with self.watched() as took:
                rehearse()
            for line, took_ns in (stages | took).items() if number >= 0 else ():
                found.setdefault(line, []).append(took_ns)
        lines = {line: statistics.median(times) / self.batch for line, times in found.items()}
        nothing: Stages = {"": 0}
        look = _watching(nothing, "", id)
        for _ in range(CALLS):
            look(look)
        for line in ("read", "write"):
            lines[line] -= nothing[""] / CALLS
        turn = lines.pop("turn")
        lines |= self.small()
        inside = ("read", "write", "record", "close", *self.small())
        lines["the rest of the hot path"] = turn - sum(lines[each] for each in inside)
        if not lines["close"]:
            del lines["close"]
        return {line: took_ns / 1000 for line, took_ns in lines.items()}

    def refresh(self) -> None:
        """Have the answer good for a while, and the log written out."""
        self.bench.now_ns = monotonic_ns()
        self.bench.advance(0)
        self.bench.warm(self.request)
        self.bench.row.words[TAIL_WORD] = self.bench.row.covered()


def _watching(took: Stages, line: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, whose time is added to a line of `took`."""

    def watched(*arguments: Any) -> Any:
        begin = perf_counter_ns()
        try:
            return call(*arguments)
        finally:
            took[line] += perf_counter_ns() - begin

    return watched


def keep_alive(root: Path, rounds: int, batch: int) -> dict[str, float]:
    """The lines of a request over a connection that stays."""
    replay = Replay(root, KEEP_ALIVE, batch)
    bench = replay.bench
    clients = [replay.client() for _ in range(batch)]
    conns = []
    for _ in clients:
        near, _ = replay.listener.accept()
        near.setblocking(False)
        conns.append(Connection(near.detach(), b"127.0.0.1 - - [", bench.now_ns))
    bench.hot.turn(conns, bench.now_ns)
    replay.answered(clients)
    table, epoll = bench.connections.table, bench.connections.epoll

    def rehearse() -> Stages:
        for client in clients:
            client.sendall(KEEP_ALIVE)
        while len(epoll.poll(0.001, batch)) < batch:
            pass
        begin = thread_time_ns()
        events = epoll.poll(1.0, batch)
        now_ns = monotonic_ns()
        bench.clock.turn(now_ns)
        ready = []
        for fd, _ in events:
            conn = table.get(fd)
            if conn is not None and conn.state == IDLE:
                ready.append(conn)
        found = thread_time_ns()
        bench.hot.turn(ready, now_ns)
        turned = thread_time_ns()
        bench.ledger.beat(now_ns)
        bench.ledger.publish()
        end = thread_time_ns()
        assert len(ready) == batch, f"{len(ready)} of {batch} were ready"
        replay.answered(clients)
        return {"loop: epoll, round": found - begin + end - turned, "turn": turned - found}

    try:
        return replay.budget(rounds, rehearse)
    finally:
        for client in clients:
            client.close()
        for conn in conns:
            bench.connections.drop(conn)
        replay.close()


def connect(root: Path, rounds: int, batch: int, ipc: str) -> dict[str, float]:
    """The lines of a request with a connection of its own."""
    with ExitStack() as stack:
        replay = Replay(root, CLOSING, batch)
        stack.callback(replay.close)
        (slot,) = stack.enter_context(open_slots(batch * 4))
        refused: list[int] = []
        dispatcher = Dispatcher([replay.listener], [slot], lambda fd, reason, number: refused.append(fd))
        dispatches = ipc == "socketpair"
        source: ConnectionSource = slot.channel.source() if dispatches else AcceptingSource([replay.listener])
        queue: Semaphore | None = slot.queue if dispatches else None
        bench = replay.bench
        arrivals = Arrivals(source, queue, bench.connections, bench.ledger, Combined(), lambda *_: None)
        timed = _Timed(source)
        arrivals.source = timed
        send = _timed(slot.channel, "send") if dispatches else None
        acceptor = dispatcher._acceptors[replay.listener.fileno()]
        accept = _timed(acceptor, "take")
        listening = stack.enter_context(select.epoll())
        listening.register(replay.listener.fileno(), select.EPOLLIN)
        waiting = bench.connections.epoll
        waiting.register(source.fds()[0], select.EPOLLIN)

        def rehearse() -> Stages:
            clients = [replay.client() for _ in range(batch)]
            stages: Stages = {}
            conns: list[Connection] = []
            accept.clear()
            polling_ns = 0
            if send is not None:
                # As if the round before had been full: no pause.
                dispatcher._moderation.note(1, 1)
                send.clear()
                begin = thread_time_ns()
                listening.poll(1.0)
                polled = thread_time_ns()
                accepted = dispatcher.accept(replay.listener.fileno())
                whole_ns = thread_time_ns() - polled
                polling_ns = polled - begin
                assert accepted == batch, f"{accepted} of {batch} were accepted"
                stages["accept"] = sum(accept)
                stages["dispatch: permits, choice"] = whole_ns - sum(accept) - sum(send)
            timed.took_ns = taking_ns = 0
            begin = thread_time_ns()
            waiting.poll(1.0)
            now_ns = monotonic_ns()
            bench.clock.turn(now_ns)
            bench.ledger.beat(now_ns)
            bench.ledger.publish()
            stages["loop: epoll, round"] = thread_time_ns() - begin + polling_ns
            while len(conns) < batch:
                begin = thread_time_ns()
                conns += arrivals.take(now_ns)
                taking_ns += thread_time_ns() - begin
            stages["travel: sendmsg, recvmsg" if send is not None else "accept"] = timed.took_ns + sum(send or ())
            stages["take: connection, wait counted"] = taking_ns - timed.took_ns
            begin = thread_time_ns()
            bench.hot.turn(conns, now_ns)
            stages["turn"] = thread_time_ns() - begin
            replay.answered(clients)
            for client in clients:
                client.close()
            return stages

        return replay.budget(rounds, rehearse)


class _Timed:
    """A source whose takes are timed."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source
        self.lost = 0
        self.events = source.events
        self.took_ns = 0

    def fds(self) -> Sequence[int]:
        return self._source.fds()

    def take(self) -> list[Any]:
        begin = thread_time_ns()
        found = self._source.take()
        self.took_ns += thread_time_ns() - begin
        return found

    def close(self) -> None:
        self._source.close()


def _timed(owner: Any, name: str) -> list[int]:
    """The list of what each call of a method of `owner` takes, from now on."""
    times: list[int] = []
    method = getattr(owner, name)

    def call(argument: Any) -> Any:
        begin = thread_time_ns()
        found = method(argument)
        times.append(thread_time_ns() - begin)
        return found

    setattr(owner, name, call)
    return times


class Process(NamedTuple):
    """What a process of the server does a request: CPU time, and how often it falls asleep."""

    took_us: float
    sleeps: float


def whole(root: Path, kind: str, ipc: str, clients: int, seconds: int) -> dict[str, Process]:
    """The processes of a server of one worker: master, worker, log writer."""
    server = Server(root, ipc, 1)
    url = f"http://127.0.0.1:{server.port}/index.html"
    if kind == "keep-alive":
        command: tuple[str, ...] = ("wrk", "-t1", f"-c{clients}", f"-d{seconds}", url)
        pattern = r"(\d+) requests in"
    else:
        command = ("ab", "-q", "-n", str(5000 * seconds), "-c", str(clients), url)
        pattern = r"Complete requests:\s+(\d+)"
    try:
        subprocess.run(command, capture_output=True, check=True)
        before = _spent(server)
        done = re.search(pattern, subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        after = _spent(server)
    finally:
        server.end()
    if done is None:
        sys.exit(f"{command[0]} says nothing of requests")
    number = int(done[1])
    return {
        name: Process((took_ns - before[name][0]) / number / 1000, (sleeps - before[name][1]) / number)
        for name, (took_ns, sleeps) in after.items()
    }


def _spent(server: Server) -> dict[str, tuple[int, int]]:
    spent = {}
    for number, process in enumerate(server.family()):
        title = Path(f"/proc/{process.pid}/comm").read_text().strip().removeprefix("wsrv:").strip()
        tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
        took_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
        spent[title if number else "master"] = (took_ns, process.num_ctx_switches().voluntary)
    return spent


def sleep_us() -> float:
    """CPU microseconds of falling asleep in epoll and being woken, beside those of a look that finds something."""
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        while theirs.recv(1):
            until_ns = perf_counter_ns() + 100_000
            while perf_counter_ns() < until_ns:
                pass
            theirs.send(b"x")
        os._exit(0)
    theirs.close()
    with select.epoll() as epoll:
        epoll.register(ours, select.EPOLLIN)
        asleep: list[int] = []
        awake: list[int] = []
        for _ in range(500):
            ours.send(b"x")
            for times in (asleep, awake):
                begin = thread_time_ns()
                epoll.poll(1.0)
                times.append(thread_time_ns() - begin)
            ours.recv(1)
    ours.close()
    os.wait()
    return (statistics.median(asleep) - statistics.median(awake)) / 1000


def batch_of(processes: dict[str, Process], longest: int) -> int:
    """How many requests a round of the worker has, when it sleeps between rounds; `longest` when it does not."""
    (worker,) = (process for name, process in processes.items() if name.startswith("worker"))
    return max(1, min(longest, round(1 / worker.sleeps))) if worker.sleeps else longest


def show(title: str, lines: dict[str, float], processes: dict[str, Process], batch: int) -> None:
    """A table, and how far the sum is from the whole."""
    writer = processes["log"].took_us
    lines["sleeping and waking"] = sleep_us() * sum(each.sleeps for name, each in processes.items() if name != "log")
    lines["log writer, as measured"] = writer
    print(f"\n{title}, {batch} a round\n\n| line | us |\n|---|---|")
    for line, took_us in lines.items():
        print(f"| {line} | {took_us:.2f} |")
    whole_us = sum(process.took_us for process in processes.values())
    total_us = sum(lines.values())
    print(f"| **sum** | **{total_us:.2f}** |")
    parts = ", ".join(f"{name} {process.took_us:.2f}" for name, process in processes.items())
    print(f"| measured: {parts} | {whole_us:.2f} ({total_us / whole_us - 1:+.0%}) |", flush=True)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.budget", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="keep-alive,socketpair,inherit")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "index.html").write_bytes(b"x" * BODY_BYTES)
        if "keep-alive" in only:
            processes = whole(root, "keep-alive", "inherit", arguments.clients, arguments.seconds)
            batch = batch_of(processes, arguments.clients)
            show("Over a connection that stays", keep_alive(root, arguments.rounds, batch), processes, batch)
        for ipc in ("socketpair", "inherit"):
            if ipc in only:
                processes = whole(root, "connect", ipc, arguments.clients, arguments.seconds)
                batch = batch_of(processes, ROUND)
                lines = connect(root, arguments.rounds // 2, batch, ipc)
                show(f"A connection a request, `{ipc}`", lines, processes, batch)


if __name__ == "__main__":
    main()
