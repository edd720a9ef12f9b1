# What the pool does for requests: one job for all who wait for the same, and the way back to them.
#
# Rule 1: who waits is answered, whatever came of the job.
# Rule 2: of the jobs that compute, one at a time is in the pool: the processors belong to the loops, and the threads
#         that read files must not queue behind compression.
"""Errands: jobs of the pool, and the requests that wait for them."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import NamedTuple

from wsrv.engine.static.entity import NotServed
from wsrv.engine.worker.connection import NOTHING, WAIT, Connection, Connections
from wsrv.engine.worker.pool import FilePool, Finished, Work
from wsrv.engine.worker.request import Request

# A connection, and the call that answers what it waited for.
Resumption = tuple[Connection, Callable[[], None]]

# Computations that wait for the one under way. A page loads some hundred files at most.
_QUEUED = 256


class Errand(NamedTuple):
    """What the pool does for requests, and what is made of it.

    One job serves all requests with an equal `ticket`: `settle` is called once, in the loop, with what came of `work`;
    `answer` for each request, with what `settle` returned. `computes`: it is the processor that `work` takes.
    """

    ticket: Hashable
    work: Work
    settle: Callable[[Finished], object]
    answer: Callable[[Connection, Request, object, int], None]
    computes: bool = False


class Errands:
    """The errands under way, by ticket."""

    def __init__(self, pool: FilePool, connections: Connections) -> None:
        self._pool = pool
        self._connections = connections
        self._waiting: dict[Hashable, tuple[Errand, list[tuple[Connection, Request]]]] = {}
        self._computing = False
        self._queued: deque[Errand] = deque()

    def send(self, conn: Connection, request: Request, errand: Errand, now_ns: int) -> bool:
        """Let the pool do something for `request`, which waits; False, and nothing done, where there is no place."""
        known = self._waiting.get(errand.ticket)
        if known is None:
            if not self._begin(errand, now_ns):
                return False
            known = self._waiting[errand.ticket] = (errand, [])
        known[1].append((conn, request))
        self._connections.want(conn, WAIT, NOTHING, now_ns)
        return True

    def finished(self, done: Finished, now_ns: int) -> Iterator[Resumption]:
        """Everybody who waits for what the pool has finished, and how they are answered."""
        over = [done]
        if self._waiting[done.ticket][0].computes:
            self._computing = False
            while self._queued and not self._computing:
                following = self._queued.popleft()
                self._computing = self._pool.submit(following.ticket, following.work, now_ns)
                if not self._computing:
                    over.append(Finished(following.ticket, now_ns, NotServed(503, "the pool is full")))
        for each in over:
            errand, waiting = self._waiting.pop(each.ticket)
            settled = errand.settle(each)
            for conn, request in waiting:
                yield conn, partial(errand.answer, conn, request, settled, now_ns)

    def _begin(self, errand: Errand, now_ns: int) -> bool:
        if not errand.computes:
            return self._pool.submit(errand.ticket, errand.work, now_ns)
        if self._computing:
            if len(self._queued) < _QUEUED:
                self._queued.append(errand)
                return True
            return False
        self._computing = self._pool.submit(errand.ticket, errand.work, now_ns)
        return self._computing
