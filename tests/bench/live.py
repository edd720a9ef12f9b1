# What a server pays for being listened to: python -m tests.bench.live --rate 4000
#
# One load of hits at a constant rate, all the time. In every other window somebody listens, as
# `wsrv cache simulate --live` does. The processor time of a window is compared with the mean of the ones before and
# after it, so that what grows or shrinks with time is no listener's.
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


def share_of(server: Server, seconds: float) -> float:
    """The processor time that the server takes in the next `seconds`, as a share of them."""
    before, began = server.cpu_seconds(), time.perf_counter()
    time.sleep(seconds)
    return (server.cpu_seconds() - before) / (time.perf_counter() - began)


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.live", description=__doc__)
    parser.add_argument("--rate", type=int, default=4000, help="requests a second")
    parser.add_argument("--objects", type=int, default=1, help="asked for by Zipf's law")
    parser.add_argument("--windows", type=int, default=15, help="in which somebody listens")
    parser.add_argument("--seconds", type=float, default=1.0, help="a window")
    parser.add_argument("--scope", default="process")
    arguments = parser.parse_args()
    quiet: list[float] = []
    listened: list[float] = []
    notes = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = make_site(folder / "site", arguments.objects)
        server = Server(folder / "site", folder, arguments.scope, "sieve", WORKERS, 256 * MIB)
        url = f"http://127.0.0.1:{server.port}"
        (folder / "urls").write_text("".join(f"/{name.decode()}.bin\n" for name in names))
        load: tuple[str, ...] = (*WSRV, "bench", url, "--urls", f"{folder}/urls", "--zipf", "1.0")
        load = (*load, "--rate", str(arguments.rate), "--connections", "8", "--duration", "1h")
        loading = subprocess.Popen(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            (runtime,) = folder.glob("run-*")
            found = running.find(None, str(runtime))
            share_of(server, 3)
            quiet.append(share_of(server, arguments.seconds))
            for _ in range(arguments.windows):
                workers.ask(found, {"ask": "sample", "rate": 1, "seconds": 60})
                time.sleep(UNSEEN_SECONDS)
                listened.append(share_of(server, arguments.seconds))
                told = workers.ask(found, {"ask": "sampled"})
                notes += sum(len(page["notes"]) for _, page in told.pages)
                quiet.append(share_of(server, arguments.seconds))
            assert loading.poll() is None, "the load has ended"
        finally:
            loading.terminate()
            loading.wait()
            server.end()
    more = [
        100 * (one - (before + after) / 2) / WORKERS
        for before, one, after in zip(quiet, listened, quiet[1:], strict=False)
    ]
    error = statistics.stdev(more) / len(more) ** 0.5
    print(
        f"{arguments.rate:,} requests a second for {arguments.objects:,} objects, {arguments.scope}, "
        f"{arguments.windows} windows of {arguments.seconds:g} s: {100 * statistics.mean(quiet):.1f} % of a processor, "
        f"a listener {statistics.mean(more):+.2f} ± {error:.2f} a worker; "
        f"{notes / arguments.windows / arguments.seconds / WORKERS:,.0f} notes a second and worker"
    )


if __name__ == "__main__":
    main()
