# Whether a request costs the same whatever the server holds besides: python -m tests.bench.flat held
#
#   held      so many connections are open and were answered once; fifty others ask
#   active    so many connections ask
#   objects   so many are in the cache, of 200 bytes each; asked for are a hundred of them (few), all of them by Zipf's
#             law (zipf), or all alike (uniform)
#
# Costs are CPU time of the whole process tree (/proc/PID/schedstat) a request over connections that stay. Servers of
# all sizes stand side by side and are asked in turn, round by round. Beside each stands an nginx with as many workers
# and a buffered log: what grows for it too is memory that the processor has not at hand, and the files. Needs wrk.
"""CPU time a request, by what is held, as a Markdown table on stdout."""

import argparse
import contextlib
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.idle import Crowd
from tests.bench.peers import free_port, nginx, running
from tests.bench.transports import WSRV, Server
from wsrv.engine.bench.fleet import Fleet
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.processes import run_ns
from wsrv.engine.bench.workload import ZIPF_PICKS, request, target_of, zipf

USUAL = {"held": "10,100,1000,10000", "active": "10,100,1000,10000", "objects": "100,1000,10000,100000"}
ACTIVE = 50
FEW = 100
OBJECT_BYTES = 200
PAGE_BYTES = 1024
# Objects in a folder.
A_FOLDER = 1000
SKEW = 0.9
# So long before the first and after the last look, all connections are there.
MARGIN_SECONDS = 0.3
CONNECTIONS_A_SECOND = 3000

# Asks for the targets in one file in the order that another has, over and over.
SCRIPT = """
local requests, picks, at = {}, {}, 0
function init(args)
  for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
  for pick in io.lines(args[2]) do picks[#picks + 1] = tonumber(pick) + 1 end
end
function request()
  at = at % #picks + 1
  return requests[picks[at]]
end
"""


class Subject(NamedTuple):
    """A server that is measured."""

    port: int
    pid: int

    def cpu_ns(self) -> int:
        """What all its processes have spent so far, user and system, of all threads."""
        master = psutil.Process(self.pid)
        return sum(run_ns(process.pid) for process in (master, *master.children()))


class Cell:
    """A size: this server and nginx, both holding so much, and what they took in each round."""

    def __init__(self, held: int, workers: int, ours: Server, subjects: Sequence[Subject]) -> None:
        self.held = held
        self.workers = workers
        self.ours = ours
        self.subjects = subjects
        self.rounds: list[list[float]] = []
        self._before = ours.stats()["cache"]

    def row(self) -> str:
        """Its line of the table."""
        after = self.ours.stats()["cache"]
        hits, misses = (after[key] - self._before[key] for key in ("hits", "misses"))
        ours, theirs = zip(*self.rounds, strict=True)
        ratio = statistics.median(a / b for a, b in self.rounds)
        costs = f"{statistics.median(ours):.1f} ({min(ours):.1f}-{max(ours):.1f}) | {statistics.median(theirs):.1f}"
        return f"| {self.held:,} | {self.workers} | {costs} | {ratio:.2f} | {100 * hits / (hits + misses):.1f} % |"


def paths(number: int) -> list[str]:
    """What is there to ask for."""
    return [f"/{n // A_FOLDER}/{n}.txt" for n in range(number)]


def make_site(root: Path, number: int) -> None:
    """A page of 1 KB, and so many objects."""
    root.mkdir()
    (root / "index.html").write_bytes(b"x" * PAGE_BYTES)
    for n, path in enumerate(paths(number)):
        if n % A_FOLDER == 0:
            (root / path[1:]).parent.mkdir()
        (root / path[1:]).write_bytes(b"x" * OBJECT_BYTES)


def picks(held: int, draw: str) -> Sequence[int]:
    """In which order so many objects are asked for."""
    drawn = random.Random(1)
    if draw == "few":
        return [drawn.randrange(held) for _ in range(FEW)]
    if draw == "uniform":
        return [drawn.randrange(held) for _ in range(ZIPF_PICKS)]
    # Popular ones are not neighbours.
    order = drawn.sample(range(held), held)
    return [order[rank] for rank in zipf(held, SKEW)]


@contextlib.contextmanager
def subjects(root: Path, workers: int, *options: str, ipc: str) -> Iterator[tuple[Server, list[Subject]]]:
    """This server and nginx on one root."""
    ours = Server(root, ipc, workers, *options)
    with contextlib.ExitStack() as stack:
        stack.callback(ours.end)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.chmod(work, 0o755)
        port = free_port()
        pid = stack.enter_context(running(nginx(root, work, port, workers), port, work))
        yield ours, [Subject(ours.port, ours.family()[0].pid), Subject(port, pid)]


