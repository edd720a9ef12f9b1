# What connections cost that say nothing: python -m tests.bench.idle --connections 10000
#
# Each connection asks for one file over keep-alive and is then left open. Memory is the proportional set size (PSS) of
# the whole process tree, before and after; the kernel's is by how much its slabs (/proc/meminfo) have grown, for both
# ends, as both are on this machine. Latency is that of one client who asks for one cached file at a constant rate,
# first alone, then beside the idle ones; the two take turns.
"""Memory of an idle connection, and what idle connections cost the others, as a Markdown table on stdout."""

import argparse
import os
import re
import resource
import socket
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from tests.bench.peers import answered
from tests.bench.transports import Server
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.workload import request, target_of

# A source address has some 28,000 ports for one listener; each process of the crowd has an address of its own.
A_PROCESS = 4000
_SPARE = 64
_MIB = 1 << 20
# How long memory is given to come to rest.
SETTLE_SECONDS = 1.0


def pss_bytes(processes: list[psutil.Process]) -> int:
    """The memory of all together: what they share counts once."""
    found = 0
    for process in processes:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        found += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1]) * 1024  # type: ignore[index]
    return found


def kernel_bytes() -> int:
    """What the kernel has taken for objects of its own."""
    return int(re.search(r"^Slab:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)[1]) * 1024  # type: ignore[index]


class Crowd:
    """Clients that have been answered once and stay, in processes of their own."""

    def __init__(self, port: int, number: int, path: str) -> None:
        self._gate = os.pipe()
        ready = os.pipe()
        self._pids = []
        for part, begin in enumerate(range(0, number, A_PROCESS)):
            pid = os.fork()
            if not pid:
                os.close(self._gate[1])
                os.close(ready[0])
                status = 1
                try:
                    held = _connect(port, path, f"127.0.0.{2 + part}", min(A_PROCESS, number - begin))
                    os.write(ready[1], b"%d\n" % len(held))
                    os.close(ready[1])
                    os.read(self._gate[0], 1)
                    status = 0
                finally:
                    os._exit(status)
            self._pids.append(pid)
        os.close(self._gate[0])
        os.close(ready[1])
        with os.fdopen(ready[0], "rb") as lines:
            self.size = sum(map(int, lines))

    def leave(self) -> None:
        """Close all connections."""
        os.close(self._gate[1])
        for pid in self._pids:
            os.waitpid(pid, 0)


def _connect(port: int, path: str, address: str, number: int) -> list[socket.socket]:
    """Connections that are open, each with its first answer received."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, number + _SPARE)), hard))
    held = []
    for _ in range(number):
        client = socket.create_connection(("127.0.0.1", port), 10, (address, 0))
        client.sendall(b"GET %b HTTP/1.1\r\nHost: bench\r\n\r\n" % path.encode())
        if not client.recv(65536).startswith(b"HTTP/1.1 200"):
            raise SystemExit("an idle client was not answered")
        held.append(client)
    return held


def latency_ms(port: int, rate: float, seconds: float) -> tuple[float, float, float]:
    """Median, 99th and 99.9th percentile of a client who asks `rate` times a second, from when it meant to ask."""
    target = target_of(f"http://127.0.0.1:{port}/")
    plan = Plan(
        address=target.address,
        requests=(request(target, "/index.html", True, ()),),
        picks=(0,),
        connections=10,
        number=None,
        seconds=seconds,
        keep_alive=True,
        rate=rate,
    )
    tally = answered(plan)
    p50, p99, p999 = ((tally.percentile_ns(q, corrected=True) or 0) / 1e6 for q in (0.5, 0.99, 0.999))
    return p50, p99, p999


def measure(root: Path, arguments: argparse.Namespace) -> None:
    """One server, alone and in company, and a line of the table."""
    server = Server(root, arguments.ipc, arguments.workers)
    alone, beside = [], []
    user = kernel = 0.0
    try:
        # A server that has worked before: its allocator has room, its caches are filled.
        latency_ms(server.port, arguments.rate, 1.0)
        for turn in range(arguments.rounds):
            alone.append(latency_ms(server.port, arguments.rate, arguments.seconds))
            before, kernel_before = pss_bytes(server.family()), kernel_bytes()
            crowd = Crowd(server.port, arguments.connections, "/index.html")
            try:
                time.sleep(SETTLE_SECONDS)
                open_now = server.stats()["connections_active"]
                if open_now < crowd.size:
                    raise SystemExit(f"{open_now} of {crowd.size} connections are open")
                if not turn:
                    # Later the memory is there already.
                    user = (pss_bytes(server.family()) - before) / crowd.size
                    kernel = (kernel_bytes() - kernel_before) / crowd.size
                beside.append(latency_ms(server.port, arguments.rate, arguments.seconds))
            finally:
                crowd.leave()
            time.sleep(SETTLE_SECONDS)
    finally:
        server.end()
    cells = [f"{user:,.0f}", f"{kernel / 1024:.1f}"]
    for found in (alone, beside):
        p50, p99, p999 = (statistics.median(each) for each in zip(*found, strict=True))
        cells.append(f"{p50:.2f} / {p99:.2f} / {p999:.2f}")
    print(f"| `{arguments.ipc}` | {arguments.workers} |", " | ".join(cells), "|", flush=True)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.idle", description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ipc", default="socketpair", help="one, or several separated by commas")
    parser.add_argument("--rate", type=float, default=2000, help="requests a second of the client beside them")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{arguments.connections:,} idle connections; another client at {arguments.rate:,.0f} requests a second\n")
    print(
        "| transport | workers | PSS of the server a connection, bytes | kernel a connection, both ends, KiB "
        "| alone: p50 / p99 / p99.9 ms | beside them |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index.html").write_text("x" * 1024)
        for ipc in arguments.ipc.split(","):
            arguments.ipc = ipc
            measure(Path(folder), arguments)


if __name__ == "__main__":
    main()
