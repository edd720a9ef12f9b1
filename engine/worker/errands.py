# What the pool does for requests: one job for all who wait for the same, and the way back to them.
#
# Rule 1: who waits is answered, whatever came of the job.
# Rule 2: jobs that compute have lanes, and of each lane one job at a time is in the pool: the processors belong to the
#         loops, the threads that read files must not queue behind compression, nor compression behind passwords.
"""Errands: jobs of the pool, and the requests that wait for them."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import NamedTuple

from wsrv.engine.shm.row import TROUBLE_INDEX, Ledger
from wsrv.engine.static.entity import NotServed
from wsrv.engine.worker.connection import NOTHING, WAIT, Connection, Connections
from wsrv.engine.worker.pool import FilePool, Finished, NoMemory, Work
from wsrv.engine.worker.request import Request

_FULL, _NO_MEMORY = TROUBLE_INDEX["pool_full"], TROUBLE_INDEX["no_memory"]

# A connection, and the call that answers what it waited for.
Resumption = tuple[Connection, Callable[[], None]]


class Lane(NamedTuple):
    """Jobs that compute, one at a time. `most`: how many may wait for the one under way."""

    name: str
    most: int


# A page loads some hundred files at most.
CODINGS = Lane("codings", 256)
# A trial takes a quarter of a second, and who waits for eight seconds has given up.
PASSWORDS = Lane("passwords", 32)
LISTINGS = Lane("listings", 64)


class Errand(NamedTuple):
    """What the pool does for requests, and what is made of it.

    One job serves all requests with an equal `ticket`: `settle` is called once, in the loop, with what came of `work`;
    `answer` for each request, with what `settle` returned. `lane`: for work that takes the processor.
    """

    ticket: Hashable
    work: Work
    settle: Callable[[Finished], object]
    answer: Callable[[Connection, Request, object, int], None]
    lane: Lane | None = None


class Errands:
    """The errands under way, by ticket."""

    def __init__(self, pool: FilePool, connections: Connections, ledger: Ledger) -> None:
        self._counts = ledger.counts
        self._pool = pool
        self._connections = connections
        self._waiting: dict[Hashable, tuple[Errand, list[tuple[Connection, Request]]]] = {}
        # By lane under way, what waits for it.
        self._lanes: dict[Lane, deque[Errand]] = {}

    def send(self, conn: Connection, request: Request, errand: Errand, now_ns: int) -> bool:
        """Let the pool do something for `request`, which waits; False, and nothing done, where there is no place."""
        known = self._waiting.get(errand.ticket)
        if known is None:
            if not self._begin(errand, now_ns):
                self._counts[_FULL] += 1
                return False
            known = self._waiting[errand.ticket] = (errand, [])
        known[1].append((conn, request))
        self._connections.want(conn, WAIT, NOTHING, now_ns)
        return True

    def order(self, errand: Errand, now_ns: int) -> bool:
        """Let the pool do something that no request waits for; False, and nothing done, where there is no place."""
        if errand.ticket in self._waiting or not self._begin(errand, now_ns):
            return False
        self._waiting[errand.ticket] = (errand, [])
        return True

    def finished(self, done: Finished, now_ns: int) -> Iterator[Resumption]:
        """Everybody who waits for what the pool has finished, and how they are answered."""
        over = [done]
        lane = self._waiting[done.ticket][0].lane
        if lane is not None:
            over += self._advance(lane, now_ns)
        for each in over:
            errand, waiting = self._waiting.pop(each.ticket)
            self._counts[_NO_MEMORY] += isinstance(each.outcome, NoMemory)
            settled = errand.settle(each)
            for conn, request in waiting:
                yield conn, partial(errand.answer, conn, request, settled, now_ns)

    def _begin(self, errand: Errand, now_ns: int) -> bool:
        lane = errand.lane
        if lane is None:
            return self._pool.submit(errand.ticket, errand.work, now_ns)
        queued = self._lanes.get(lane)
        if queued is None:
            if not self._pool.submit(errand.ticket, errand.work, now_ns):
                return False
            self._lanes[lane] = deque()
        elif len(queued) < lane.most:
            queued.append(errand)
        else:
            return False
        return True

    def _advance(self, lane: Lane, now_ns: int) -> list[Finished]:
        """Begin the next job of `lane`; those that the pool has no place for, which are over by that."""
        over: list[Finished] = []
        queued = self._lanes[lane]
        while queued:
            following = queued.popleft()
            if self._pool.submit(following.ticket, following.work, now_ns):
                return over
            self._counts[_FULL] += 1
            over.append(Finished(following.ticket, now_ns, NotServed(503, "the pool is full")))
        del self._lanes[lane]
        return over
