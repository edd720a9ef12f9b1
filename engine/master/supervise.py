# Births and deaths: the workers, the log writer, the keeper of a shared cache.
#
# Rule 1: a death is reaped through its pidfd; its row is folded into the retired totals, its queue stays for the
#         successor, its guards are not used again.
# Rule 2: a worker that drains of its own accord says so once it takes nothing more; its successor begins at once, and
#         the leaver is only waited for.
"""Starting, reaping and replacing children."""

import os
import select
import signal
import socket
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING

from wsrv.engine.ipc.question import KEEPER, Message
from wsrv.engine.log.destination import Destination
from wsrv.engine.log.format import FORMATS
from wsrv.engine.log.writer import serve_log
from wsrv.engine.master.fork import ending, fork
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.parts import Parts
from wsrv.engine.master.slot import KeeperProcess, Process, Slot, Totals, WorkerProcess
from wsrv.engine.settings import Settings
from wsrv.engine.shm.clients import ClientTables
from wsrv.engine.shm.hottest import HotLists
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import TAIL_WORD, Ledger
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker.loop import Station, Worker
from wsrv.engine.worker.pool import PoolLocks

if TYPE_CHECKING:
    from wsrv.engine.master.sharedcache import SharedCache
    from wsrv.engine.tls.certificates import Certificates

# Deaths before ready that end the server: the third says that the fourth would be the same.
_MAX_STILLBIRTHS = 3
_BACKOFF_NS = 100_000_000
# Places in the file pool's queue, per thread: a job waits for the disk, not for a place.
_PLACES_PER_THREAD = 16
# Rows for twice the workers, for a time when old and new ones live side by side, and spares.
_SPARE_ROWS = 2
_POOL_CELLS = 3


def rows_for(workers: int) -> int:
    """Statistics rows that so many workers need."""
    return 2 * workers + _SPARE_ROWS


def cells_for(workers: int) -> int:
    """Cells of guards that so many workers need: a queue's for each slot, those of a pool for each row, the cache's."""
    return workers + rows_for(workers) * _POOL_CELLS + 1


def cache_cell(workers: int) -> int:
    """The cell of the shared cache's lock."""
    return cells_for(workers) - 1


