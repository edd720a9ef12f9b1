# Requests for long files that come again, byte for byte.
#
# What is held is found by the hot path; a long file is not held, and all that leads to it would be found out for each
# request anew: what the line means, the site, its rules, the path.
#
# Rule 1: remembered is what any client with these bytes would be led to: a request that the hot path might answer, too,
#         were there something to hold. No password, no condition, no range.
# Rule 2: only the way is remembered. Whether the file is what it was is asked each time (openfiles.py).
"""Requests that were answered with a long file, by their bytes."""

from wsrv.engine.worker.connection import IDLE, Connection
from wsrv.engine.worker.prepared import Remembered
from wsrv.engine.worker.request import Request

# Some 100 KB.
MOST = 64


class Repeats:
    """The requests of one worker, each at the field block that it had."""

    def __init__(self) -> None:
        self._at: list[Remembered] = []

    def find(self, conn: Connection, block: Remembered | None, line: bytes) -> Request | None:
        """The same request as `line` with `block`, if it was noted."""
        return block.sent.get(line) if block is not None and block.sent and conn.REST == IDLE else None

    def note(self, conn: Connection, block: Remembered, request: Request) -> None:
        """`request`, which had this block, is being answered with a long file."""
        if request.front is None or conn.REST != IDLE:
            return
        if len(self._at) >= MOST:
            for other in self._at:
                other.sent.clear()
            self._at.clear()
        self._at.append(block)
        block.sent[request.raw_line] = request
