# One cache for all workers against one for each: python -m tests.bench.scopes --policies lru sieve
#
# A site whose files are asked for as the web's are (Zipf), larger than what one worker may keep. The servers take
# turns, round by round, over the same requests; each is warmed by as many before. Counted are requests that were
# answered from the cache, CPU time of the whole process tree, and PSS: memory that processes share is counted once.
#
# Then what a hit costs, in one process without a network: from the worker's front, from shared memory, and a miss for
# which the kernel has the file in memory.
"""Object hit ratio, memory and CPU of the cache's scopes, and what a hit costs in each."""

import argparse
import json
import mmap
import multiprocessing
import operator
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support import zipf
from tests.worker.workbench import Client, Workbench
from wsrv.engine.bench.processes import run_ns
from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.shared.arena import Arena
from wsrv.engine.cache.shared.writing import Writer
from wsrv.engine.settings import CacheSettings
from wsrv.engine.shm.row import TAIL_WORD
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker.sharedshelf import SharedCached, SharedMemory, SharedShelf
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.primitives.robust import RobustLock
from wsrv.plugins.registry import load as load_parts

WSRV = (sys.executable, "-c", "from wsrv.cli.main import main; main()")
SCOPES = ("process", "shared")
CLIENTS, CONNECTIONS = 2, 8
LENGTHS = (1000, 8000, 100_000)
COST_ROUNDS = 12
MIB = 1 << 20


def make_site(root: Path, objects: int) -> dict[bytes, int]:
    """Files of web-like lengths, named by their rank; their lengths."""
    root.mkdir()
    lengths = zipf.sizes(objects, seed=1)
    for name, length in lengths.items():
        (root / f"{name.decode()}.bin").write_bytes(os.urandom(length))
    return lengths


class Server:
    """A server of `root`."""

    def __init__(self, root: Path, folder: Path, scope: str, policy: str, workers: int, size_bytes: int) -> None:
        name = f"{scope}-{policy}-{workers}"
        self._where = ("--runtime-dir", f"{folder}/run-{name}")
        parts = ("--cache-scope", scope, "--sync", "robust", "--workers", str(workers), "--cache-policy", policy)
        places = ("--port", "0", "--log-file", f"{folder}/log-{name}", "--cache-size", str(size_bytes))
        command = (*WSRV, "serve", str(root), *places, *self._where, *parts)
        self._popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._popen.stderr is not None
        for line in self._popen.stderr:
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            sys.exit("the server does not start")
        master = psutil.Process(self._popen.pid)
        self._family = [master, *master.children()]

    def cache(self) -> dict[str, Any]:
        """What `wsrv stats` says of the cache."""
        run = subprocess.run([*WSRV, "stats", "--json", *self._where], capture_output=True, check=True)
        found: dict[str, Any] = json.loads(run.stdout)["cache"]
        return found

    def cpu_seconds(self) -> float:
        """Of all threads, as the scheduler counts it: in nanoseconds, not in ticks."""
        return sum(run_ns(process.pid) for process in self._family) / 1e9

    def pss_bytes(self) -> int:
        total = 0
        for process in self._family:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
            assert found is not None
            total += int(found[1]) * 1024
        return total

    def end(self) -> None:
        self._popen.terminate()
        self._popen.communicate()


