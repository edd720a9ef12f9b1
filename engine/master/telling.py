# What workers ask the master on their lines: a word, answered by one packet. `engine/worker/asking.py` has them.
#
# Rule: each question is answered at once, and each has an answer: a worker asks nothing more before it has it.
"""Answering workers."""

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

from wsrv.engine.worker.asking import METRICS, MOST_BYTES, OPENMETRICS, READY, STATS, UNANSWERED
from wsrv.engine.worker.loop import LEAVING

_QUESTION_BYTES = 64

Document = Mapping[str, Any]


class Telling:
    """Answers the questions of workers. `stats` gives the statistics document, `obstacle` why the server is not ready
    for requests; `leaving` is called with the line of a worker that takes nothing more."""

    def __init__(
        self,
        stats: Callable[[], Document],
        obstacle: Callable[[], str | None],
        leaving: Callable[[socket.socket], None],
    ) -> None:
        self._leaving = leaving
        self._stats = stats
        self._obstacle = obstacle
        self._answers: dict[bytes, Callable[[], bytes]] = {
            STATS: lambda: json.dumps(stats()).encode(),
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

    def _metrics(self, *, openmetrics: bool) -> bytes:
        # Some 20 ms of imports, once, where anybody asks.
        from wsrv.engine.master.metrics import exposition

        return exposition(self._stats(), openmetrics=openmetrics)

    def _ready(self) -> bytes:
        why = self._obstacle()
        return b"ready\n" if why is None else f"not ready: {why}\n".encode()


def send(line: socket.socket, text: bytes) -> None:
    """Send an answer to a worker, or that there is none."""
    try:
        line.send(text if len(text) <= MOST_BYTES else UNANSWERED)
    except OSError:
        line.send(UNANSWERED)
