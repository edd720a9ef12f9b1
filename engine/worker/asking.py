# The worker's end of the line on which it asks the master. A question is a word, its answer whatever the master has to
# say on it, in one packet.
#
# Rule 1: one question is out at a time, so the line is never too full for the answer. Whoever comes while it is out
#         waits; all who wait for the same share the next answer, which is true when they asked and after.
# Rule 2: nobody waits longer than PATIENCE_NS for a master that stands still; its answer is for nobody then.
"""Questions from a worker to its master."""

import socket
from collections.abc import Iterator
from typing import Generic, TypeVar

# The longest answer. A document that the line does not take, as that of some hundreds of workers, is UNANSWERED: a
# question without an answer would be the last one.
MOST_BYTES = 128 * 1024
UNANSWERED = b"-"
# The words.
STATS, LIVE, HISTORY, READY = b"stats", b"live", b"history", b"ready"
METRICS, OPENMETRICS = b"metrics", b"openmetrics"

PATIENCE_NS = 3_000_000_000

Asker = TypeVar("Asker")


class Asking(Generic[Asker]):
    """Asks on `line`, a pair of SOCK_SEQPACKET, non-blocking, for whoever wants to know."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        # The question that is out, for whom, and since when they wait; and what is to be asked next.
        self._out: bytes | None = None
        self._asked_for: list[tuple[int, Asker]] = []
        self._behind: dict[bytes, list[tuple[int, Asker]]] = {}

    def ask(self, question: bytes, asker: Asker, now_ns: int) -> bool:
        """Ask now or next; whether there is anybody to ask."""
        if self._out is not None:
            self._behind.setdefault(question, []).append((now_ns, asker))
            return True
        return self._send(question, [(now_ns, asker)])

    def _send(self, question: bytes, askers: list[tuple[int, Asker]]) -> bool:
        try:
            self._line.send(question)
        except OSError:
            return False
        self._out, self._asked_for = question, askers
        return True

    def heard(self) -> Iterator[tuple[bytes, list[Asker]]]:
        """What the master has said, and to whom it is to be passed on; UNANSWERED where it says nothing."""
        while True:
            try:
                text = self._line.recv(MOST_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:  # the master is gone, and had a question unread
                text = b""
            answered, self._out, self._asked_for = self._asked_for, None, []
            # Before anybody is answered, and asks again.
            lost: list[tuple[int, Asker]] = []
            while self._behind:
                question = next(iter(self._behind))
                askers = self._behind.pop(question)
                if text and self._send(question, askers):
                    break
                lost += askers
            yield text or UNANSWERED, [asker for _, asker in answered]
            yield UNANSWERED, [asker for _, asker in lost]
            if not text:
                return

    def overdue(self, now_ns: int) -> list[Asker]:
        """Those who have waited for too long, and do so no more."""
        late: list[Asker] = []

        def left(askers: list[tuple[int, Asker]]) -> list[tuple[int, Asker]]:
            late.extend(asker for since_ns, asker in askers if now_ns - since_ns >= PATIENCE_NS)
            return [(since_ns, asker) for since_ns, asker in askers if now_ns - since_ns < PATIENCE_NS]

        self._asked_for = left(self._asked_for)
        behind = {question: left(askers) for question, askers in self._behind.items()}
        self._behind = {question: askers for question, askers in behind.items() if askers}
        return late
