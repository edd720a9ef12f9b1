# What a hit costs in company: python -m tests.bench.company
#
# wrk asks for one small cached file over connections that stay open, again on each as soon as it has its answer; beside
# it one other client keeps the server at work. The kinds of load take turns, round by round, and each is compared with
# the same round without any, so that what else the machine does falls on all of them.
#
#   brotli, zstd   a text that was never asked for, compressed for it
#   listing        a folder of some hundred files that has changed since it was last listed
#   tls            a large file, a connection each
#
# With --connections 1 it is one client that asks one at a time, on an idle server: its p99 alone is tenths of a
# millisecond, so whatever the server does besides shows in the ratio. Needs wrk.
"""How much a hit's p99 rises while the server compresses, lists or encrypts for somebody else."""

import argparse
import http.client
import itertools
import os
import random
import re
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Authority, options

WSRV = (sys.executable, "-c", "from wsrv.cli.main import main; main()")
TEXTS, TEXT_BYTES = 20_000, 100_000
FOLDERS, FILES = 300, 300
DOWNLOAD_BYTES, PIECE_BYTES = 32 << 20, 1 << 20
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Site:
    """What is served, and a server of it with a plain listener and a secure one."""

    def __init__(self, folder: Path, workers: int, loads: list[str]) -> None:
        self.root = folder / "site"
        self.root.mkdir()
        (self.root / "hit.txt").write_bytes(b"x" * 1024)
        with (self.root / "large.bin").open("wb") as file:
            file.truncate(DOWNLOAD_BYTES)
        words = [random.Random(seed).randbytes(4).hex() for seed in range(3000)]
        (self.root / "text-0.txt").write_text(" ".join(random.Random(0).choices(words, k=TEXT_BYTES // 9)))
        # Other names for one file are other files to the cache.
        for number in range(1, TEXTS if {"brotli", "zstd"} & set(loads) else 1):
            os.link(self.root / "text-0.txt", self.root / f"text-{number}.txt")
        for folder_number, name in itertools.product(range(FOLDERS if "listing" in loads else 0), range(FILES)):
            inside = self.root / f"folder-{folder_number}"
            inside.mkdir(exist_ok=True)
            (inside / f"file-{name}.txt").touch()
        authority = Authority(folder / "authority")
        self.trust = authority.file
        places = ("--listen", "0", "--listen", "https://0", "--runtime-dir", f"{folder}/run")
        parts = ("--workers", str(workers), "--listing", "--log-file", f"{folder}/log")
        command = (*WSRV, "serve", str(self.root), *places, *parts, *options(authority.issue("localhost")))
        self._popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._popen.stderr is not None
        ports: dict[str, int] = {}
        for line in self._popen.stderr:
            if found := re.search(r"listening on (https?)://127\.0\.0\.1:(\d+)", line):
                ports[found[1]] = int(found[2])
            if len(ports) == 2:
                break
        else:
            sys.exit("the server does not start")
        self.port, self.secure_port = ports["http"], ports["https"]

    def end(self) -> None:
        self._popen.terminate()
        self._popen.communicate()


# One piece of work for the server, and another, for as long as it is asked for.
Steps = Generator[None, None, None]


def compression(site: Site, coding: str) -> Steps:
    """One text after the other, none of which this coding was asked for before."""
    connection = http.client.HTTPConnection("localhost", site.port)
    for number in itertools.count():
        connection.request("GET", f"/text-{number % TEXTS}.txt", headers={"Accept-Encoding": coding})
        answer = connection.getresponse()
        answer.read()
        if answer.headers["Content-Encoding"] != coding:
            sys.exit(f"asked for {coding} and got {answer.status} as {answer.headers['Content-Encoding']}")
        yield


def listing(site: Site) -> Steps:
    """One folder after the other, each with a file that it did not have when it was last listed."""
    connection = http.client.HTTPConnection("localhost", site.port)
    for number in itertools.count():
        folder = f"folder-{number % FOLDERS}"
        another = site.root / folder / f"another-{number}.txt"
        another.touch()
        connection.request("GET", f"/{folder}/")
        answer = connection.getresponse()
        body = answer.read()
        another.unlink()
        if answer.status != 200 or b"file-299.txt" not in body:
            sys.exit(f"asked for a listing and got {answer.status}")
        yield


def download(site: Site) -> Steps:
    """One piece after the other of a large file over TLS, and a handshake for each file."""
    context = ssl.create_default_context(cafile=str(site.trust))
    while True:
        connection = http.client.HTTPSConnection("localhost", site.secure_port, context=context)
        connection.request("GET", "/large.bin")
        answer = connection.getresponse()
        taken = 0
        while piece := answer.read(PIECE_BYTES):
            taken += len(piece)
            yield
        connection.close()
        if taken != DOWNLOAD_BYTES:
            sys.exit(f"asked for {DOWNLOAD_BYTES} bytes and got {taken}")


LOADS: dict[str, Callable[[Site], Steps]] = {
    "brotli": lambda site: compression(site, "br"),
    "zstd": lambda site: compression(site, "zstd"),
    "listing": listing,
    "tls": download,
}


@dataclass
class Row:
    """What was measured beside one kind of load, a value a round."""

    hits: int = 0
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    steps_a_second: list[float] = field(default_factory=list)

    def add(self, said: str, steps: int, seconds: float) -> None:
        """A round: what wrk said of it, and the steps of the load meanwhile."""
        if (count := re.search(r"(\d+) requests in", said)) is None or "Socket errors" in said or "Non-2xx" in said:
            sys.exit(f"wrk had no clean round:\n{said}")
        took = {
            cut: float(number) * UNITS_MS[unit] for cut, number, unit in re.findall(r"(\d+)%\s+([\d.]+)(\w+)", said)
        }
        self.hits += int(count[1])
        self.p50_ms.append(took["50"])
        self.p99_ms.append(took["99"])
        self.steps_a_second.append(steps / seconds)

    def ratio(self, alone: "Row") -> float:
        """How much p99 is of what it is alone: the median over the rounds."""
        return statistics.median(mine / its for mine, its in zip(self.p99_ms, alone.p99_ms, strict=True))

    def cells(self, alone: "Row") -> list[str]:
        p99 = f"{statistics.median(self.p99_ms):.2f} ({min(self.p99_ms):.2f}-{max(self.p99_ms):.2f})"
        load = f"{statistics.median(self.steps_a_second):.1f}" if any(self.steps_a_second) else ""
        return [f"{self.hits:,}", f"{statistics.median(self.p50_ms):.2f}", p99, f"{self.ratio(alone):.2f}", load]


def rest() -> Steps:
    """No load."""
    yield from ()


def one_round(row: Row, url: str, connections: int, seconds: float, steps: Steps, busy: float) -> None:
    """Hits by wrk, and beside them `steps`, which rest so that they are at work for the share `busy` of the time."""
    command = ("wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:g}", "--latency", url)
    begin, made = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
        began = begin
        for made, _ in enumerate(steps, 1):  # noqa: B007  # how many there were
            time.sleep((time.monotonic() - began) * (1 / busy - 1))
            began = time.monotonic()
            if wrk.poll() is not None:
                break
        said, _ = wrk.communicate()
    row.add(said, made, time.monotonic() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--busy", type=float, default=0.5, help="share of the time that the load is at work")
    parser.add_argument("--limit", type=float, default=2.0, help="exit status 1 when a ratio is above")
    parser.add_argument("loads", nargs="*", default=list(LOADS), help=f"of {', '.join(LOADS)}; all")
    arguments = parser.parse_args()
    # Whoever ends this ends the server too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    rows = {name: Row() for name in ("nothing", *arguments.loads)}
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), arguments.workers, arguments.loads)
        url = f"http://127.0.0.1:{site.port}/hit.txt"
        # Each goes on in a round where it was in the one before.
        loads: dict[str, Steps] = {name: LOADS[name](site) for name in arguments.loads}
        try:
            one_round(Row(), url, arguments.connections, 1, rest(), 1)
            for _ in range(arguments.rounds):
                for name, row in rows.items():
                    steps = loads.get(name, rest())
                    one_round(row, url, arguments.connections, arguments.seconds, steps, arguments.busy)
        finally:
            # A download that is under way would put the end off.
            for steps in loads.values():
                steps.close()
            site.end()
    alone = rows["nothing"]
    of_what = f"{arguments.workers} workers, {arguments.connections} connections, {os.cpu_count()} CPUs"
    print(f"{of_what}, {arguments.rounds} rounds of {arguments.seconds} s\n")
    print("| beside | hits | p50 (ms) | p99 (ms) | p99 to alone | load a second |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} |", " | ".join(row.cells(alone)), "|")
    sys.exit(any(row.ratio(alone) > arguments.limit for row in rows.values()))


if __name__ == "__main__":
    main()
