# Where a round takes place: a site whose files say what they must be, and a server for it that has levers.
"""The site and the server of one round."""

import contextlib
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from tests.chaos.clients import Checkers
from tests.chaos.levers import Levers
from tests.support.checked import put, sealed
from tests.support.launch import Launched, Launcher, environment
from tests.support.processes import children
from tests.support.reload import Config
from tests.support.server import read_all, wait_for
from wsrv.engine.master.ask import NoAnswer, ask
from wsrv.engine.master.runtime import running

REPOSITORY = Path(__file__).parents[2]
KIB = 1024
# Held whole, in one piece and in two; too long for the loop to read; streamed.
_LENGTHS = {"small": 1000, "medium": 30 * KIB, "long": 200 * KIB, "large": 700 * KIB, "streamed": 3000 * KIB}
_CHANGING = {"changing-0": 5000, "changing-1": 40 * KIB, "changing-2": 400 * KIB}
_CHANGE_SECONDS = 0.1
COLD = [f"/cold/{number}.bin" for number in range(200)]
_COLD_BYTES = 20 * KIB
SHRINKING_BYTES = 16 * 1024 * KIB
# Of each process of the server: few, so that a crowd can take them all.
DESCRIPTORS = 256
STALL_SECONDS = 3
_ROTATED_BYTES = 30_000_000
_QUIET_SECONDS = 15.0
_NEW_BYTES = 300 * KIB
_SOON_SECONDS = 0.3


class Site:
    """Files by length, some of them replaced over and over. A context manager."""

    def __init__(self, root: Path, seed: str) -> None:
        self.root = root
        self._chance = random.Random(seed)
        self._enough = threading.Event()
        self._changer = threading.Thread(target=self._change_on)
        (root / "cold").mkdir(parents=True)
        put(root / "probe.bin", sealed(b"somebody is served"))
        for name, length in {**_LENGTHS, **_CHANGING}.items():
            put(root / f"{name}.bin", self._content(length))
        for target in COLD:
            put(root / target[1:], self._content(_COLD_BYTES))
        self.shrinking = self._content(SHRINKING_BYTES)
        self.restore()
        self.targets = [*(f"/{name}.bin" for name in (*_LENGTHS, *_CHANGING)), *COLD[:20]]

    def _content(self, length: int) -> bytes:
        return sealed(self._chance.randbytes(length))

    def restore(self) -> None:
        """Have the file that shrinks at its full length."""
        put(self.root / "shrinks.bin", self.shrinking)

    def touch_cold(self) -> None:
        """Have the cold files looked at again by whoever holds them."""
        for target in COLD:
            os.utime(self.root / target[1:])

    def _change_on(self) -> None:
        while not self._enough.wait(_CHANGE_SECONDS):
            name = self._chance.choice(list(_CHANGING))
            # The root is away now and then.
            with contextlib.suppress(OSError):
                put(self.root / f"{name}.bin", self._content(_CHANGING[name]))

    def __enter__(self) -> Self:
        self._changer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._changer.join()


@dataclass
class Ground:
    """What faults are done to. `faults` gathers what was found wrong meanwhile."""

    server: Launched
    levers: Levers
    site: Site
    config: Config
    checkers: Checkers
    folder: Path
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    moved_logs: int = 0
    news: int = 0
    faults: list[str] = field(default_factory=list)

    def a_worker(self) -> psutil.Process:
        """One of the workers there are."""
        return self.chance.choice(self.workers())

    def workers(self) -> list[psutil.Process]:
        """The workers, once there are some."""
        return wait_for(self.server.workers, "a worker")

    def helper(self, name: str) -> psutil.Process:
        """The child of the master that is called so."""
        return wait_for(lambda: children(self.server.process, f"wsrv: {name}"), f"the process of the {name}")[0]

    def ask_for_something_new(self, lever: str) -> bool:
        """Ask for a file that was never there before, to be read by the pool; whether `lever` is still pulled then."""
        self.news += 1
        put(self.site.root / "new.bin", sealed(self.news.to_bytes(_NEW_BYTES, "big")))
        with contextlib.suppress(OSError), self.server.connect(_SOON_SECONDS) as sock:
            sock.sendall(f"GET /new.bin?n={self.news} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            read_all(sock)
        return self.levers.is_pulled(lever)

    def lasts(self, least_seconds: float, most_seconds: float) -> None:
        """Let a fault last: its length is part of what it is, not a wait for something."""
        time.sleep(self.chance.uniform(least_seconds, most_seconds))

    def away(self) -> Path:
        """Where the log is moved to, next."""
        self.moved_logs += 1
        return self.server.log.with_name(f"{self.server.log.name}.moved-{self.moved_logs}")

    def stats(self) -> dict[str, Any]:
        """What the master tells, empty when it does not answer at the moment."""
        found = running(self.server.runtime)
        try:
            return ask(found[0].socket_path, {"command": "stats"}, 5.0) if found else {}
        except NoAnswer:
            return {}

    def is_steady(self) -> bool:
        """Whether all workers serve, and none is about to come or go."""
        stats = self.stats()
        ages = [worker["heartbeat_age_seconds"] for worker in stats.get("workers", [{"heartbeat_age_seconds": None}])]
        reloads = stats.get("reloads", {})
        return all(age is not None and age < STALL_SECONDS for age in ages) and not reloads.get("under_way")

    def settle(self) -> None:
        """Wait until the server has all that it should have."""
        wait_for(self.is_steady, "all workers to serve", _QUIET_SECONDS)

    def logs(self) -> list[Path]:
        """All files of the access log."""
        return [path for path in self.server.log.parent.glob(f"{self.server.log.name}*") if path.is_file()]


def launch(launcher: Launcher, folder: Path, levers: Path, config: Config, *parts: str) -> Launched:
    """A server with levers and few descriptors."""
    log = folder / "access.log"
    config.set(
        site_root=str(folder / "site"),
        server_workers=2,
        server_stall_timeout=f"{STALL_SECONDS}s",
        cache_size="16MiB",
        cache_revalidate="250ms",
        log_max_size=_ROTATED_BYTES,
        log_keep=1000,
    )
    places = ("--port", "0", "--runtime-dir", str(launcher.runtime), "--log-file", str(log))
    python = (sys.executable, "-m", "tests.chaos.victim", str(levers))
    command = [*python, "serve", "--config", str(config.path), *places, *parts]
    limited = ["bash", "-c", f'ulimit -n {DESCRIPTORS} && exec "$0" "$@"']
    server = launcher(folder, command=command, wrapper=limited, env=environment(PYTHONPATH=str(REPOSITORY)), cwd=folder)
    server.log = log
    return server