def ask(port: int, names: list[bytes], lengths: dict[bytes, int]) -> None:
    """Ask for each name, over connections that stay open, one after the other."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for first in range(0, len(names), CONNECTIONS):
        asked = list(zip(socks, names[first : first + CONNECTIONS], strict=False))
        for sock, name in asked:
            sock.sendall(b"GET /%b.bin HTTP/1.1\r\nHost: localhost\r\n\r\n" % name)
        for sock, name in asked:
            got = sock.recv(65536)
            if not got.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"asked for {name!r} and got {got[:80]!r}")
            left = got.index(b"\r\n\r\n") + 4 + lengths[name] - len(got)
            while left > 0:
                left -= len(sock.recv(65536))
    for sock in socks:
        sock.close()


def load(port: int, names: list[bytes], lengths: dict[bytes, int]) -> None:
    """The requests, shared out among the clients, to their end."""
    context = multiprocessing.get_context("fork")
    each = [names[number::CLIENTS] for number in range(CLIENTS)]
    clients = [context.Process(target=ask, args=(port, mine, lengths), daemon=True) for mine in each]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
        if client.exitcode:
            sys.exit(f"a client ended with {client.exitcode}")


@dataclass
class Row:
    """What was measured of one server, a value a round."""

    hit_ratio: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    pss_mib: list[float] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)

    def cells(self, first: "Row") -> list[str]:
        """`first`: the row that the others are compared with, round by round."""
        to_first = statistics.median(map(operator.truediv, self.cpu_us, first.cpu_us))
        ratio, cpu, pss = map(statistics.median, (self.hit_ratio, self.cpu_us, self.pss_mib))
        spread = f"({min(self.cpu_us):.1f}-{max(self.cpu_us):.1f})"
        shared = self.last.get("shared", {})
        blocks = f"{shared['logical_bytes'] / shared['real_bytes']:.2f}" if shared else ""
        told = f"{shared['unstored']:,} / {shared['torn_reads']:,} / {shared['hits_untold']:,}" if shared else ""
        return [
            f"{100 * ratio:.1f} %",
            f"{cpu:.1f} {spread}",
            f"{to_first:.2f}",
            f"{pss:.1f}",
            f"{self.last['objects']:,}",
            blocks,
            told,
        ]


def measure(server: Server, row: Row, names: list[bytes], lengths: dict[bytes, int]) -> None:
    """A round of one server."""
    before, cpu = server.cache(), server.cpu_seconds()
    load(server.port, names, lengths)
    cpu = server.cpu_seconds() - cpu
    after = row.last = server.cache()
    hits, misses = (after[key] - before[key] for key in ("hits", "misses"))
    row.hit_ratio.append(hits / (hits + misses))
    row.cpu_us.append(cpu / len(names) * 1e6)
    row.pss_mib.append(server.pss_bytes() / MIB)


def compare(arguments: argparse.Namespace) -> None:
    """The table of scopes, at each number of workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lengths = make_site(folder / "site", arguments.objects)
        site_bytes = sum(lengths.values())
        size_bytes = int(site_bytes * arguments.share)
        print(
            f"{arguments.objects:,} files, {site_bytes / MIB:.1f} MiB; cache.size {size_bytes / MIB:.1f} MiB; "
            f"Zipf {arguments.exponent:g}, {arguments.rounds} rounds of {arguments.requests:,} "
            f"requests over {CLIENTS * CONNECTIONS} connections; {os.cpu_count()} CPUs\n"
        )
        heads = "hits | CPU a request (us) | to the first | PSS (MiB) | objects | logical/real | unstored, torn, untold"
        print(f"| workers | scope | policy | {heads} |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for workers in arguments.workers:
            kinds = [(scope, policy) for scope in arguments.scopes for policy in arguments.policies]
            rows = {kind: Row() for kind in kinds}
            servers: dict[tuple[str, str], Server] = {}
            try:
                for kind in kinds:
                    servers[kind] = Server(folder / "site", folder, *kind, workers, size_bytes)
                for turn in range(arguments.rounds + 1):
                    names = zipf.keys(arguments.objects, arguments.exponent, arguments.requests, seed=turn)
                    for kind, server in servers.items():
                        if turn:
                            measure(server, rows[kind], names, lengths)
                        else:
                            load(server.port, names, lengths)
            finally:
                for server in servers.values():
                    server.end()
            for (scope, policy), row in rows.items():
                print(f"| {workers} | {scope} | {policy} |", " | ".join(row.cells(rows[kinds[0]])), "|", flush=True)


def times_ns(bench: Workbench, client: Client, request: bytes, times: int, before: Callable[[], None]) -> float:
    """The median time that the worker takes for `request`, from its read to its write."""
    found = []
    for _ in range(times):
        before()
        client.send(request)
        began = time.perf_counter_ns()
        bench.arrive(client)
        found.append(time.perf_counter_ns() - began)
        left = bench.hear_all(client)
        assert left.startswith(b"HTTP/1.1 200 "), left[:80]
        # As if the log writer had come.
        bench.row.words[TAIL_WORD] = bench.row.covered()
    return statistics.median(found)


def cost_by_policy(times: int, policies: list[str]) -> None:
    """The table of what a hit of 1 KB costs, by policy and by where it is found; policies take turns."""
    print("\n| policy | process: front | shared: front | shared: memory |  (ns)")
    print("|---|---|---|---|")
    known = load_parts().policies
    found: dict[str, list[list[float]]] = {name: [] for name in policies}
    for _ in range(COST_ROUNDS):
        for name in policies:
            found[name].append(_costs(times, (LENGTHS[0],), known[name])[0][:4])
    for name, rounds in found.items():
        front, _, shared, memory = map(min, zip(*rounds, strict=True))
        print(f"| {name} | {front:.0f} | {shared:.0f} | {memory:.0f} |")


def cost(times: int) -> None:
    """The table of what a hit costs."""
    print("\n| body | process: front | process: miss | shared: front | shared: memory | shared: miss |  (us)")
    print("|---|---|---|---|---|---|")
    for length, cells in zip(LENGTHS, _costs(times, LENGTHS, Lru), strict=True):
        print(f"| {length:,} |", " | ".join(f"{ns / 1000:.1f}" for ns in cells), "|")


def _costs(times: int, lengths: Sequence[int], policy: type[Policy]) -> list[list[float]]:
    """For each length: front and miss in `process`; front, memory and miss in `shared`."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for length in lengths:
            (root / f"{length}.bin").write_bytes(os.urandom(length))
        cell = mmap.mmap(-1, CELL_BYTES)
        lock = RobustLock("cache_writer", memoryview(cell))
        bell = os.eventfd(0, os.EFD_NONBLOCK)
        memory = SharedMemory(Arena(64 * MIB, rows=1), lock, bell, 16 * MIB)
        writer = Writer(memory.arena, lock)
        # What is fresh stays so: a look at the file is no part of a hit.
        settings = CacheSettings(revalidate_seconds=3600.0)
        benches = {
            "process": Workbench(root, cache=settings, policy=policy),
            "shared": Workbench(root, cache=settings, shared=memory, policy=policy),
        }
        for length in lengths:
            request = b"GET /%d.bin HTTP/1.1\r\nHost: localhost\r\n\r\n" % length
            key = b"%d.bin" % length
            cells = []
            for bench in benches.values():
                client, shelf = bench.client(), bench.shelf
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)

                def forget(shelf: Any = shelf, key: bytes = key) -> None:
                    shelf.store.drop(key)

                def forget_all(shelf: Any = shelf, key: bytes = key) -> None:
                    cached = shelf.store.get(key)
                    shelf.store.drop(key)
                    if isinstance(cached, SharedCached):
                        assert cached.ticket is not None
                        assert writer.drop(cached.ticket)

                bench.answers(client, request)
                bench.answers(client, request)
                cells.append(times_ns(bench, client, request, times, lambda: None))
                if isinstance(shelf, SharedShelf):
                    cells.append(times_ns(bench, client, request, times, forget))
                cells.append(times_ns(bench, client, request, times, forget_all))
            rows.append(cells)
        for bench in benches.values():
            bench.close()
        os.close(bell)
        lock.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="0: only what a hit costs")
    parser.add_argument("--requests", type=int, default=24_000, help="a round")
    parser.add_argument("--objects", type=int, default=4000)
    parser.add_argument("--exponent", type=float, default=0.9)
    parser.add_argument("--share", type=float, default=0.5, help="cache.size, as a share of the site")
    parser.add_argument("--policies", nargs="+", default=["lru"])
    parser.add_argument("--scopes", nargs="+", choices=SCOPES, default=SCOPES)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--times", type=int, default=300, help="of each kind of hit; 0: no table of them")
    arguments = parser.parse_args()
    # Whoever ends this ends the servers too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if arguments.rounds:
        compare(arguments)
    if arguments.times:
        cost(arguments.times)
        cost_by_policy(arguments.times // 4, arguments.policies)


if __name__ == "__main__":
    main()
