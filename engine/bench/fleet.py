# The processes of the generator: forked before anything has threads, started together, added up at the end.
#
# Rule 1: whatever becomes of a process, its parent hears of it: a result, or a death.
# Rule 2: each says by a byte that it has warmed up: what the server counts can be read before the run begins.
# Rule 3: an interrupt is the parent's to handle; the processes stop sending, wait for what is under way, and report.
"""A fleet of load-generating processes."""

import marshal
import mmap
import os
import select
import signal
import traceback
from collections.abc import Sequence

from wsrv.engine.bench.generator import ANSWERS, FAILURES, STOP, WORDS, Generator
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.tally import Tally, with_omitted

# What a process says when it has warmed up; its result follows.
_WARM = b"w"


class Lost(Exception):
    """A process of the generator died."""


class Fleet:
    """Carries out `plan` with `processes` processes. They warm up at once, and wait until go() is called."""

    def __init__(self, plan: Plan, processes: int) -> None:
        self.plan = plan
        self._number = processes
        self._words = memoryview(mmap.mmap(-1, 8 * WORDS * processes)).cast("q")
        waiting, self._gate = os.pipe()
        self._pids: list[int] = []
        self._pipes: dict[int, bytearray] = {}
        for number in range(processes):
            reading, writing = os.pipe()
            pid = os.fork()
            if not pid:
                os.close(self._gate)
                self._be(number, waiting, writing)
            os.close(writing)
            self._pids.append(pid)
            self._pipes[reading] = bytearray()
        os.close(waiting)
        self._open = set(self._pipes)

    def _be(self, number: int, waiting: int, writing: int) -> None:
        """Be process `number`. Does not return."""
        status = 1
        try:
            for ending in (signal.SIGINT, signal.SIGHUP):
                signal.signal(ending, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            words = self._words[number * WORDS : (number + 1) * WORDS]

            def warm() -> None:
                os.write(writing, _WARM)
                os.read(waiting, 1)

            tally = Generator(self.plan.share(number, self._number), words).run(warm)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(marshal.dumps(tally.plain()))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def warm(self, seconds: float) -> bool:
        """Wait for so long until all have warmed up; whether they have, or have died."""
        cold = [fd for fd in self._open if not self._pipes[fd]]
        self._receive(cold, seconds)
        return all(self._pipes[fd] for fd in self._open)

    def go(self) -> None:
        """Let all begin, those that are warm already at once."""
        os.close(self._gate)

    def stop(self) -> None:
        """Let all end as soon as what is under way is answered."""
        for number in range(self._number):
            self._words[number * WORDS + STOP] = 1

    def kill(self) -> None:
        """End all at once; there will be no result."""
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            os.waitpid(pid, 0)

    def progress(self) -> tuple[int, int]:
        """Answers and failures so far."""
        answers, failures = (
            sum(self._words[number * WORDS + word] for number in range(self._number)) for word in (ANSWERS, FAILURES)
        )
        return answers, failures

    def wait(self, seconds: float) -> bool:
        """Wait for results for so long; whether all are there."""
        self._receive(list(self._open), seconds)
        return not self._open

    def _receive(self, fds: Sequence[int], seconds: float) -> None:
        ready, _, _ = select.select(fds, [], [], seconds)
        for fd in ready:
            piece = os.read(fd, 1 << 20)
            if piece:
                self._pipes[fd] += piece
            else:
                self._open.discard(fd)

    def result(self) -> Tally:
        """What all have counted, once wait() has said that they are through. Raises Lost."""
        statuses = [os.waitpid(pid, 0)[1] for pid in self._pids]
        for fd in self._pipes:
            os.close(fd)
        if any(statuses):
            raise Lost("a process of the load generator died")
        whole = Tally()
        for plain in self._pipes.values():
            whole.add(Tally.of(marshal.loads(plain[len(_WARM) :])))
        if not self.plan.rate and (usual_ns := whole.percentile_ns(0.5)):
            whole.corrected = with_omitted(whole.raw, usual_ns)
        return whole
