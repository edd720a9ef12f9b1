# Workers of a shared cache killed over and over: python -m tests.bench.deaths --kills 200
#
# Clients ask for more files than the cache holds, so that both workers store most of the time, and check each body by
# the hash that stands in it. Every other kill comes at a random moment after its worker is up. The rest are aimed:
# shared memory is watched for the word that names who changes something there, and that process is killed. `repairs`
# says how many came before it had finished. In the end the lock must be free: what is asked for then is stored.
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
from collections.abc import Collection
from pathlib import Path

import psutil

from tests.support.checked import Checkers, put, sealed
from tests.support.processes import children
from tests.support.server import WSRV, Server, wait_for
from wsrv.engine.cache.shared.arena import WORD, WRITING

FILES = 60
CACHE_BYTES = 8 * 1024 * 1024
# So long an aimed kill waits for somebody to write.
AIMING_SECONDS = 2.0
LENGTHS = (4000, 100_000, 700_000)


class Scope:
    """Watches who writes in the shared cache of the server whose master is `pid`."""

    def __init__(self, pid: int) -> None:
        # The arena has three quarters of the cache; nothing else that is shared is of about that size.
        found = [
            int(begin, 16)
            for begin, end in re.findall(r"(?m)^(\w+)-(\w+) rw-s ", Path(f"/proc/{pid}/maps").read_text())
            if CACHE_BYTES // 2 < int(end, 16) - int(begin, 16) < CACHE_BYTES
        ]
        assert len(found) == 1, found
        self._place = found[0] + WRITING * WORD
        self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def writer(self, pids: Collection[int]) -> int | None:
        """The first of `pids` that is seen to write; None when nobody does for a while."""
        until = time.monotonic() + AIMING_SECONDS
        while time.monotonic() < until:
            pid = int.from_bytes(os.pread(self._fd, WORD, self._place), sys.byteorder)
            if pid in pids:
                return pid
        return None


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
        cache = ("--cache-scope", "shared", "--cache-size", str(CACHE_BYTES), "--cache-policy", arguments.policy)
        said = folder / "said"
        command = [*WSRV, "serve", str(site), *where, *cache, "--workers", "2"]
        with said.open("w") as stderr, subprocess.Popen(command, stderr=stderr) as popen:
            try:
                wait_for(lambda: re.search(r"listening on http://127\.0\.0\.1:(\d+)", said.read_text()), "the server")
                found = re.search(r":(\d+)\n", said.read_text())
                assert found is not None
                server = Server(popen.pid, int(found[1]), folder / "log", folder / "run", said)
                scope = Scope(popen.pid)
                began = time.monotonic()
                with Checkers(server.port, targets) as clients:
                    for kill in range(arguments.kills):
                        answered = clients.answered
                        wait_for(lambda: clients.answered > answered + 5, "answers")  # noqa: B023
                        workers = wait_for(lambda: children(server.process, "wsrv: worker"), "a worker")
                        victim = chance.choice(workers)
                        if kill % 2:
                            by_pid = {worker.pid: worker for worker in workers}
                            victim = by_pid[scope.writer(by_pid) or victim.pid]
                        else:
                            time.sleep(chance.random() * 0.05)
                        os.kill(victim.pid, signal.SIGKILL)
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
