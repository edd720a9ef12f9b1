# What a request is made of: python -m tests.bench.budget
#
# Two servers of one worker stand side by side, and are asked in turn, by wrk, or by ab for a connection a request. One
# is as it is: what its processes take (/proc/PID/schedstat) is the whole. The other is timed stage by stage while it
# serves (tests/bench/probe.py), and what the timing adds is taken off again. What is a few bytecodes long is timed in
# a loop of its own; what the lines leave over of the hot path is a line too. Needs wrk and ab.
"""CPU microseconds of a request, line by line, beside those of the whole, as Markdown tables on stdout."""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from time import monotonic_ns, thread_time_ns
from typing import NamedTuple

from tests.bench.probe import FILE_BYTES, STAGES, overhead_ns, words
from tests.bench.transports import Server
from tests.worker.workbench import Workbench
from wsrv.engine.bench.processes import run_ns
from wsrv.engine.shm.histogram import BUCKET_TABLE, UNIT_SHIFT

# As wrk and ab ask.
KEEP_ALIVE = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
CLOSING = b"GET /index.html HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n"
BODY_BYTES = 1024
CALLS = 20_000
# Requests that ab makes in a second, about.
A_SECOND = 8000
PROBE = (sys.executable, "-m", "tests.bench.probe")
# What lies between the stages: how each line is made of those, by how much more than the stages within it they take.
LINES = {
    "accept": ("accept by the master", "accept"),
    "dispatch: permits, choice of a slot": ("dispatch",),
    "travel: sendmsg, recvmsg": ("send", "receive"),
    "take: connection, wait counted": ("take",),
    "epoll, sleeping and waking": ("poll",),
    "loop: heartbeat, counts published": ("round",),
    "read": ("read",),
    "record: log text, counts": ("record",),
    "write": ("write",),
    "close": ("close",),
}
REST = "the rest of the hot path"

Lines = dict[str, float]


def _each_us(work: Callable[[], object]) -> float:
    """Microseconds of one of the CALLS that `work` makes, without the loop around them."""
    times = []
    for each in (work, lambda: [None for _ in repeat(None, CALLS)]):
        best = []
        for _ in range(5):
            begin = thread_time_ns()
            each()
            best.append((thread_time_ns() - begin) / CALLS / 1000)
        times.append(min(best))
    return times[0] - times[1]


def small(root: Path, request: bytes) -> Lines:
    """What is a few bytecodes long, in microseconds."""
    bench = Workbench(root)
    bench.warm(request)
    line, _, block = request.partition(b"\r\n")
    remembered, hit = bench.shelf.remembered, bench.shelf.store.policy.hit
    known = remembered[block]
    key = known.front[line].key
    histogram, began_ns = bench.ledger.histogram, monotonic_ns()

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

    try:
        return {
            "parse: field block remembered": _each_us(parse),
            "lookup: answer, cache policy": _each_us(look_up),
            "statistics: clock, histogram": _each_us(count),
        }
    finally:
        bench.close()


class Spent(NamedTuple):
    """CPU microseconds a request, by process: master, worker 0, log."""

    by_process: Lines

    @property
    def whole(self) -> float:
        """Of all together."""
        return sum(self.by_process.values())


def _spent_ns(server: Server) -> dict[str, int]:
    spent = {}
    for number, process in enumerate(server.family()):
        title = Path(f"/proc/{process.pid}/comm").read_text().strip().removeprefix("wsrv:").strip()
        spent[title if number else "master"] = run_ns(process.pid)
    return spent


class Load:
    """What asks a server: over connections that stay, or over one a request."""

    def __init__(self, keep_alive: bool, clients: int, seconds: int) -> None:
        self._keep_alive = keep_alive
        self._clients = str(clients)
        self._seconds = seconds

    def ask(self, port: int) -> int:
        """Ask for a while; how many requests there were."""
        url = f"http://127.0.0.1:{port}/index.html"
        if self._keep_alive:
            command: tuple[str, ...] = ("wrk", "-t1", f"-c{self._clients}", f"-d{self._seconds}", url)
            pattern = r"(\d+) requests in"
        else:
            command = ("ab", "-q", "-n", str(A_SECOND * self._seconds), "-c", self._clients, url)
            pattern = r"Complete requests:\s+(\d+)"
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        done = re.search(pattern, said)
        if done is None:
            sys.exit(f"{command[0]} says nothing of requests")
        return int(done[1])

    def cost(self, server: Server) -> tuple[Spent, int]:
        """What a request takes, and how many there were."""
        before = _spent_ns(server)
        number = self.ask(server.port)
        return Spent({name: (ns - before[name]) / number / 1000 for name, ns in _spent_ns(server).items()}), number


