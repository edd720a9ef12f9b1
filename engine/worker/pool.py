# The file pool: what would make the loop wait, for a disk or a long computation, is done by threads.
#
# The bounded queue of the report, with its semaphores: `empty` counts free places, `filled` counts jobs, `mutex`
# guards the queue between producer and consumers. Results come back through a deque and an eventfd in the loop's
# epoll.
#
# Rule 1: the producer is the loop: it never waits for a place. A full queue is the caller's 503.
# Rule 2: threads start with the first job. Python threads disturb a loop through the GIL even when they only wake up,
#         and a server whose files are in memory never needs one.
# Rule 3: jobs are few and made of long calls that give the GIL up.
"""A bounded pool of threads for what would hold up the loop."""

import contextlib
import os
import signal
import threading
import traceback
from array import array
from collections import deque
from collections.abc import Callable, Hashable
from typing import NamedTuple

from wsrv.engine.shm.row import GUARD_INDEX
from wsrv.engine.static.entity import NotServed
from wsrv.engine.sync.counting import CountedLock, CountedSemaphore, Tally
from wsrv.engine.sync.need import Need
from wsrv.engine.sync.primitive import LOCK, SEMAPHORE, Lock, Semaphore

NEEDS = (Need("the file pool's queue", SEMAPHORE), Need("the file pool's queue", LOCK))


# What a thread is to do: a few long calls. What it returns is the outcome, as is a NotServed that it raises.
Work = Callable[[], object]


class Job(NamedTuple):
    """Work under the ticket by which its outcome is claimed. `began_ns`: whatever is found is at least that fresh."""

    ticket: Hashable
    work: Work
    began_ns: int


class Finished(NamedTuple):
    """What became of a job: what its work returned, or the NotServed that it raised."""

    ticket: Hashable
    began_ns: int
    outcome: object


class NoMemory(NotServed):
    """There was no memory for what a job makes; in a moment there may be."""

    def __init__(self) -> None:
        super().__init__(503, "no memory")


class PoolLocks(NamedTuple):
    """The three guards of the queue, made of the chosen primitive."""

    empty: Semaphore
    filled: Semaphore
    mutex: Lock

    def counted(self, counts: "array[int]") -> "PoolLocks":
        """The same three, counting in a worker's `counts`. By the worker that uses them."""
        return PoolLocks(
            CountedSemaphore(self.empty, Tally(counts, GUARD_INDEX[self.empty.name])),
            CountedSemaphore(self.filled, Tally(counts, GUARD_INDEX[self.filled.name])),
            CountedLock(self.mutex, Tally(counts, GUARD_INDEX[self.mutex.name])),
        )


class FilePool:
    """`threads` threads behind a bounded queue. `fileno()` polls readable when something is finished."""

    def __init__(self, threads: int, locks: PoolLocks) -> None:
        self._threads = threads
        self._locks = locks
        self._started = False
        self._jobs: deque[Job] = deque()
        self._finished: deque[Finished] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The eventfd by which threads call the loop."""
        return self._bell

    def submit(self, ticket: Hashable, work: Work, now_ns: int) -> bool:
        """Queue a job; False when the queue is full, or no thread can be had."""
        if not self._locks.empty.try_acquire():
            return False
        if not (self._started or self._start()):
            self._locks.empty.release()
            return False
        self._locks.mutex.acquire()
        self._jobs.append(Job(ticket, work, now_ns))
        self._locks.mutex.release()
        self._locks.filled.release()
        return True

    def take(self) -> list[Finished]:
        """What has been finished since the last call."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return []
        return [self._finished.popleft() for _ in range(len(self._finished))]

    def _start(self) -> bool:
        """Start the threads, or as many as there may be; whether there is one."""
        # Signals are the loop's: a thread that took one would leave the loop asleep.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        # RuntimeError: the system gives no more threads (RLIMIT_NPROC, pids.max).
        with contextlib.suppress(RuntimeError):
            for number in range(self._threads):
                threading.Thread(target=self._work, name=f"wsrv-pool-{number}", daemon=True).start()
                self._started = True
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._started

    def _work(self) -> None:
        locks = self._locks
        while True:
            locks.filled.acquire()
            locks.mutex.acquire()
            job = self._jobs.popleft()
            locks.mutex.release()
            locks.empty.release()
            self._finished.append(Finished(job.ticket, job.began_ns, _outcome(job.work)))
            os.eventfd_write(self._bell, 1)


def _outcome(work: Work) -> object:
    try:
        return work()
    except NotServed as e:
        return e
    except MemoryError:
        return NoMemory()
    except Exception:
        # A bug must cost one answer, not a thread and everybody who waits for it.
        traceback.print_exc()
        return NotServed(500, "a bug of ours")
