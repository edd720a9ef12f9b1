# Births and deaths: the workers, the log writer, the keeper of a shared cache.
#
# Rule 1: a death is reaped through its pidfd; its row is folded into the retired totals, its queue stays for the
#         successor, its guards are not used again.
# Rule 2: a worker that drains of its own accord says so once it takes nothing more; its successor begins at once, and
#         the leaver is only waited for.
# Rule 3: of the next generation no worker is replaced before all serve: one that dies tells that its settings may not
#         do. Of one that leaves none is replaced at all; who takes too long is ended.
# Rule 4: where there can be no more processes, it is tried again, later and later; nobody is told twice.
"""Starting, reaping and replacing children."""

import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from time import monotonic_ns

from wsrv.engine.ipc.question import KEEPER, Message
from wsrv.engine.master.births import Births
from wsrv.engine.master.fork import ending
from wsrv.engine.master.generation import Generation
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.slot import KeeperProcess, Process, Slot, Totals, WorkerProcess
from wsrv.engine.shm.row import TAIL_WORD

# Deaths before ready that end the server: the third says that the fourth would be the same.
_MAX_STILLBIRTHS = 3
_BACKOFF_NS = 100_000_000
# Without room for another process: the longest wait before the next try.
_MOST_BACKOFF_NS = 500_000_000


