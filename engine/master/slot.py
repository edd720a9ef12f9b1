# A worker slot: what belongs to the place and outlives the processes in it, and the process that is in it now.
"""Worker slots."""

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsrv.engine.ipc.transport import Channel
from wsrv.engine.shm.histogram import BUCKETS
from wsrv.engine.shm.row import CLOSED, COUNTERS, COVERED, GAUGES, LOG_DROPPED, OPENED, Row
from wsrv.engine.sync.need import Need
from wsrv.engine.sync.primitive import SEMAPHORE, Semaphore
from wsrv.engine.worker.pool import PoolLocks

if TYPE_CHECKING:
    from wsrv.engine.master.generation import Generation

NEEDS = (Need("the connection queue", SEMAPHORE),)


@dataclass(slots=True)
class Process:
    """A child that runs."""

    pid: int
    pidfd: int


@dataclass(slots=True)
class KeeperProcess(Process):
    """The keeper of the shared cache, and the line on which it is asked."""

    asked: socket.socket


@dataclass(slots=True)
class WorkerProcess(Process):
    """A worker that runs: its statistics row, its pool's guards, the line on which it asks the master, and the one on
    which it is asked."""

    number: int
    row: Row
    locks: PoolLocks
    line: socket.socket
    asked: socket.socket
    ready: bool = False


@dataclass(slots=True, eq=False)
class Slot:
    """One place for a worker. `queue` counts the free places in `channel`; `stalled` while its worker stands still."""

    number: int
    channel: Channel
    queue: Semaphore
    capacity: int
    generation: "Generation"
    # The number of the cell that the queue is in.
    cell: int = 0
    process: WorkerProcess | None = None
    restarts: int = 0
    stalled: bool = False
    # How often in a row it was found so.
    looks: int = 0
    # Connections sent to the worker that is here, and those that it found waiting.
    sent: int = 0
    # When its worker, which leaves, is ended; 0 while it stays.
    leaves_by_ns: int = 0
    # What was hot with the worker that was here last, for the next one.
    legacy: tuple[bytes, ...] = ()

    def vacate(self) -> None:
        """Its worker is gone, or takes nothing more: what waits is for the next one."""
        self.process = None
        self.channel.vacated()
        self.sent = self.channel.depth() or 0

    def load(self) -> int:
        """Connections that its worker has, and those that wait for it."""
        return self.sent if self.process is None else self.sent - self.process.row.gone()


@dataclass(slots=True)
class Totals:
    """Counts of workers: those that are gone, or the sum of all."""

    counts: list[int] = field(default_factory=lambda: [0] * COUNTERS)
    histogram: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    max_ns: int = 0
    waits: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    wait_max_ns: int = 0

    def add(self, row: Row) -> None:
        """Add what one worker counts."""
        self.counts = [a + b for a, b in zip(self.counts, row.counters(), strict=True)]
        self.histogram = [a + b for a, b in zip(self.histogram, row.histogram(), strict=True)]
        self.max_ns = max(self.max_ns, row.longest_ns())
        self.waits = [a + b for a, b in zip(self.waits, row.waits(), strict=True)]
        self.wait_max_ns = max(self.wait_max_ns, row.longest_wait_ns())

    def retire(self, row: Row) -> None:
        """Add what a worker counted that is gone: its connections are closed, its cache is no more."""
        self.add(row)
        self.counts[CLOSED] = self.counts[OPENED]
        for gauge in (COVERED, *GAUGES):
            self.counts[gauge] = 0
        row.clear()

    @property
    def dropped(self) -> int:
        """Log lines that found no room."""
        return self.counts[LOG_DROPPED]

    def copy(self) -> "Totals":
        """The same counts, to add to."""
        return Totals(list(self.counts), list(self.histogram), self.max_ns, list(self.waits), self.wait_max_ns)
