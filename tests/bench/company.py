# What a hit costs in company: python -m tests.bench.company
#
# A server with one worker, in which hits and load meet. A client asks for one small cached file some thousand times a
# second, one at a time; beside it one other client keeps the server at work. The kinds of load take turns, round by
# round, and each is compared with the same round without any, so that what else the machine does falls on all of them.
#
#   brotli, zstd   a text that was never asked for, compressed for it
#   listing        a folder of some hundred files that has changed since it was last listed
#   tls            a large file, a connection each
#
# The load rests for as long as it was busy: three processes that never rest do not fit on two CPUs, and it would be the
# kernel's turns that are measured (--busy 1 does that).
"""How much a hit's p99 rises while the server compresses, lists or encrypts for somebody else."""

import argparse
import http.client
import itertools
import multiprocessing
import os
import random
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Authority, options

WSRV = (sys.executable, "-c", "from wsrv.cli.main import main; main()")
REQUEST = b"GET /hit.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAUSE_SECONDS = 0.0003
TEXTS, TEXT_BYTES = 20_000, 100_000
FOLDERS, FILES = 300, 300
DOWNLOAD_BYTES, PIECE_BYTES = 32 << 20, 1 << 20
SETTLE_SECONDS = 0.3


class Site:
    """What is served, and a server of it with a plain listener and a secure one."""

    def __init__(self, folder: Path, workers: int, loads: list[str]) -> None:
        lists = "listing" in loads
        self.root = folder / "site"
        self.root.mkdir()
        (self.root / "hit.txt").write_bytes(b"x" * 1024)
        with (self.root / "large.bin").open("wb") as file:
            file.truncate(DOWNLOAD_BYTES)
        if {"brotli", "zstd"} & set(loads):
            self._write_texts()
        for number in range(FOLDERS if lists else 0):
            (self.root / f"folder-{number}").mkdir()
            for name in range(FILES):
                (self.root / f"folder-{number}" / f"file-{name}.txt").touch()
        authority = Authority(folder / "authority")
        self.trust = authority.file
        places = (
            "--listen",
            "0",
            "--listen",
            "https://0",
            "--runtime-dir",
            f"{folder}/run",
            "--log-file",
            f"{folder}/log",
        )
        command = (
            *WSRV,
            "serve",
            str(self.root),
            "--workers",
            str(workers),
            *(("--listing",) if lists else ()),
            *places,
        )
        self._popen = subprocess.Popen(
            [*command, *options(authority.issue("localhost"))], stderr=subprocess.PIPE, text=True
        )
        assert self._popen.stderr is not None
        ports = {}
        for line in self._popen.stderr:
            if found := re.search(r"listening on (https?)://127\.0\.0\.1:(\d+)", line):
                ports[found[1]] = int(found[2])
            if len(ports) == 2:
                break
        else:
            sys.exit("the server does not start")
        self.port, self.secure_port = ports["http"], ports["https"]

    def _write_texts(self) -> None:
        words = [random.Random(seed).randbytes(4).hex() for seed in range(3000)]
        text = " ".join(random.Random(0).choices(words, k=TEXT_BYTES // 9))
        (self.root / "text-0.txt").write_text(text)
        # Other names for one file are other files to the cache.
        for number in range(1, TEXTS):
            os.link(self.root / "text-0.txt", self.root / f"text-{number}.txt")

    def end(self) -> None:
        self._popen.terminate()
        assert self._popen.stderr is not None
        self._popen.stderr.read()
        self._popen.wait()
        self._popen.stderr.close()


# One piece of work for the server, and another, until it is stopped.
Steps = Iterator[None]


def compression(site: Site, coding: str, first: int) -> Steps:
    """One text after the other, none of which this coding was asked for before."""
    connection = http.client.HTTPConnection("localhost", site.port)
    for number in itertools.count(first):
        connection.request("GET", f"/text-{number % TEXTS}.txt", headers={"Accept-Encoding": coding})
        answer = connection.getresponse()
        answer.read()
        if answer.headers["Content-Encoding"] != coding:
            sys.exit(f"asked for {coding} and got {answer.status} as {answer.headers['Content-Encoding']}")
        yield


def listing(site: Site, first: int) -> Steps:
    """One folder after the other, each with a file that it did not have when it was last listed."""
    connection = http.client.HTTPConnection("localhost", site.port)
    for number in itertools.count(first):
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


def download(site: Site, first: int) -> Steps:
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


LOADS: dict[str, Callable[[Site, int], Steps]] = {
    "brotli": lambda site, first: compression(site, "br", first),
    "zstd": lambda site, first: compression(site, "zstd", first),
    "listing": listing,
    "tls": download,
}


class Load:
    """Another process that keeps the server at work from step number `first` on, `busy` of the time."""

    def __init__(self, site: Site, name: str, first: int, busy: float) -> None:
        self._name = name
        self._made = multiprocessing.Value("q", 0)
        self._stop = multiprocessing.Event()
        self._process = multiprocessing.get_context("fork").Process(
            target=self._work, args=(LOADS[name](site, first), 1 / busy - 1), daemon=True
        )
        self._process.start()
        while not self.made and self._process.is_alive():
            time.sleep(0.01)
        time.sleep(SETTLE_SECONDS)

    @property
    def made(self) -> int:
        """Steps so far."""
        return int(self._made.value)

    def _work(self, steps: Steps, rest: float) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        began = time.monotonic()
        for _ in steps:
            self._made.value += 1
            if self._stop.is_set():
                return
            time.sleep((time.monotonic() - began) * rest)
            began = time.monotonic()

    def end(self) -> None:
        self._stop.set()
        self._process.join()
        if self._process.exitcode:
            sys.exit(f"the load {self._name} ended with {self._process.exitcode}")


def hits_ns(port: int, seconds: float) -> list[int]:
    """How long each hit took, from the request's first byte to the answer's last."""
    took = []
    with socket.create_connection(("localhost", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        length = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter_ns()
            sock.sendall(REQUEST)
            got = len(answer := sock.recv(65536))
            if not answer.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"asked for a hit and got {answer[:100]!r}")
            length = length or got
            while got < length:
                got += len(sock.recv(65536))
            took.append(time.perf_counter_ns() - began)
            time.sleep(PAUSE_SECONDS)
    return took


@dataclass
class Row:
    """What was measured beside one kind of load, a value a round."""

    hits: int = 0
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    steps_a_second: list[float] = field(default_factory=list)

    def add(self, took_ns: list[int], steps_a_second: float) -> None:
        self.hits += len(took_ns)
        cuts = statistics.quantiles(took_ns, n=100)
        self.p50_ms.append(cuts[49] / 1e6)
        self.p99_ms.append(cuts[98] / 1e6)
        self.steps_a_second.append(steps_a_second)

    def ratio(self, alone: "Row") -> float:
        """How much p99 is of what it is alone: the median over the rounds."""
        return statistics.median(mine / its for mine, its in zip(self.p99_ms, alone.p99_ms, strict=True))

    def cells(self, alone: "Row") -> list[str]:
        p99 = f"{statistics.median(self.p99_ms):.3f} ({min(self.p99_ms):.3f}-{max(self.p99_ms):.3f})"
        load = f"{statistics.median(self.steps_a_second):.1f}" if any(self.steps_a_second) else ""
        return [f"{self.hits:,}", f"{statistics.median(self.p50_ms):.3f}", p99, f"{self.ratio(alone):.2f}", load]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--busy", type=float, default=0.5, help="share of the time that the load is at work")
    parser.add_argument("--limit", type=float, default=2.0, help="exit status 1 when a ratio is above")
    parser.add_argument("loads", nargs="*", default=list(LOADS), help=f"of {', '.join(LOADS)}; all")
    arguments = parser.parse_args()
    # Whoever ends this ends the server too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    rows = {name: Row() for name in ("nothing", *arguments.loads)}
    begun = dict.fromkeys(arguments.loads, 0)
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder), arguments.workers, arguments.loads)
        try:
            hits_ns(site.port, 1.0)
            for _ in range(arguments.rounds):
                rows["nothing"].add(hits_ns(site.port, arguments.seconds), 0.0)
                for name in arguments.loads:
                    load = Load(site, name, begun[name], arguments.busy)
                    before, began = load.made, time.monotonic()
                    took_ns = hits_ns(site.port, arguments.seconds)
                    rows[name].add(took_ns, (load.made - before) / (time.monotonic() - began))
                    load.end()
                    begun[name] += load.made
        finally:
            site.end()
    alone = rows["nothing"]
    print(f"{arguments.workers} worker, {os.cpu_count()} CPUs, {arguments.rounds} rounds of {arguments.seconds:g} s\n")
    print("| beside | hits | p50 (ms) | p99 (ms) | p99 to alone | load a second |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} |", " | ".join(row.cells(alone)), "|")
    sys.exit(any(row.ratio(alone) > arguments.limit for row in rows.values()))


if __name__ == "__main__":
    main()
