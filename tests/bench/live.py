# What a server pays for being listened to: python -m tests.bench.live --rate 4000
#
# Half of the rounds are listened to, as by `wsrv cache simulate --live`. All requests are hits and come at a constant
# rate, so that a round with a listener and one without do the same work: their CPU time says what listening costs.
"""CPU of a server's process tree with and without a live sample, as a line on stdout."""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.scopes import WSRV, Server, make_site
from wsrv.cli import running, workers
from wsrv.cli.live import UNSEEN_SECONDS

MIB = 1 << 20
WORKERS = 2


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.live", description=__doc__)
    parser.add_argument("--rate", type=int, default=4000, help="requests a second")
    parser.add_argument("--pairs", type=int, default=8, help="of rounds")
    parser.add_argument("--seconds", type=int, default=3, help="a round")
    parser.add_argument("--scope", default="process")
    arguments = parser.parse_args()
    spent: dict[bool, list[float]] = {False: [], True: []}
    noted = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_site(folder / "site", 1)
        server = Server(folder / "site", folder, arguments.scope, "sieve", WORKERS, 64 * MIB)
        load: tuple[str, ...] = (*WSRV, "bench", f"http://127.0.0.1:{server.port}/0.bin", "--rate", str(arguments.rate))
        load = (*load, "--duration", f"{arguments.seconds}s", "--connections", "8", "--warm-up", "0s")
        try:
            (runtime,) = folder.glob("run-*")
            found = running.find(None, str(runtime))
            for number in range(2 * arguments.pairs):
                # Without, with, with, without: whatever grows with time is no listener's.
                listened = number % 4 in (1, 2)
                if listened:
                    workers.ask(found, {"ask": "sample", "rate": 1, "seconds": 60})
                time.sleep(UNSEEN_SECONDS)
                before = server.cpu_seconds()
                subprocess.run(load, stdout=subprocess.DEVNULL, check=True)
                spent[listened].append((server.cpu_seconds() - before) / arguments.seconds)
                if listened:
                    noted += sum(last["requests"] for last in workers.ask(found, {"ask": "sampled"}).last.values())
        finally:
            server.end()
    without, listening = (100 * statistics.median(spent[listened]) for listened in (False, True))
    more = 100 * statistics.median(b - a for a, b in zip(spent[False], spent[True], strict=True))
    print(
        f"{arguments.rate:,} requests a second, {arguments.scope}, {arguments.pairs} pairs of {arguments.seconds} s: "
        f"{without:.1f} % of a processor, {listening:.1f} % with a listener, {more / WORKERS:+.2f} a worker in a pair; "
        f"{noted:,} requests were listened to"
    )


if __name__ == "__main__":
    main()
