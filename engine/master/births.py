# How children are made: workers, the log writer, the keeper of a shared cache.
#
# Rule 1: everything that a worker shares is there before its fork: its row, the guards of its pool, two lines.
# Rule 2: rows are for twice the workers that there may be, and some: those of two configurations live side by side.
"""Making children."""

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wsrv.engine.cache.policy import Policy
from wsrv.engine.log.destination import Destination
from wsrv.engine.log.format import FORMATS
from wsrv.engine.log.writer import serve_log
from wsrv.engine.master.confine import Confinement
from wsrv.engine.master.fork import fork
from wsrv.engine.master.outcome import Voice
from wsrv.engine.master.parts import Parts
from wsrv.engine.master.slot import KeeperProcess, Process, Slot, WorkerProcess
from wsrv.engine.shm.hottest import HotLists
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import Ledger
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker.loop import Worker
from wsrv.engine.worker.pool import PoolLocks
from wsrv.engine.worker.station import Station

if TYPE_CHECKING:
    from wsrv.engine.master.sharedcache import SharedCache

# Places in the file pool's queue, per thread: a job waits for the disk, not for a place.
_PLACES_PER_THREAD = 16
_SPARE_ROWS = 2
_POOL_CELLS = 3


def rows_for(room: int) -> int:
    """Statistics rows for a server that may have so many workers, and as many of another configuration."""
    return 2 * room + _SPARE_ROWS


def queues_for(room: int) -> int:
    """Cells of queues: those of slots whose workers live, and of the slots that are being made."""
    return rows_for(room) + room


def cells_for(room: int) -> int:
    """Cells of guards: a queue's for each slot that there may be, those of a pool for each row, the cache's."""
    return queues_for(room) + rows_for(room) * _POOL_CELLS + 1


def cache_cell(room: int) -> int:
    """The cell of the shared cache's lock."""
    return cells_for(room) - 1


