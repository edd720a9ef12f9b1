# Workers of a shared cache killed over and over: python -m tests.bench.deaths --kills 200
#
# Clients ask for more files than the cache holds, so that both workers store most of the time, and check each body by
# the hash that stands in it. A kill comes at a random moment after its worker is up; `repairs` says how many of them
# came while something was being changed in shared memory. In the end the lock must be free: what is asked for then is
# stored.
"""What clients saw while workers were killed, as a line on stdout; exit status 1 when it was wrong."""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.support.checked import Checkers, put, sealed
from tests.support.processes import children
from tests.support.server import WSRV, Server, wait_for

FILES = 60
LENGTHS = (4000, 100_000, 700_000)


def main() -> None:
    """Kill, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.deaths", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--policy", default="sieve")
    arguments = parser.parse_args()
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder, site = Path(name), Path(name) / "site"
        site.mkdir()
        targets = [f"/{number}.bin" for number in range(FILES)]
        for number, target in enumerate(targets):
            put(site / target[1:], sealed(os.urandom(LENGTHS[number % len(LENGTHS)])))
        where = ("--port", "0", "--runtime-dir", f"{folder}/run", "--log-file", f"{folder}/log")
        cache = ("--cache-scope", "shared", "--cache-size", "8MiB", "--cache-policy", arguments.policy)
        said = folder / "said"
        command = [*WSRV, "serve", str(site), *where, *cache, "--workers", "2"]
        with said.open("w") as stderr, subprocess.Popen(command, stderr=stderr) as popen:
            try:
                wait_for(lambda: re.search(r"listening on http://127\.0\.0\.1:(\d+)", said.read_text()), "the server")
                found = re.search(r":(\d+)\n", said.read_text())
                assert found is not None
                server = Server(popen.pid, int(found[1]), folder / "log", folder / "run", said)
                began = time.monotonic()
                with Checkers(server.port, targets) as clients:
                    for kill in range(arguments.kills):
                        answered = clients.answered
                        wait_for(lambda: clients.answered > answered + 5, "answers")  # noqa: B023
                        time.sleep(chance.random() * 0.05)
                        workers = wait_for(lambda: children(server.process, "wsrv: worker"), "a worker")
                        victim = workers[kill % len(workers)]
                        victim.send_signal(signal.SIGKILL)
                        psutil.wait_procs([victim], 5)
                seconds = time.monotonic() - began
                before = server.stats()["cache"]
                for target in targets:
                    server.get(target)
                after = server.stats()["cache"]
            finally:
                popen.terminate()
    repairs, torn = after["shared"]["repairs"], after["shared"]["torn_reads"]
    print(
        f"{arguments.kills} kills in {seconds:.0f} s, {repairs} of them while something was written; "
        f"{clients.answered:,} answers were checked, {clients.broken:,} broke off, {len(clients.faults)} were wrong; "
        f"{torn} torn reads were seen and not used; afterwards {after['evictions'] - before['evictions']} entries "
        "made room for others"
    )
    for fault in clients.faults[:10]:
        print(fault)
    sys.exit(bool(clients.faults) or after["evictions"] == before["evictions"])


if __name__ == "__main__":
    main()