def _line() -> tuple[socket.socket, socket.socket]:
    """Two ends of a line between master and worker."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


class Nursery:
    """Makes children, watches them through `epoll`, and replaces those that die."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        mapping: Mapping,
        slots: list[Slot],
        log: Destination,
        epoll: select.epoll,
        voice: Voice,
        certificates: "Certificates | None" = None,
        secure_port: int = 0,
        cache: "SharedCache | None" = None,
    ) -> None:
        self._cache = cache
        self._certificates = certificates
        self._secure_port = secure_port
        self._settings = settings
        self._parts = parts
        # That of workers to come; the master may change it.
        self.policy = parts.policy
        self._mapping = mapping
        self._log = log
        self._slots = slots
        self._epoll = epoll
        self._voice = voice
        self._free = list(range(len(mapping.rows)))
        self._clients = ClientTables(len(mapping.rows)) if settings.limits.bounds_guests else None
        self._hottest = HotLists(len(mapping.rows))
        self._leavers: list[WorkerProcess] = []
        self._lifeline, self._lifeline_end = os.pipe2(os.O_CLOEXEC)
        self._master = os.pidfd_open(os.getpid())
        self.ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.retired = Totals()
        self.log_writer: Process | None = None
        self.keeper: KeeperProcess | None = None
        self._keeper_due_ns = 0
        self._keeper_is_renewed = False
        self._stillbirths = 0
        self._due: dict[int, int] = {}
        self._replaces = True
        self._log_is_given_up = False

    # Births.

    def start_log_writer(self) -> None:
        """Fork the log writer."""
        keep = [self._mapping.bell, self._lifeline, *self._log.kept_fds()]
        work = partial(serve_log, self._mapping, self._log, self._lifeline, self._voice.warn)
        pid = fork(keep, "wsrv: log", work)
        self.log_writer = Process(pid, self._watch(pid))

    def reopen_log(self) -> None:
        """Have the log file opened anew: it was moved away. A log writer that begins opens it anyway."""
        if self.log_writer is not None:
            signal.pidfd_send_signal(self.log_writer.pidfd, signal.SIGUSR1)

    def start_keeper(self) -> None:
        """Fork the keeper of the shared cache, where there is one."""
        if self._cache is not None:
            asked, theirs = _line()
            keep = [self._lifeline, theirs.fileno(), *self._cache.fds()]
            pid = fork(keep, "wsrv: cache", partial(self._cache.keep, self.policy, self._lifeline, theirs))
            theirs.close()
            self._epoll.register(asked, select.EPOLLIN)
            self.keeper = KeeperProcess(pid, self._watch(pid), asked)

    def renew_keeper(self) -> None:
        """Let a successor of the keeper begin, with the policy of now. It has nothing that its successor needs."""
        if self.keeper is not None:
            self._keeper_is_renewed = True
            signal.pidfd_send_signal(self.keeper.pidfd, signal.SIGKILL)

    def start_worker(self, slot: Slot) -> None:
        """Fork a worker into `slot`, which has none."""
        number = self._free.pop(0)
        row = self._mapping.rows[number]
        locks = self._pool_locks(number)
        guard_fds = [fd for guard in (slot.queue, *locks) for fd in guard.fds()]
        (line, their_line), (asked, their_asked) = _line(), _line()
        shared = [self._mapping.bell, self._master, self.ready, self._lifeline_end]
        cache = self._cache
        if cache is not None:
            shared += cache.fds()
        keep = [*guard_fds, *slot.channel.kept_fds(), their_line.fileno(), their_asked.fileno(), *shared]

        # Once: who dies of it has a successor that begins with nothing.
        legacy, slot.legacy = slot.legacy, ()

        def work() -> None:
            ledger = Ledger(row, self._mapping.asleep, self._mapping.bell)
            queue = slot.queue if self._parts.transport.DISPATCHES else None
            guards = locks.counted(ledger.counts)
            source, tls = slot.channel.source(), (self._certificates, self._secure_port)
            clients = None if self._clients is None else self._clients.of(number)
            ways, policies = (their_line, their_asked, self._master, self.ready), self._parts.policies
            # A shared cache outlives the worker, and is at hand for its successor.
            hottest, left = (self._hottest.of(number), legacy) if cache is None else (None, ())
            memory = None if cache is None else cache.memory
            station = Station(
                source, queue, guards, ledger, *ways, *tls, clients, policies, hottest, left, memory, number
            )
            workers, capacity_bytes = len(self._slots), self._settings.cache.capacity_bytes
            policy = self.policy(capacity_bytes // workers if cache is None else cache.memory.front_bytes)
            log_format = FORMATS[self._settings.log.format](slot.number)
            Worker(self._settings, policy, log_format, station).run()

        pid = fork(keep, f"wsrv: worker {slot.number}", work)
        for theirs, ours in ((their_line, line), (their_asked, asked)):
            theirs.close()
            self._epoll.register(ours, select.EPOLLIN)
        slot.process = WorkerProcess(pid, self._watch(pid), number, row, locks, line, asked)
        self._voice.detail(f"worker {slot.number} is pid {pid}")

    def _watch(self, pid: int) -> int:
        pidfd = os.pidfd_open(pid)
        self._epoll.register(pidfd, select.EPOLLIN)
        return pidfd

    def _pool_locks(self, number: int) -> PoolLocks:
        """The guards of the pool of whoever has row `number`."""
        primitive = self._parts.primitive
        places = self._settings.process.threads * _PLACES_PER_THREAD
        first = len(self._slots) + number * _POOL_CELLS
        cells = [self._mapping.cell(first + i) for i in range(_POOL_CELLS)]
        for cell in cells:
            cell[:] = bytes(CELL_BYTES)
        return PoolLocks(
            primitive.semaphore("pool_empty", cells[0], places),
            primitive.semaphore("pool_filled", cells[1], 0),
            primitive.lock("pool_mutex", cells[2]),
        )

    def all_ready(self) -> bool:
        """Whether every slot has a worker that serves. Call when `ready` polls readable, and after."""
        for slot in self._slots:
            process = slot.process
            if process is not None and not process.ready and process.row.heartbeat_ns():
                process.ready = True
                self._stillbirths = 0
        return all(slot.process is not None and slot.process.ready for slot in self._slots)

    def succeed(self, line: socket.socket) -> None:
        """The worker on `line` takes nothing more: let its successor begin."""
        slot = next((s for s in self._slots if s.process is not None and s.process.line is line), None)
        if slot is None or slot.process is None or not self._replaces or not self._free:
            return
        slot.legacy = tuple(self._hottest.of(slot.process.number).read())
        self._leavers.append(slot.process)
        slot.process = None
        slot.channel.vacated()
        slot.restarts += 1
        self.start_worker(slot)

    # Deaths.

    def owns(self, fd: int) -> bool:
        """Whether `fd` is the pidfd of a child."""
        return fd in self.pidfds()

    def line(self, fd: int) -> socket.socket | None:
        """The line to a worker that `fd` belongs to; None when it is none."""
        return next((process.line for process in self.workers() if process.line.fileno() == fd), None)

    def asked(self, fd: int) -> socket.socket | None:
        """The line that `fd` belongs to and a worker or the keeper is asked on; None when it is none."""
        keeper = [] if self.keeper is None else [self.keeper.asked]
        lines = [*keeper, *(process.asked for process in self.workers())]
        return next((line for line in lines if line.fileno() == fd), None)

    def respondents(self, question: Message) -> list[tuple[int, socket.socket]]:
        """Whom a question is for: the workers that serve, by the number of their slots, and the keeper.

        What is to be loaded into a cache of all workers one of them loads.
        """
        workers = [(slot.number, slot.process.asked) for slot in self._slots if slot.process is not None]
        if self._cache is not None and question.get("ask") == "warm":
            return workers[:1]
        if self.keeper is not None and question.get("ask") in ("entries", "show"):
            return [(KEEPER, self.keeper.asked), *workers]
        return workers

    def _find(self, pidfd: int) -> Slot | None:
        return next((s for s in self._slots if s.process is not None and s.process.pidfd == pidfd), None)

    def reap(self, pidfd: int) -> None:
        """A child is gone: settle what it left, and replace it. Raises CannotStart when replacing is hopeless."""
        slot = self._find(pidfd)
        if slot is not None and slot.process is not None:
            self._reap_worker(slot, slot.process)
        elif (leaver := next((p for p in self._leavers if p.pidfd == pidfd), None)) is not None:
            self._leavers.remove(leaver)
            self._bury(leaver)
            self._settle(leaver)
        elif self.log_writer is not None and self.log_writer.pidfd == pidfd:
            code = self._bury(self.log_writer)
            self.log_writer = None
            # In a drain too: there is text to carry until the last worker is gone, and it ends by itself then.
            if code != 0 and not self._log_is_given_up:
                self._voice.warn(f"the log writer {ending(code)}; it is replaced")
                self.start_log_writer()
        elif self.keeper is not None and self.keeper.pidfd == pidfd:
            code = self._bury(self.keeper)
            self.keeper.asked.close()
            self.keeper = None
            # Without it the cache goes on as it is, so there is no hurry, and a policy with a fault costs little.
            if self._replaces:
                if not self._keeper_is_renewed:
                    self._voice.warn(f"the keeper of the cache {ending(code)}; it is replaced")
                self._keeper_is_renewed = False
                self._keeper_due_ns = monotonic_ns() + _BACKOFF_NS

    def _reap_worker(self, slot: Slot, process: WorkerProcess) -> None:
        self.all_ready()
        how = ending(self._bury(process))
        if process.ready:
            slot.legacy = tuple(self._hottest.of(process.number).read())
        self._settle(process)
        slot.process = None
        slot.channel.vacated()
        slot.queue.reset(slot.capacity - (slot.channel.depth() or 0))
        if not self._replaces:
            return
        if not process.ready:
            self._stillbirths += 1
            if self._stillbirths >= _MAX_STILLBIRTHS:
                raise CannotStart(f"workers do not come up: worker {slot.number} {how} before it was ready")
            self._due[slot.number] = monotonic_ns() + _BACKOFF_NS * 2**self._stillbirths
            return
        self._voice.warn(f"worker {slot.number} (pid {process.pid}) {how}; it is replaced")
        slot.restarts += 1
        self.start_worker(slot)

    def _settle(self, process: WorkerProcess) -> None:
        """Take in what a worker that is gone has left."""
        self.retired.retire(process.row)
        self._hottest.of(process.number).clear()
        if self._clients is not None:
            self._clients.clear(process.number)
        if self._cache is not None:
            self._cache.forget(process.number)
        self._free.append(process.number)
        for guard in process.locks:
            guard.close()
        process.line.close()
        process.asked.close()

    def _bury(self, process: Process) -> int:
        """Reap the process; its exit status, or the negated signal that killed it."""
        self._epoll.unregister(process.pidfd)
        os.close(process.pidfd)
        _, status = os.waitpid(process.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def tick(self, now_ns: int) -> None:
        """Start those whose back-off is over."""
        if self._keeper_due_ns and self._keeper_due_ns <= now_ns:
            self._keeper_due_ns = 0
            if self._replaces:
                self.start_keeper()
        for number in [n for n, due_ns in self._due.items() if due_ns <= now_ns]:
            del self._due[number]
            if self._replaces:
                self.start_worker(self._slots[number])

    def reap_strangers(self) -> None:
        """As PID 1: reap the orphans that became ours."""
        ours = {p.pid for p in self._processes()}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in ours:
                return
            os.waitpid(found.si_pid, 0)

    # The end.

    def drain(self) -> None:
        """Tell the workers to finish; none is replaced from now on."""
        self._replaces = False
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End every worker now."""
        self._replaces = False
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send `number` to every worker."""
        for process in self.workers():
            signal.pidfd_send_signal(process.pidfd, number)

    def workers(self) -> list[WorkerProcess]:
        """Workers that still run, those that leave among them."""
        return [*(slot.process for slot in self._slots if slot.process is not None), *self._leavers]

    def end_lifeline(self) -> None:
        """Let go of the master's end: the log writer ends when the workers' are gone too."""
        if self._lifeline_end >= 0:
            os.close(self._lifeline_end)
            self._lifeline_end = -1

    def pidfds(self) -> list[int]:
        """What polls readable when a child ends."""
        return [process.pidfd for process in self._processes()]

    def lines_left(self) -> int:
        """Lines of the access log that nobody has written. When no child is left."""
        return sum(row.text(row.words[TAIL_WORD], row.covered()).count(b"\n") for row in self._mapping.rows)

    def kill_helpers(self) -> None:
        """End the log writer now, for good, whose reader takes nothing; and the keeper."""
        self._log_is_given_up = True
        for helper in self._helpers():
            signal.pidfd_send_signal(helper.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of every descriptor. When no child is left."""
        self.end_lifeline()
        for fd in (self._lifeline, self._master, self.ready):
            os.close(fd)

    def _helpers(self) -> list[Process]:
        return [process for process in (self.log_writer, self.keeper) if process is not None]

    def _processes(self) -> list[Process]:
        return [*self.workers(), *self._helpers()]