def _line(undo: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two ends of a line between master and worker, which `undo` closes. Raises OSError."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        undo.enter_context(end)
        end.setblocking(False)
    return ends


class Births:
    """Makes children, whose pidfds are in `epoll` from then on. Each birth raises OSError where there is no room."""

    def __init__(
        self,
        parts: Parts,
        mapping: Mapping,
        room: int,
        log: Destination,
        epoll: select.epoll,
        voice: Voice,
        confinement: Confinement,
        cache: "SharedCache | None" = None,
    ) -> None:
        self._parts = parts
        self.mapping = mapping
        self._first_pool_cell = queues_for(room)
        self._log = log
        self._epoll = epoll
        self._voice = voice
        self._confinement = confinement
        self.cache = cache
        self._free = list(range(len(mapping.rows)))
        self.hottest = HotLists(len(mapping.rows))
        self.lifeline, self._lifeline_end = os.pipe2(os.O_CLOEXEC)
        self._master = os.pidfd_open(os.getpid())
        self.ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def rows_left(self) -> int:
        """How many workers more there may be."""
        return len(self._free)

    def log_writer(self) -> Process:
        """Fork the log writer."""
        keep = [self.mapping.bell, self.lifeline, *self._log.kept_fds()]
        work = partial(serve_log, self.mapping, self._log, self.lifeline, self._voice.warn)
        return self._child(keep, "wsrv: log", work)

    def keeper(self, cache: "SharedCache", policy: type[Policy]) -> KeeperProcess:
        """Fork the keeper of the shared cache, which has `policy`."""
        with contextlib.ExitStack() as undo:
            asked, theirs = _line(undo)
            keep = [self.lifeline, theirs.fileno(), *cache.fds()]
            child = self._child(keep, "wsrv: cache", partial(self._keep, cache, policy, theirs))
            undo.pop_all()
        theirs.close()
        self._epoll.register(asked, select.EPOLLIN)
        return KeeperProcess(child.pid, child.pidfd, asked)

    def _keep(self, cache: "SharedCache", policy: type[Policy], asked: socket.socket) -> None:
        self._confinement.keeper()
        cache.keep(policy, self.lifeline, asked)

    def worker(self, slot: Slot) -> WorkerProcess:
        """Fork a worker for `slot`."""
        with contextlib.ExitStack() as undo:
            born = self._worker(slot, undo)
            undo.pop_all()
        return born

    def _worker(self, slot: Slot, undo: contextlib.ExitStack) -> WorkerProcess:
        generation, settings = slot.generation, slot.generation.settings
        number = self._free[0]
        row = self.mapping.rows[number]
        locks = self._pool_locks(number, settings.process.threads, undo)
        line, their_line = _line(undo)
        asked, their_asked = _line(undo)
        guard_fds = [fd for guard in (slot.queue, *locks) for fd in guard.fds()]
        shared = [self.mapping.bell, self._master, self.ready, self._lifeline_end]
        cache = self.cache
        if cache is not None:
            shared += cache.fds()
        keep = [*guard_fds, *slot.channel.kept_fds(), their_line.fileno(), their_asked.fileno(), *shared]
        legacy = slot.legacy
        # Looked up before the child has closed the listeners.
        tls = (generation.certificates, generation.secure_port)

        def work() -> None:
            ledger = Ledger(row, self.mapping.asleep, self.mapping.bell)
            queue = slot.queue if self._parts.transport.DISPATCHES else None
            guards = locks.counted(ledger.counts)
            source = slot.channel.source()
            self._confinement.worker(settings)
            clients = None if generation.clients is None else generation.clients.of(number)
            ways, policies = (their_line, their_asked, self._master, self.ready), self._parts.policies
            workers = settings.process.workers
            # A shared cache outlives the worker, and is at hand for its successor.
            hottest, left = (self.hottest.of(number), legacy) if cache is None else (None, ())
            memory = None if cache is None else cache.memory_of(workers)
            station = Station(
                source, queue, guards, ledger, *ways, *tls, clients, policies, hottest, left, memory, number
            )
            policy = generation.policy(
                settings.cache.capacity_bytes // workers if memory is None else memory.front_bytes
            )
            Worker(settings, policy, FORMATS[settings.log.format](slot.number), station).run()

        child = self._child(keep, f"wsrv: worker {slot.number}", work)
        # Once: who dies of it has a successor that begins with nothing.
        slot.legacy = ()
        del self._free[0]
        for theirs, ours in ((their_line, line), (their_asked, asked)):
            theirs.close()
            self._epoll.register(ours, select.EPOLLIN)
        self._voice.detail(f"worker {slot.number} is pid {child.pid}")
        return WorkerProcess(child.pid, child.pidfd, number, row, locks, line, asked)

    def give_back(self, process: WorkerProcess) -> None:
        """Let go of what a worker that is gone had for itself; its row is free."""
        self.hottest.of(process.number).clear()
        if self.cache is not None:
            self.cache.forget(process.number)
        self._free.append(process.number)
        for guard in process.locks:
            guard.close()
        process.line.close()
        process.asked.close()

    def _child(self, keep: list[int], name: str, work: Callable[[], None]) -> Process:
        """Fork, and watch the child. Raises OSError, and there is no child then."""
        # A place for its pidfd: once there is a child it is not to be lost for want of a descriptor.
        place = os.dup(self._master)
        try:
            pid = fork(keep, name, work)
        finally:
            os.close(place)
        try:
            pidfd = os.pidfd_open(pid)
            self._epoll.register(pidfd, select.EPOLLIN)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        return Process(pid, pidfd)

    def _pool_locks(self, number: int, threads: int, undo: contextlib.ExitStack) -> PoolLocks:
        """The guards of the pool of whoever has row `number`, which `undo` closes. Raises OSError."""
        primitive = self._parts.primitive
        first = self._first_pool_cell + number * _POOL_CELLS
        cells = [self.mapping.cell(first + i) for i in range(_POOL_CELLS)]
        for cell in cells:
            cell[:] = bytes(CELL_BYTES)
        empty = primitive.semaphore("pool_empty", cells[0], threads * _PLACES_PER_THREAD)
        undo.callback(empty.close)
        filled = primitive.semaphore("pool_filled", cells[1], 0)
        undo.callback(filled.close)
        mutex = primitive.lock("pool_mutex", cells[2])
        undo.callback(mutex.close)
        return PoolLocks(empty, filled, mutex)

    def end_lifeline(self) -> None:
        """Let go of the master's end: the log writer ends when the workers' are gone too."""
        if self._lifeline_end >= 0:
            os.close(self._lifeline_end)
            self._lifeline_end = -1

    def close(self) -> None:
        """Let go of every descriptor. When no child is left."""
        self.end_lifeline()
        for fd in (self.lifeline, self._master, self.ready):
            os.close(fd)