class Nursery:
    """Watches the children through `epoll`, and replaces those that die."""

    def __init__(self, births: Births, generation: Generation, epoll: select.epoll, voice: Voice) -> None:
        self._births = births
        self._epoll = epoll
        self._voice = voice
        self.current = generation
        # The one that is to follow, while its workers come up.
        self.coming: Generation | None = None
        # Slots of generations before, each until its last worker is gone.
        self.leaving: list[Slot] = []
        # Told of a worker of the next generation that has died, and how; of a slot whose last worker is gone.
        self.when_stillborn: Callable[[Slot, str], None] = lambda slot, how: None
        self.when_left: Callable[[Slot], None] = lambda slot: None
        self._leavers: list[WorkerProcess] = []
        self.retired = Totals()
        self.log_writer: Process | None = None
        self.keeper: KeeperProcess | None = None
        self._stillbirths = 0
        # Births that the system refused: in a row, and in all.
        self._refusals = 0
        self.refused = 0
        # When to try again to begin a worker, by its slot; the log writer; the keeper. Zero: nothing to try.
        self._due: dict[Slot, int] = {}
        self._log_due_ns = 0
        self._keeper_due_ns = 0
        self._replaces = True
        self._log_is_given_up = False

    @property
    def ready(self) -> int:
        """An eventfd: readable when a worker has come up."""
        return self._births.ready

    @property
    def births(self) -> Births:
        """What makes the children."""
        return self._births

    # Births.

    def begin(self) -> None:
        """Fork everybody for the first time. Raises CannotStart."""
        try:
            self.start_log_writer()
            self.start_keeper()
            for slot in self.current.slots:
                slot.process = self._births.worker(slot)
        except OSError as error:
            raise CannotStart(f"cannot start a process: {error.strerror}; a bound of processes or memory?") from error

    def start_log_writer(self) -> None:
        """Fork the log writer. Raises OSError."""
        self.log_writer = self._births.log_writer()

    def reopen_log(self) -> None:
        """Have the log file opened anew: it was moved away. A log writer that begins opens it anyway."""
        if self.log_writer is not None:
            signal.pidfd_send_signal(self.log_writer.pidfd, signal.SIGUSR1)

    def start_keeper(self) -> None:
        """Fork the keeper of the shared cache, where there is one. Raises OSError."""
        if self._births.cache is not None:
            self.keeper = self._births.keeper(self._births.cache, self.current.policy)

    def renew_keeper(self) -> None:
        """Let a successor of the keeper begin, with the policy of now. It has nothing that its successor needs."""
        if (old := self.keeper) is not None:
            signal.pidfd_send_signal(old.pidfd, signal.SIGKILL)
            os.waitpid(old.pid, 0)
            self.keeper = None
            self._begin_keeper()
            # Not before: the number would be its successor's, and what is still heard of it would be said of that.
            self._epoll.unregister(old.pidfd)
            os.close(old.pidfd)
            old.asked.close()

    def start_worker(self, slot: Slot) -> None:
        """Fork a worker into `slot`, which has none; later, where there can be no more processes now."""
        try:
            slot.process = self._births.worker(slot)
        except OSError as error:
            self._due[slot] = self._later(f"a worker: {error.strerror}")
        else:
            self._had_room()

    def _had_room(self) -> None:
        """A process could be started: say so if it could not before."""
        if self._refusals:
            self._voice.say("processes can be started again")
        self._refusals = 0

    def _later(self, what: str) -> int:
        """When to try again, having said once that there is no room."""
        if not self._refusals:
            self._voice.warn(f"cannot start {what}; it is tried again")
        self._refusals += 1
        self.refused += 1
        return monotonic_ns() + min(_BACKOFF_NS << min(self._refusals, 8), _MOST_BACKOFF_NS)

    def all_ready(self) -> bool:
        """Whether every slot of the current generation has a worker that serves. Call when `ready` polls readable."""
        return self._are_ready(self.current)

    def next_is_ready(self) -> bool:
        """Whether there is a next generation, and all of it serves."""
        return self.coming is not None and self._are_ready(self.coming)

    def _are_ready(self, generation: Generation) -> bool:
        for slot in generation.slots:
            process = slot.process
            if process is not None and not process.ready and process.row.heartbeat_ns():
                process.ready = True
                self._stillbirths = 0
        return all(slot.process is not None and slot.process.ready for slot in generation.slots)

    def succeed(self, line: socket.socket) -> None:
        """The worker on `line` takes nothing more: let its successor begin."""
        slot = next((s for s in self._serving() if s.process is not None and s.process.line is line), None)
        if slot is None or slot.process is None or not self._replaces or not self._births.rows_left:
            return
        slot.legacy = self.warmth(slot)
        self._leavers.append(slot.process)
        slot.vacate()
        slot.restarts += 1
        self.start_worker(slot)

    def warmth(self, slot: Slot) -> tuple[bytes, ...]:
        """What is hot with the worker in `slot`."""
        return tuple(self._births.hottest.of(slot.process.number).read()) if slot.process is not None else ()

    # From one generation to the next.

    def promote(self, until_ns: int) -> list[Slot]:
        """The next generation is the current one; that of before is told to leave, by `until_ns`. Its slots."""
        assert self.coming is not None, "there is one that comes"
        before, self.current, self.coming = self.current, self.coming, None
        for new, old in zip(self.current.slots, before.slots, strict=False):
            new.restarts = old.restarts
        self.leave(before, until_ns)
        return before.slots

    def leave(self, generation: Generation, until_ns: int) -> None:
        """Have the workers of a generation finish, those that serve; nobody knows the others yet."""
        for slot in generation.slots:
            slot.leaves_by_ns = until_ns
            self._due.pop(slot, None)
            if slot.process is not None:
                how = signal.SIGUSR2 if slot.process.ready else signal.SIGKILL
                signal.pidfd_send_signal(slot.process.pidfd, how)
        self.leaving += generation.slots
        for slot in list(generation.slots):
            self._see_left(slot)

    def _see_left(self, slot: Slot) -> None:
        if slot in self.leaving and slot.process is None:
            self.leaving.remove(slot)
            self.when_left(slot)

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
        workers = [(slot.number, slot.process.asked) for slot in self.current.slots if slot.process is not None]
        if self._births.cache is not None and question.get("ask") == "warm":
            return workers[:1]
        if self.keeper is not None and question.get("ask") in ("entries", "show"):
            return [(KEEPER, self.keeper.asked), *workers]
        return workers

    def _serving(self) -> Iterator[Slot]:
        """The slots whose workers are replaced."""
        yield from self.current.slots
        if self.coming is not None:
            yield from self.coming.slots

    def _find(self, pidfd: int) -> Slot | None:
        everywhere = (*self._serving(), *self.leaving)
        return next((s for s in everywhere if s.process is not None and s.process.pidfd == pidfd), None)

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
                self._replace_log_writer()
        elif self.keeper is not None and self.keeper.pidfd == pidfd:
            code = self._bury(self.keeper)
            self.keeper.asked.close()
            self.keeper = None
            # Without it the cache goes on as it is, so there is no hurry, and a policy with a fault costs little.
            if self._replaces:
                self._voice.warn(f"the keeper of the cache {ending(code)}; it is replaced")
                self._keeper_due_ns = monotonic_ns() + _BACKOFF_NS

    def _begin_keeper(self) -> None:
        try:
            self.start_keeper()
        except OSError as error:
            self._keeper_due_ns = self._later(f"the keeper of the cache: {error.strerror}")
        else:
            self._had_room()

    def _replace_log_writer(self) -> None:
        try:
            self.start_log_writer()
        except OSError as error:
            self._log_due_ns = self._later(f"the log writer: {error.strerror}")
        else:
            self._had_room()

    def _reap_worker(self, slot: Slot, process: WorkerProcess) -> None:
        self._are_ready(slot.generation)
        how = ending(self._bury(process))
        if process.ready:
            slot.legacy = self.warmth(slot)
        self._settle(process)
        slot.vacate()
        slot.queue.reset(slot.capacity - slot.sent)
        if slot in self.leaving:
            self._see_left(slot)
        elif self._replaces and slot.generation is self.coming:
            self.when_stillborn(slot, f"worker {slot.number} {how} before the others were ready")
        elif self._replaces:
            self._replace(slot, process, how)

    def _replace(self, slot: Slot, process: WorkerProcess, how: str) -> None:
        if not process.ready:
            self._stillbirths += 1
            if self._stillbirths >= _MAX_STILLBIRTHS:
                raise CannotStart(f"workers do not come up: worker {slot.number} {how} before it was ready")
            self._due[slot] = monotonic_ns() + _BACKOFF_NS * 2**self._stillbirths
            return
        self._voice.warn(f"worker {slot.number} (pid {process.pid}) {how}; it is replaced")
        slot.restarts += 1
        self.start_worker(slot)

    def _settle(self, process: WorkerProcess) -> None:
        """Take in what a worker that is gone has left."""
        self.retired.retire(process.row)
        for clients in {g.clients for g in (self.current, self.coming) if g is not None and g.clients is not None}:
            clients.clear(process.number)
        self._births.give_back(process)

    def _bury(self, process: Process) -> int:
        """Reap the process; its exit status, or the negated signal that killed it."""
        self._epoll.unregister(process.pidfd)
        os.close(process.pidfd)
        _, status = os.waitpid(process.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def tick(self, now_ns: int) -> None:
        """Start those whose back-off is over, and end those who take too long to leave."""
        if 0 < self._log_due_ns <= now_ns:
            self._log_due_ns = 0
            self._replace_log_writer()
        if 0 < self._keeper_due_ns <= now_ns:
            self._keeper_due_ns = 0
            if self._replaces:
                self._begin_keeper()
        for slot in [s for s, due_ns in self._due.items() if due_ns <= now_ns]:
            del self._due[slot]
            if self._replaces:
                self.start_worker(slot)
        for slot in self.leaving:
            if slot.process is not None and slot.leaves_by_ns <= now_ns:
                signal.pidfd_send_signal(slot.process.pidfd, signal.SIGKILL)

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
        slots = (*self._serving(), *self.leaving)
        return [*(slot.process for slot in slots if slot.process is not None), *self._leavers]

    def pidfds(self) -> list[int]:
        """What polls readable when a child ends."""
        return [process.pidfd for process in self._processes()]

    def slots(self) -> list[Slot]:
        """Every slot that there is."""
        return [*self._serving(), *self.leaving]

    def lines_left(self) -> int:
        """Lines of the access log that nobody has written. When no child is left."""
        return sum(row.text(row.words[TAIL_WORD], row.covered()).count(b"\n") for row in self._births.mapping.rows)

    def kill_helpers(self) -> None:
        """End the log writer now, for good, whose reader takes nothing; and the keeper."""
        self._log_is_given_up = True
        for helper in self._helpers():
            signal.pidfd_send_signal(helper.pidfd, signal.SIGKILL)

    def _helpers(self) -> list[Process]:
        return [process for process in (self.log_writer, self.keeper) if process is not None]

    def _processes(self) -> list[Process]:
        return [*self.workers(), *self._helpers()]
