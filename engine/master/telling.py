# What workers ask the master on their lines: a word, answered by one packet. `engine/worker/asking.py` has them.
#
# Rule: each question is answered at once, and each has an answer: a worker asks nothing more before it has it.
"""Answering workers."""

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from time import monotonic_ns, time
from typing import Any

from wsrv.engine.master.history import History
from wsrv.engine.master.inquiry import Inquiries
from wsrv.engine.master.lookout import Lookout
from wsrv.engine.worker.asking import HISTORY, LIVE, METRICS, MOST_BYTES, OPENMETRICS, READY, STATS, UNANSWERED
from wsrv.engine.worker.station import LEAVING

_QUESTION_BYTES = 64
_SAMPLE_NS = 1_000_000_000
# Who watches hears of each sample more than once, so that none is missed.
_LAST_SAMPLES = 5
# Of the document, what is only of use where it is added up.
_BUCKETS = ("latency_buckets", "queue_wait_buckets")

Document = Mapping[str, Any]


class Telling:
    """Answers the questions of workers. `stats` gives the statistics document, `obstacle` why the server is not ready
    for requests; `leaving` is called with the line of a worker that takes nothing more."""

    def __init__(
        self,
        stats: Callable[[], Document],
        obstacle: Callable[[], str | None],
        inquiries: Inquiries,
        leaving: Callable[[socket.socket], None],
    ) -> None:
        self._leaving = leaving
        self._stats = stats
        self._obstacle = obstacle
        self._history = History()
        self._sample_due_ns = 0
        self._lookout = Lookout(inquiries)
        self._answers: dict[bytes, Callable[[], bytes]] = {
            STATS: lambda: json.dumps(stats()).encode(),
            LIVE: self._live,
            HISTORY: lambda: _packed(self._history.document()),
            METRICS: lambda: self._metrics(openmetrics=False),
            OPENMETRICS: lambda: self._metrics(openmetrics=True),
            READY: self._ready,
        }

    def handle(self, line: socket.socket) -> None:
        """Hear what the worker on `line` asks."""
        with contextlib.suppress(OSError):
            while question := line.recv(_QUESTION_BYTES):
                if question == LEAVING:
                    self._leaving(line)
                else:
                    send(line, self._answers[question]())

    def tick(self, now_ns: int) -> None:
        """Take a sample once a second, in step with the clock."""
        if now_ns >= self._sample_due_ns:
            self._sample_due_ns = max(self._sample_due_ns + _SAMPLE_NS, now_ns + _SAMPLE_NS // 2)
            self._history.note(self._stats(), time())

    def _live(self) -> bytes:
        """All that who watches has to see again each second."""
        self._lookout.look(monotonic_ns())
        stats = {key: value for key, value in self._stats().items() if key not in _BUCKETS}
        seen = {"entries": self._lookout.entries(), "errors": self._lookout.errors()}
        return _packed({"at": round(time(), 3), **self._history.document(_LAST_SAMPLES), **seen, "stats": stats})

    def _metrics(self, *, openmetrics: bool) -> bytes:
        # Some 20 ms of imports, once, where anybody asks.
        from wsrv.engine.master.metrics import exposition

        return exposition(self._stats(), openmetrics=openmetrics)

    def _ready(self) -> bytes:
        why = self._obstacle()
        return b"ready\n" if why is None else f"not ready: {why}\n".encode()


def _packed(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def send(line: socket.socket, text: bytes) -> None:
    """Send an answer to a worker, or that there is none."""
    try:
        line.send(text if len(text) <= MOST_BYTES else UNANSWERED)
    except OSError:
        line.send(UNANSWERED)
