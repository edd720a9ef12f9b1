# What is left of the peak at twice the load: python -m tests.bench.overload
#
# The server has one CPU, the client another. The peak is what a server answers when each of some clients asks again as
# soon as it has its answer. Then twice as many requests are due in each second, however many are answered: goodput is
# what of it is answered with 200. The file is large enough for the server to be what limits.
"""Goodput at twice the capacity, as a Markdown table on stdout; exit status 1 below nine tenths of the peak."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.transports import WSRV, Server

LEAST = 0.9
# Clients that ask as fast as they are answered, of which the best counts; and those of the overload.
AT_ONCE, MANY = (64, 256), 3000
MODES = {"keep-alive": (), "a connection a request": ("--no-keepalive",)}


def load(port: int, seconds: int, cpu: int, *more: str) -> dict[str, Any]:
    """What a client on this CPU has seen."""
    url = f"http://127.0.0.1:{port}/file"
    command = ["taskset", "-c", str(cpu), *WSRV, "bench", url, "-d", f"{seconds}s", "--processes", "1", "--json", *more]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def goodput(found: dict[str, Any]) -> float:
    """Answers 200 a second."""
    return float(found["statuses"].get("200", 0) / found["seconds"])


def measure(root: Path, ipc: str, mode: str, arguments: argparse.Namespace) -> float:
    """Print a row; the goodput as a part of the peak."""
    server_cpu, client_cpu = sorted(os.sched_getaffinity(0))[:2]
    server = Server(
        root, ipc, arguments.workers, "--queue", str(arguments.queue), prefix=("taskset", "-c", str(server_cpu))
    )
    try:
        how = MODES[mode]
        peak = max(
            goodput(load(server.port, arguments.seconds, client_cpu, "-c", str(number), *how)) for number in AT_ONCE
        )
        offered = 2 * peak
        many = ("-c", str(MANY), "--rate", str(int(offered)), "--timeout", "2s", *how)
        refused = sum(server.stats()["connections_refused"].values())
        found = load(server.port, 2 * arguments.seconds, client_cpu, *many)
        refused = sum(server.stats()["connections_refused"].values()) - refused
    finally:
        server.end()
    good, seconds = goodput(found), found["seconds"]
    share = good / peak
    row = (ipc, mode, f"{peak:,.0f}", f"{offered:,.0f}", f"{good:,.0f}", f"{share:.0%}", f"{refused / seconds:,.0f}")
    print(
        "|", " | ".join((*row, f"{found['latency_ms']['p50']}", f"{found['client']['cpu_share']:.0%}")), "|", flush=True
    )
    return share


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload", description=__doc__)
    parser.add_argument("--ipc", action="append", help="only this; again for more")
    parser.add_argument("--mode", action="append", choices=MODES, help="only this; again for more")
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--bytes", type=int, default=262144)
    parser.add_argument("--queue", type=int, default=256)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    print("| transport | mode | peak/s | due/s | answered 200/s | of the peak | refused/s | p50 ms | client |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").write_bytes(b"x" * arguments.bytes)
        shares = [
            measure(Path(folder), ipc, mode, arguments)
            for ipc in arguments.ipc or ("socketpair", "inherit")
            for mode in arguments.mode or MODES
        ]
    sys.exit(min(shares) < LEAST)


if __name__ == "__main__":
    main()
