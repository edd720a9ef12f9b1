# What no signal can do to a server from outside, by words in a file that its processes have mapped.
#
#   file   a cell of CELL_BYTES for each of LEVERS: a process-shared semaphore. A permit: it shall happen once.
#
# Rule 1: pulled once, it happens once: of all processes that come by, one takes the permit.
# Rule 2: a lever in HELD is not used up: it acts for as long as there is a permit.
"""Levers: pulled by whoever tests, obeyed by the server of `tests.chaos.victim`."""

import mmap
from pathlib import Path

from wsrv.engine.shm.row import GUARDS
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.primitives.posix import PosixSemaphore

# A worker fails before it is ready; a worker's admission to its cache never returns.
CRASH, LOOP = "crash", "loop"
# No process can be had; every file is on a slow disk, and nothing of it in memory.
NO_FORK, SLOW_DISK = "no fork", "slow disk"
HELD = (NO_FORK, SLOW_DISK)
# Who has one of these guards, or is about to give a permit of the queue back, is killed.
DEADLY = {name: f"death with {name}" for name in GUARDS}
LEVERS = (CRASH, LOOP, *HELD, *DEADLY.values())


class _There(PosixSemaphore):
    """A semaphore that another process has made."""

    def _init(self, value: int) -> None:
        pass


class Levers:
    """The levers in the file at `path`; made there if `anew`. To be closed by whoever made them."""

    def __init__(self, path: Path, *, anew: bool = False) -> None:
        kind = PosixSemaphore if anew else _There
        if anew:
            path.write_bytes(bytes(len(LEVERS) * CELL_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._view = memoryview(self._map)
        # Whether this process is a worker.
        self.is_workers = False
        self._levers: dict[str, PosixSemaphore] = {}
        for at, name in enumerate(LEVERS):
            with self._view[at * CELL_BYTES : (at + 1) * CELL_BYTES] as cell:
                self._levers[name] = kind(name, cell, 0)

    def pull(self, name: str, times: int = 1) -> None:
        """Let it happen so many times."""
        self._levers[name].release(times)

    def let_go(self, name: str) -> None:
        """Let it happen no more."""
        while self._levers[name].try_acquire():
            pass

    def obeys(self, name: str) -> bool:
        """Whether it is to happen now, and then once less."""
        return bool(self._levers[name].try_acquire())

    def is_pulled(self, name: str) -> bool:
        """Whether it is to happen."""
        return self._levers[name].value() > 0

    def close(self) -> None:
        """Let go of the memory."""
        for lever in self._levers.values():
            lever.close()
        self._view.release()
        self._map.close()
