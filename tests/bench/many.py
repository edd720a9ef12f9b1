# Thousands of clients at once, for minutes: python -m tests.bench.many --connections 5000 --seconds 300
#
# A crowd of connections that stay, at a steady rate, and beside it clients that come and go. A first, short crowd has
# tables, rings and arenas grow to the size that such a crowd needs; what counts is by how much more memory the server
# has when the long one is gone. Memory is PSS, the sum of all its processes: what they share is counted once.
"""Memory of the server before and after a crowd, as a Markdown table on stdout; exit status 1 where it has grown."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.transports import WSRV, Server
from tests.support.server import wait_for

MOST_GROWTH = 0.05
FILES = 400
COME_AND_GO = 50
# Less than the files are, and a queue that takes all who come at once.
OPTIONS = ("--cache-size", "4MiB", "--queue", "4096")


def memory_bytes(server: Server) -> tuple[int, int]:
    """What the whole server takes of memory for itself, and what its processes share."""
    own = shared = 0
    for process in server.family():
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes = {name: int(size.split()[0]) * 1024 for name, _, size in (line.partition(":") for line in lines)}
        own += sizes["Pss"] - sizes["Pss_Shmem"]
        shared += sizes["Pss_Shmem"]
    return own, shared


def crowd(server: Server, urls: Path, connections: int, rate: int, seconds: int) -> list[dict[str, Any]]:
    """What those who stay have seen, and those who come and go."""
    common = (
        f"http://127.0.0.1:{server.port}/",
        "-d",
        f"{seconds}s",
        "--urls",
        str(urls),
        "--json",
        "--processes",
        "1",
    )
    kinds = (
        ("-c", str(connections), "--rate", str(rate)),
        ("-c", str(COME_AND_GO), "--rate", str(max(1, rate // 10)), "--no-keepalive"),
    )
    commands = [(*WSRV, "bench", *common, *kind) for kind in kinds]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    return [json.loads(run.communicate(timeout=seconds + 60)[0]) for run in runs]


def show(label: str, memory: tuple[int, int], *cells: str) -> None:
    """Print a row."""
    own, shared = memory
    print("|", " | ".join((label, f"{(own + shared) / 2**20:.1f}", f"{shared / 2**20:.1f}", *cells)), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.many", description=__doc__)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--first", type=int, default=30, help="seconds of the first crowd")
    parser.add_argument("--rate", type=int, default=1500, help="requests a second")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ipc", default="socketpair")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "site"
        root.mkdir()
        for number in range(FILES):
            # From 1 KB to 40 KB, 8 MB in all: more than the cache holds, so that entries come and go.
            (root / f"{number}.html").write_bytes(b"%06d\n" % number * (150 + 14 * number))
        urls = Path(folder) / "urls"
        urls.write_text("".join(f"/{number}.html\n" for number in range(FILES)))
        server = Server(root, arguments.ipc, arguments.workers, *OPTIONS)
        try:
            print(
                "| | MiB | shared MiB | requests | not 200 | failed | p99 ms |\n|---|---|---|---|---|---|---|",
                flush=True,
            )
            seen = [memory_bytes(server)]
            show("when it has started", seen[-1], "", "", "", "")
            for seconds, rate in ((arguments.first, 2 * arguments.rate), (arguments.seconds, arguments.rate)):
                found = crowd(server, urls, arguments.connections, rate, seconds)
                wait_for(lambda: server.stats()["connections_active"] == 0, "the end of all connections", 60)
                time.sleep(2)
                seen.append(memory_bytes(server))
                answers = sum(one["answers"] for one in found)
                other = sum(n for one in found for status, n in one["statuses"].items() if status != "200")
                failed = sum(sum(one["errors"].values()) for one in found)
                p99 = max(one["latency_ms"]["p99"] for one in found)
                label = f"after {arguments.connections:,} for {seconds} s"
                show(label, seen[-1], f"{answers:,}", str(other), str(failed), str(p99))
            stats = server.stats()
        finally:
            server.end()
    growth = sum(seen[2]) / sum(seen[1]) - 1
    restarts = sum(worker["restarts"] for worker in stats["workers"])
    print(f"\ngrown by {growth:.1%}; refused {stats['connections_refused']}, restarts {restarts}")
    sys.exit(growth > MOST_GROWTH)


if __name__ == "__main__":
    main()
