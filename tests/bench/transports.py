# The table of transports in ARCHITECTURE.md, measured anew: python -m tests.bench.transports
#
# Every number is of one run on one machine; compare the rows, not the table with another machine's. The transports take
# turns, round by round, so that what else the machine does falls on all of them. Needs ab (apache2-utils) and a kernel
# that counts run times (/proc/PID/schedstat).
"""Cost, fairness, waiting and loss of every transport, as a Markdown table on stdout."""

import argparse
import contextlib
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from wsrv.engine.bench.processes import run_ns
from wsrv.plugins.registry import load

WSRV = (sys.executable, "-c", "from wsrv.cli.main import main; main()")
NEEDS = {
    "socketpair": "nothing",
    "pidfd_getfd": "Linux 5.6, ptrace rights over the master; a descriptor in the master for each that waits",
    "inherit": "nothing; the queue is the kernel's",
    "reuseport": "nothing; the queue is the kernel's, one a worker",
}
WARM_UP = 3000
KILL_SECONDS = 0.2
AWAKE_SECONDS = 0.003
REQUESTS_A_KILL = 15_000


class Server:
    """A server of some workers that runs, with its access log on."""

    def __init__(self, root: Path, ipc: str, workers: int, *more: str, prefix: tuple[str, ...] = ()) -> None:
        """`more` are options of serve; `prefix` is a program that starts it."""
        self._folder = tempfile.TemporaryDirectory()
        self.runtime = f"{self._folder.name}/run"
        places = ("--port", "0", "--name", "bench", "--runtime-dir", self.runtime)
        options = ("--ipc", ipc, "--workers", str(workers), "--log-file", f"{self._folder.name}/log")
        command = (*prefix, *WSRV, "serve", str(root), *places, *options, *more)
        self._popen = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._popen.stderr is not None
        for line in self._popen.stderr:
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            sys.exit(f"the server with {ipc} does not start")

    def family(self) -> list[psutil.Process]:
        master = psutil.Process(self._popen.pid)
        return [master, *master.children()]

    def cpu_ns(self) -> int:
        """What the whole tree has spent so far, user and system, of all threads."""
        return sum(run_ns(process.pid) for process in self.family())

    def stats(self) -> dict[str, Any]:
        command = (*WSRV, "stats", "--json", "--runtime-dir", self.runtime, "--name", "bench")
        found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return found

    def requests(self) -> list[int]:
        """Requests by worker."""
        return [worker["requests_total"] for worker in self.stats()["workers"]]

    def worker(self, turn: int) -> psutil.Process:
        """One of the workers, each when its turn has come."""
        while True:
            with contextlib.suppress(psutil.NoSuchProcess):
                alive = [p for p in self.family() if p.status() != psutil.STATUS_ZOMBIE]
                workers = sorted((p for p in alive if p.name().startswith("wsrv: worker")), key=psutil.Process.name)
                if workers:
                    return workers[turn % len(workers)]

    def end(self) -> None:
        self._popen.terminate()
        assert self._popen.stderr is not None
        self._popen.stderr.read()
        self._popen.wait()
        self._popen.stderr.close()
        self._folder.cleanup()


def ab(server: Server, requests: int, concurrency: int) -> None:
    """That many requests, a connection each."""
    command = ("ab", "-q", "-n", str(requests), "-c", str(concurrency), f"http://127.0.0.1:{server.port}/index.html")
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if not re.search(r"Failed requests: +0\n", table) or "Non-2xx" in table:
        sys.exit(f"requests failed:\n{table}")


def lost_by_kills(server: Server, kills: int, concurrency: int) -> float:
    """Connections without a whole answer, a kill, under the full load of ab."""
    requests = kills * REQUESTS_A_KILL
    url = f"http://127.0.0.1:{server.port}/index.html"
    command = ("ab", "-q", "-r", "-n", str(requests), "-c", str(concurrency), url)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as load:
        for kill in range(kills):
            victim = server.worker(kill)
            time.sleep(random.uniform(0.5, 1.5) * KILL_SECONDS)
            # Whoever wakes up runs when others have gone to sleep: the victim would never be in the middle of anything.
            awake = time.monotonic() + AWAKE_SECONDS
            while time.monotonic() < awake:
                continue
            if load.poll() is not None:
                sys.exit("ab ended before the kills: raise REQUESTS_A_KILL")
            victim.kill()
        table = load.communicate()[0]
    # A connection that ends early is counted under Length; one that is reset under Receive too.
    found = re.search(r"Length: (\d+)", table)
    return int(found[1]) / kills if found else 0.0


@dataclass
class Row:
    """What was measured of one transport, a value a round."""

    cpu_us: list[float] = field(default_factory=list)
    fairness: list[float] = field(default_factory=list)
    wait_p99_ms: list[float | None] = field(default_factory=list)
    lost: float = 0.0

    def cells(self) -> list[str]:
        waits = [wait for wait in self.wait_p99_ms if wait is not None]
        wait = f"{statistics.median(waits):.2f} ms" if waits else "not known"
        spread = f"{min(self.cpu_us):.1f}-{max(self.cpu_us):.1f}"
        cost = f"{statistics.median(self.cpu_us):.1f} ({spread})"
        return [cost, f"{statistics.median(self.fairness):.2f}", wait, f"{self.lost:.1f}"]


def measure(root: Path, ipc: str, row: Row, arguments: argparse.Namespace) -> None:
    """A round."""
    server = Server(root, ipc, arguments.workers)
    ab(server, WARM_UP, arguments.concurrency)
    requests, spent_ns = server.requests(), server.cpu_ns()
    ab(server, arguments.requests, arguments.concurrency)
    row.cpu_us.append((server.cpu_ns() - spent_ns) / 1000 / arguments.requests)
    served = [after - before for after, before in zip(server.requests(), requests, strict=True)]
    row.fairness.append(max(served) / statistics.mean(served))
    row.wait_p99_ms.append(server.stats()["queue_wait_ms"]["p99"])
    server.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=30)
    arguments = parser.parse_args()
    names = [name for name, transport in load().transports.items() if transport.available() is None]
    rows = {name: Row() for name in names}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "index.html").write_text("x" * 1024)
        for _ in range(arguments.rounds):
            for name in names:
                measure(root, name, rows[name], arguments)
        for name in names:
            server = Server(root, name, arguments.workers)
            rows[name].lost = lost_by_kills(server, arguments.kills, arguments.concurrency)
            server.end()
    print(
        f"{arguments.requests:,} connections, {arguments.concurrency} at a time, {arguments.workers} workers,"
        f" medians of {arguments.rounds}; loss over {arguments.kills} kills\n"
    )
    print("| transport | CPU per connection (µs) | fairness, max/mean | queue wait p99 | lost a kill | needs |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| `{name}` |", " | ".join([*row.cells(), NEEDS.get(name, "?")]), "|")


if __name__ == "__main__":
    main()