class Probed:
    """A server whose stages are timed."""

    def __init__(self, root: Path, ipc: str, file: Path) -> None:
        file.write_bytes(bytes(FILE_BYTES))
        self._words = words(file)
        self.server = Server(root, ipc, 1, prefix=(*PROBE, str(file)))

    def lines(self, load: Load, overheads: dict[str, tuple[float, float]]) -> Lines:
        """Microseconds a request, by line; those of the hot path together."""
        before = self._words.tolist()
        spent, number = load.cost(self.server)
        grown = [now - then for now, then in zip(self._words.tolist(), before, strict=True)]
        took_ns = dict(zip(STAGES, grown[::2], strict=True))
        times = dict(zip(STAGES, grown[1::2], strict=True))
        # Of each stage: what it takes of the one that it lies within, and what of that is its own.
        taken_ns = {each: took_ns[each] + (overheads[each][1] - overheads[each][0]) * times[each] for each in STAGES}
        own_ns = {}
        for stage in STAGES:
            within = sum(taken_ns[each] for each, above in STAGES.items() if above == stage)
            own_ns[stage] = took_ns[stage] - overheads[stage][0] * times[stage] - within
        found = {line: sum(own_ns[each] for each in stages) / number / 1000 for line, stages in LINES.items()}
        found["turn"] = own_ns["turn"] / number / 1000
        for loop, name in (("dispatch", "master"), ("round", "worker 0")):
            beside_us = spent.by_process[name] - taken_ns[loop] / number / 1000
            line = "epoll, sleeping and waking" if name == "master" else "outside the loop's rounds"
            found[line] = found.get(line, 0.0) + beside_us
        return found


@contextmanager
def both(root: Path, ipc: str) -> Iterator[tuple[Server, Probed]]:
    """A server as it is, and one that is timed."""
    with ExitStack() as stack:
        plain = Server(root, ipc, 1)
        stack.callback(plain.end)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        probed = Probed(root, ipc, folder / "stages")
        stack.callback(probed.server.end)
        yield plain, probed


def show(title: str, root: Path, request: bytes, ipc: str, load: Load, rounds: int) -> None:
    """A table, and how far the sum is from the whole."""
    overheads = {stage: overhead_ns(stage) for stage in STAGES}
    lines: dict[str, list[float]] = {}
    wholes, sums = [], []
    with both(root, ipc) as (plain, probed):
        for number in range(rounds + 1):
            spent, _ = load.cost(plain)
            found = probed.lines(load, overheads)
            # The first round warms up.
            if number:
                found["the log writer, as measured"] = spent.by_process["log"]
                wholes.append(spent)
                sums.append(sum(found.values()))
                for line, took_us in found.items():
                    lines.setdefault(line, []).append(took_us)
    table = {line: statistics.median(times) for line, times in lines.items()}
    of_turn = small(root, request)
    table |= of_turn
    table[REST] = table.pop("turn") - sum(of_turn.values())
    print(f"\n{title}\n\n| line | us |\n|---|---|")
    for line, took_us in table.items():
        if abs(took_us) >= 0.005:
            print(f"| {line} | {took_us:.2f} |")
    off = statistics.median(total / whole.whole for total, whole in zip(sums, wholes, strict=True)) - 1
    parts = {name: statistics.median(each.by_process[name] for each in wholes) for name in wholes[0].by_process}
    print(f"| **sum** | **{statistics.median(sums):.2f}** |")
    said = ", ".join(f"{name} {took_us:.2f}" for name, took_us in parts.items())
    spread = f"{min(w.whole for w in wholes):.1f}-{max(w.whole for w in wholes):.1f}"
    print(f"| measured: {said} | {sum(parts.values()):.2f} ({spread}); the sum is {off:+.0%} |", flush=True)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.budget", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", default="keep-alive,socketpair,inherit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "index.html").write_bytes(b"x" * BODY_BYTES)
        for only in arguments.only.split(","):
            if only == "keep-alive":
                kind = ("Over a connection that stays", root, KEEP_ALIVE, "inherit")
            else:
                kind = (f"A connection a request, `{only}`", root, CLOSING, only)
            show(*kind, Load(only == "keep-alive", arguments.clients, arguments.seconds), arguments.rounds)


if __name__ == "__main__":
    main()
