# What slow clients cost everybody else: python -m tests.bench.slow
#
# Attacks by slowhttptest in its four modes, one after the other, and a second client beside each. Its slowest requests
# are what the table is about; they mean something on a quiet machine only. Needs slowhttptest.
"""Latency of a second client beside slow ones, as a Markdown table on stdout."""

import argparse
import tempfile
from pathlib import Path

from tests.bench.transports import Server
from tests.support.slow import BIG_BYTES, MODES, Attack, Seen, second_client

_QUANTILES = (0.5, 0.99, 0.999)


def cells(seen: Seen) -> list[str]:
    """How many requests there were, how many failed, and how long they took."""
    ordered = sorted(seen.seconds)
    milliseconds = [1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in _QUANTILES]
    return [f"{len(ordered):,}", str(seen.failed), *(f"{ms:.2f}" for ms in (*milliseconds, 1000 * ordered[-1]))]


def measure(root: Path, mode: str, arguments: argparse.Namespace) -> tuple[Seen, int]:
    """What the second client saw beside this attack, and how many connections were open at the most."""
    server = Server(root, arguments.ipc, arguments.workers)
    try:
        with Attack(mode, server.port, arguments.connections, arguments.seconds, arguments.rate) as attack:
            seen = second_client(server.port, attack, arguments.pause / 1000)
        return seen, server.stats()["connections_total"] - len(seen.seconds) // 2 - 1
    finally:
        server.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rate", type=int, default=200, help="new slow connections a second")
    parser.add_argument("--pause", type=float, default=2.0, help="ms between two pairs of requests")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ipc", default="socketpair")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this; again for more")
    arguments = parser.parse_args()
    print(f"{arguments.connections:,} slow connections for {arguments.seconds} s, {arguments.workers} workers\n")
    print("| slow is | slow connections in all | requests beside | failed | p50 ms | p99 ms | p99.9 ms | max ms |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "index.html").write_text("x" * 1024)
        (root / "page").write_text("x" * 1024)
        (root / "big").write_bytes(bytes(BIG_BYTES))
        for mode in arguments.mode or MODES:
            seen, opened = measure(root, mode, arguments)
            print(f"| {mode} | {opened:,} |", " | ".join(cells(seen)), "|", flush=True)


if __name__ == "__main__":
    main()