def by_wrk(subject: Subject, path: str, seconds: int, *script: str) -> float:
    """CPU microseconds a request of connections that are few beside what is held."""
    command = ("wrk", "-t1", f"-c{ACTIVE}", f"-d{seconds}s", f"http://127.0.0.1:{subject.port}{path}", *script)
    before = subject.cpu_ns()
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent_ns = subject.cpu_ns() - before
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"requests failed:\n{said}")
    return spent_ns / int(re.search(r"(\d+) requests in", said)[1]) / 1000  # type: ignore[index]


def by_all(subject: Subject, connections: int, seconds: float) -> float:
    """CPU microseconds a request of so many connections, once all are there and while they are."""
    target = target_of(f"http://127.0.0.1:{subject.port}/index.html")
    lead_seconds = MARGIN_SECONDS + connections / CONNECTIONS_A_SECOND
    plan = Plan(
        address=target.address,
        requests=(request(target, target.path, True, ()),),
        picks=(0,),
        connections=connections,
        number=None,
        seconds=lead_seconds + seconds + MARGIN_SECONDS,
    )
    fleet = Fleet(plan, 1)
    fleet.go()
    looks = []
    for pause in (lead_seconds, seconds):
        time.sleep(pause)
        looks.append((fleet.progress()[0], subject.cpu_ns()))
    if looks[0][0] < connections:
        sys.exit("not all connections were there in time")
    while not fleet.wait(1):
        pass
    tally = fleet.result()
    if tally.failures or tally.connections != connections:
        sys.exit(f"{tally.connections} of {connections} connections; {dict(tally.errors)}")
    (answers, began_ns), (more, ended_ns) = looks
    return (ended_ns - began_ns) / (more - answers) / 1000


def cells(stack: contextlib.ExitStack, folder: Path, arguments: argparse.Namespace) -> Iterator[Cell]:
    """Servers of every size."""
    workers = [int(number) for number in arguments.workers.split(",")]
    for held in (int(number) for number in (arguments.held or USUAL[arguments.what]).split(",")):
        root = folder / f"site-{held}"
        if not root.exists():
            make_site(root, held if arguments.what == "objects" else 0)
        for each in workers:
            options = ("--cache-size", "8G", "--cache-scope", arguments.scope)
            ours, both = stack.enter_context(subjects(root, each, *options, ipc=arguments.ipc))
            if arguments.what == "held":
                for subject in both:
                    stack.callback(Crowd(subject.port, held, "/index.html").leave)
            elif arguments.what == "objects":
                place = ("--runtime-dir", ours.runtime, "--name", "bench")
                subprocess.run((*WSRV, "cache", "warm", *place), check=True, stdout=subprocess.DEVNULL)
            yield Cell(held, each, ours, both)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flat", description=__doc__)
    parser.add_argument("what", choices=USUAL)
    parser.add_argument("--held", default="", help="numbers, separated by commas")
    parser.add_argument("--workers", default="1,2", help="numbers, separated by commas")
    parser.add_argument("--draw", default="few", choices=("few", "zipf", "uniform"))
    parser.add_argument("--scope", default="process", choices=("process", "shared"))
    parser.add_argument("--ipc", default="socketpair")
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the sites are, or stay")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.chmod(folder, 0o755)
        there = list(cells(stack, folder, arguments))
        script = folder / "wrk.lua"
        script.write_text(SCRIPT)
        for cell in there if arguments.what == "objects" else ():
            (folder / f"{cell.held}.paths").write_text("".join(f"{path}\n" for path in paths(cell.held)))
            order = picks(cell.held, arguments.draw)
            (folder / f"{cell.held}.picks").write_text("".join(f"{pick}\n" for pick in order))
        for number in range(arguments.rounds + 1):
            for cell in there:
                lists = (f"{folder}/{cell.held}.paths", f"{folder}/{cell.held}.picks")
                costs = []
                for subject in cell.subjects:
                    if arguments.what == "active":
                        costs.append(by_all(subject, cell.held, arguments.seconds))
                    elif arguments.what == "held":
                        costs.append(by_wrk(subject, "/index.html", arguments.seconds))
                    else:
                        costs.append(by_wrk(subject, "/", arguments.seconds, "-s", str(script), "--", *lists))
                # The first round warms up.
                cell.rounds += [costs] if number else []
        print(
            f"| {arguments.what} {arguments.draw} | workers | wsrv us | nginx us | ratio | hits |\n" + "|---" * 6 + "|"
        )
        for cell in there:
            print(cell.row(), flush=True)


if __name__ == "__main__":
    main()
