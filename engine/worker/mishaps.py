# The last answers of this worker that were errors, for who watches the server.
#
# Rule: noting one costs an append; nobody is told before he asks. What leaves the line is in the access log.
"""The last errors, and the question `errors`."""

import os
from collections import deque
from time import time

from wsrv.engine.http.escape import log_escape
from wsrv.engine.ipc.question import Message
from wsrv.engine.worker.questions import Steps

MOST = 32
# Of a request line; more of it is in the log.
_SHOWN_BYTES = 200


class Mishaps:
    """The last errors: when, which status, and the request line as it came."""

    def __init__(self) -> None:
        self._last: deque[tuple[int, float, int, bytes]] = deque(maxlen=MOST)
        self._number = 0

    def note(self, status: int, raw_line: bytes) -> None:
        """An error was answered."""
        self._number += 1
        self._last.append((self._number, time(), status, raw_line))

    def errors(self, question: Message, now_ns: int) -> Steps:
        """The last errors, oldest first."""
        pid = os.getpid()
        found = [
            {
                "pid": pid,
                "number": number,
                "at": round(at, 3),
                "status": status,
                "line": log_escape(raw_line, _SHOWN_BYTES).decode("ascii"),
            }
            for number, at, status, raw_line in self._last
        ]
        yield None
        return {"errors": found}
