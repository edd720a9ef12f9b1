# The server as `wsrv` runs it, with levers: python -m tests.chaos.victim LEVERS serve ROOT ...
#
# Rule: what is put in here only waits for its lever. Without one the server is what it always is.
"""A server to which things can be done that no signal does."""

import errno
import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.levers import CRASH, DEADLY, LOOP, NO_FORK, SLOW_DISK, Levers
from wsrv.cli.main import main
from wsrv.engine.static import file
from wsrv.engine.sync.primitive import LOCK, SEMAPHORE
from wsrv.engine.worker.loop import Worker
from wsrv.plugins.registry import load

SLOW_SECONDS = 0.2


class Deadly:
    """A guard whose holder is killed when its lever is pulled."""

    def __init__(self, guard: Any, levers: Levers) -> None:
        self._guard = guard
        self._levers = levers
        self._lever = DEADLY.get(guard.name, "")
        self._maker = os.getpid()
        # A queue's permits are taken by the master, whose end is the end; whoever gives them back is a worker.
        self._dies_with_permits = guard.name == "queue"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guard, name)

    def _die(self) -> None:
        if self._lever and os.getpid() != self._maker and self._levers.obeys(self._lever):
            os.kill(os.getpid(), signal.SIGKILL)

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        had: bool = self._guard.acquire(timeout_seconds)
        if had:
            self._die()
        return had

    def try_acquire(self, count: int = 1) -> int:
        had: int = self._guard.try_acquire(count)
        if had:
            self._die()
        return had

    def release(self, *count: int) -> None:
        if self._dies_with_permits:
            self._die()
        self._guard.release(*count)


def arm(levers: Levers) -> None:
    """Have everything in this process, and in its children, obey the levers."""
    registry = load()
    for primitive in registry.primitives.values():
        for offer, maker in ((LOCK, "lock"), (SEMAPHORE, "semaphore")):
            if offer in primitive.OFFERS:
                setattr(primitive, maker, _deadly(getattr(primitive, maker), levers))
    for policy in registry.policies.values():
        setattr(policy, "admit", _endless(policy.admit, levers))  # noqa: B010
    run = Worker.run

    def run_or_crash(worker: Worker) -> None:
        if levers.obeys(CRASH):
            raise RuntimeError("it crashes at start, as it was told to")
        levers.is_workers = True
        run(worker)

    setattr(Worker, "run", run_or_crash)  # noqa: B010
    fork, read = os.fork, file._read

    def fork_or_fail() -> int:
        if levers.is_pulled(NO_FORK):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    def read_slowly(fd: int, size: int, *, nowait: bool) -> bytes:
        if levers.is_pulled(SLOW_DISK):
            if nowait:
                raise BlockingIOError(errno.EAGAIN, "not in memory")
            time.sleep(SLOW_SECONDS)
        return read(fd, size, nowait=nowait)

    os.fork = fork_or_fail
    setattr(file, "_read", read_slowly)  # noqa: B010


def _deadly(make: Callable[..., Any], levers: Levers) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*arguments: Any) -> Deadly:
        return Deadly(make(*arguments), levers)

    return made


def _endless(admit: Callable[..., Any], levers: Levers) -> Callable[..., Any]:
    @functools.wraps(admit)
    def admitting(policy: Any, key: Any, weight: int) -> Any:
        if levers.is_workers and levers.obeys(LOOP):
            while True:
                pass
        return admit(policy, key, weight)

    return admitting


if __name__ == "__main__":
    arm(Levers(Path(sys.argv.pop(1))))
    main()
