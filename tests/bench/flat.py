# Whether a request costs the same whatever the server holds besides: python -m tests.bench.flat connections
#
#   connections   so many are held open; ten others ask for one file
#   objects       so many are in the cache; asked for are a hundred of them, or all of them in turn
#
# Costs are CPU time of the whole process tree (/proc/PID/schedstat) a request over connections that stay. Where every
# object is asked for, two things grow that are not the server's: memory that the processor has not at hand, and, from
# some 10,000 on, looks at files, of which each object has one a second at most (cache.revalidate): the last column is
# without them.
"""CPU time a request, by what is held, as a Markdown table on stdout."""

import argparse
import os
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.idle import Crowd
from tests.bench.peers import answered
from tests.bench.transports import Server
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.workload import request, target_of

ACTIVE = 10
FEW = 100
PICKS = 1 << 17
OBJECT_BYTES = 200
# Objects in a folder.
A_FOLDER = 1000
# Two connections that ask for everything reach two workers, mostly.
FILLINGS = 6


def paths(number: int) -> list[str]:
    """What is there to ask for."""
    return [f"/{n // A_FOLDER}/{n}.txt" for n in range(number)]


def drive(port: int, targets: Sequence[str], picks: Sequence[int], processes: int = 1, **bounds: float | None) -> int:
    """Have `targets` asked for in the order of `picks`; how many answers there were."""
    target = target_of(f"http://127.0.0.1:{port}/")
    requests = tuple(request(target, path, True, ()) for path in targets)
    plan = Plan(address=target.address, requests=requests, picks=tuple(picks), **bounds)  # type: ignore[arg-type]
    return answered(plan, processes).answers


def cost_us(server: Server, targets: Sequence[str], picks: Sequence[int], arguments: argparse.Namespace) -> float:
    """CPU microseconds a request, the median of the rounds."""
    costs = []
    for _ in range(arguments.rounds):
        before = server.cpu_ns()
        answers = drive(server.port, targets, picks, connections=ACTIVE, number=None, seconds=arguments.seconds)
        costs.append((server.cpu_ns() - before) / answers / 1000)
    return statistics.median(costs)


def connections(root: Path, held: int, workers: int, arguments: argparse.Namespace) -> Iterator[str]:
    """The cost beside `held` connections."""
    server = Server(root, arguments.ipc, workers)
    try:
        crowd = Crowd(server.port, held, paths(1)[0])
        try:
            yield f"{cost_us(server, paths(1), (0,), arguments):.1f}"
        finally:
            crowd.leave()
    finally:
        server.end()


def objects(root: Path, held: int, workers: int, arguments: argparse.Namespace) -> Iterator[str]:
    """The cost with `held` objects in the cache: a hundred of them, all, and all with no look at a file."""
    targets = paths(held)
    draw = random.Random(1)
    few = [draw.randrange(held) for _ in range(FEW)]
    everything = [draw.randrange(held) for _ in range(PICKS)]
    options = ("--cache-size", "8G", "--cache-scope", arguments.scope)
    for revalidate in ("1s", "1h"):
        os.environ["WSRV_CACHE_REVALIDATE"] = revalidate
        server = Server(root, arguments.ipc, workers, *options)
        try:
            for _ in range(FILLINGS):
                drive(
                    server.port, targets, range(held), workers, connections=workers, number=held * workers, seconds=None
                )
                if server.stats()["cache"]["objects"] >= held * (workers if arguments.scope == "process" else 1):
                    break
            if revalidate == "1s":
                yield f"{cost_us(server, targets, few, arguments):.1f}"
            yield f"{cost_us(server, targets, everything, arguments):.1f}"
        finally:
            server.end()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flat", description=__doc__)
    parser.add_argument("what", choices=("connections", "objects"))
    parser.add_argument("--held", default="", help="numbers, separated by commas")
    parser.add_argument("--workers", default="1,2", help="numbers, separated by commas")
    parser.add_argument("--scope", default="process", choices=("process", "shared"))
    parser.add_argument("--ipc", default="socketpair")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    usual = "10,100,1000,10000" if arguments.what == "connections" else "100,1000,10000,100000"
    numbers = [int(number) for number in (arguments.held or usual).split(",")]
    columns = ("CPU us a request",) if arguments.what == "connections" else ("a hundred", "all", "all, no looks")
    print(f"| {arguments.what} held | workers |", " | ".join(columns), "|")
    print("|---|---|" + "---|" * len(columns))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, path in enumerate(paths(max(numbers) if arguments.what == "objects" else 1)):
            file = root / path[1:]
            if number % A_FOLDER == 0:
                file.parent.mkdir()
            file.write_bytes(b"x" * OBJECT_BYTES)
        for held in numbers:
            for workers in map(int, arguments.workers.split(",")):
                measure = connections if arguments.what == "connections" else objects
                print(f"| {held:,} | {workers} |", " | ".join(measure(root, held, workers, arguments)), "|", flush=True)


if __name__ == "__main__":
    main()
