# A server whose stages are timed while it serves: python -m tests.bench.probe FILE … serve OPTIONS
#
#   FILE   words of 8 bytes: for each stage the nanoseconds spent in it, and how often it was entered
#
# Each word has one writer: a stage is the master's or a worker's, and there is one worker. Times are CPU times of the
# thread, so that neither sleep nor whoever else has the processor counts; but to read that clock is a system call, so
# what is done for each request is timed by the other. A stage holds those within it too.
"""`wsrv serve`, its stages timed."""

import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from types import SimpleNamespace
from typing import Any

# Each with the one that it lies within; "" where it is a loop's.
STAGES = {
    "dispatch": "",
    "accept by the master": "dispatch",
    "send": "dispatch",
    "round": "",
    "poll": "round",
    "take": "round",
    "accept": "take",
    "receive": "take",
    "turn": "round",
    "read": "turn",
    "record": "turn",
    "write": "turn",
    "close": "turn",
}
# What is entered for each request, and does not sleep.
FOR_EACH = ("read", "write")
FILE_BYTES = 16 * len(STAGES)
CALLS = 20_000


def words(file: Path) -> "memoryview[int]":
    """The words in `file`, shared with whoever else has it open."""
    with file.open("r+b") as opened:
        return memoryview(mmap.mmap(opened.fileno(), FILE_BYTES)).cast("q")


def timed(stage: str, call: Callable[..., Any], found: "memoryview[int]") -> Callable[..., Any]:
    """`call`, whose time is added to the stage's."""
    at = 2 * list(STAGES).index(stage)
    clock = perf_counter_ns if stage in FOR_EACH else thread_time_ns

    def watched(*arguments: Any) -> Any:
        began_ns = clock()
        try:
            return call(*arguments)
        finally:
            found[at + 1] += 1
            found[at] += clock() - began_ns

    return watched


def overhead_ns(stage: str) -> tuple[float, float]:
    """What timing adds to a stage itself, and to the one that it lies within."""
    found = memoryview(bytearray(FILE_BYTES)).cast("q")
    at = 2 * list(STAGES).index(stage)
    nothing = timed(stage, id, found)
    best = []
    for _ in range(5):
        began_ns, before_ns = thread_time_ns(), found[at]
        for _ in range(CALLS):
            nothing(found)
        middle_ns = thread_time_ns()
        for _ in range(CALLS):
            id(found)
        bare_ns = thread_time_ns() - middle_ns
        best.append(((middle_ns - began_ns - bare_ns) / CALLS, (found[at] - before_ns) / CALLS))
    outside, inside = min(best)
    return inside, outside


class _Poll:
    """An epoll whose waiting is timed."""

    def __init__(self, epoll: Any, found: "memoryview[int]") -> None:
        self.poll = timed("poll", epoll.poll, found)


def instrument(found: "memoryview[int]") -> None:
    """Have every stage of the server that is to be started timed."""
    from wsrv.engine.ipc.accept import Acceptor
    from wsrv.engine.master.dispatch import Dispatcher
    from wsrv.engine.shm.row import Ledger
    from wsrv.engine.worker import hot
    from wsrv.engine.worker.arrivals import Arrivals
    from wsrv.engine.worker.loop import Worker
    from wsrv.plugins.transports.socketpair import SocketpairChannel, SocketpairSource

    place: Any = hot
    place.os = SimpleNamespace(read=timed("read", os.read, found), write=timed("write", os.write, found))
    place.os.writev = os.writev
    place.close_all = timed("close", place.close_all, found)
    parts: tuple[tuple[Any, str, str], ...] = (
        (Dispatcher, "accept", "dispatch"),
        (SocketpairChannel, "send", "send"),
        (SocketpairSource, "take", "receive"),
        (Arrivals, "take", "take"),
        (Ledger, "commit", "record"),
        (hot.HotPath, "turn", "turn"),
    )
    for owner, name, stage in parts:
        setattr(owner, name, timed(stage, getattr(owner, name), found))
    accepted = Acceptor.take
    master = os.getpid()
    by_master = timed("accept by the master", accepted, found)
    by_worker = timed("accept", accepted, found)
    acceptor: Any = Acceptor
    acceptor.take = lambda *arguments: (by_master if os.getpid() == master else by_worker)(*arguments)
    once = Worker._round
    round_ = timed("round", once, found)
    polls: dict[int, _Poll] = {}
    worker: Any = Worker

    def turned(self: Any, epoll: Any) -> None:
        if not polls:
            polls[0] = _Poll(epoll, found)
        round_(self, polls[0])

    worker._round = turned


def main() -> None:
    """Serve, by the options that follow `serve`."""
    instrument(words(Path(sys.argv[1])))
    sys.argv[:] = ["wsrv", *sys.argv[sys.argv.index("serve") :]]
    from wsrv.cli.main import main as wsrv

    wsrv()


if __name__ == "__main__":
    main()
