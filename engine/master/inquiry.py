# Asking the workers: a question goes to all of them, and what they answer comes back page by page.
#
# Rule 1: the master waits for nobody. Each worker has a bound of time between two pages; whoever lets it go by is
#         named, and what it answers later is for nobody.
# Rule 2: the next page is asked for when the one before it was taken, so nothing piles up here.
# Rule 3: a number is never used twice: an answer that comes late is recognised.
"""Questions from the master to its workers."""

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterable
from time import monotonic_ns

from wsrv.engine.ipc.question import AWAY, MOST_PAGE_BYTES, MOST_QUESTION_BYTES, ON, Message, pack, unpack

# Less than whoever asks the master waits for it.
PATIENCE_NS = 2_000_000_000
_NEVER_NS = 1 << 63

# A worker's number, or KEEPER, and the line on which it is asked.
Respondent = tuple[int, socket.socket]


class Inquiry:
    """One question on its way. `hear` gets each page with the number of the worker and whether it is its last; `over`
    is called once, when nobody is left to wait for.

    Whoever takes a page that is not the last calls go_on(), then or later. `silent`: workers that did not answer in
    time; `gone`: those that died; `asked`: how many there were.
    """

    def __init__(
        self,
        number: int,
        respondents: Iterable[Respondent],
        hear: Callable[[int, Message, bool], None],
        over: Callable[["Inquiry"], None],
    ) -> None:
        self.number = number
        self.hear = hear
        self.over = over
        self.silent: list[int] = []
        self.gone: list[int] = []
        self.waiting: dict[int, socket.socket] = dict(respondents)
        self.asked = len(self.waiting)
        self.until_ns: dict[int, int] = {}

    def send(self, packet: bytes, now_ns: int) -> None:
        """Ask. Whoever does not even take the question is silent."""
        for worker, line in list(self.waiting.items()):
            try:
                line.send(packet)
                self.until_ns[worker] = now_ns + PATIENCE_NS
            except OSError:
                del self.waiting[worker]
                self.silent.append(worker)

    def go_on(self, worker: int) -> None:
        """Ask for the next page of `worker`."""
        if worker in self.waiting:
            self.until_ns[worker] = monotonic_ns() + PATIENCE_NS
            self.say(worker, ON)

    def say(self, worker: int, word: str) -> None:
        """Say where to go."""
        with contextlib.suppress(OSError):
            self.waiting[worker].send(pack({"number": self.number, "go": word}, MOST_QUESTION_BYTES))

    def take(self, worker: int, page: Message) -> None:
        """Hand on a page."""
        more = page.pop("more", False) is True
        page.pop("number", None)
        if more:
            # As long as whoever asked has not taken it, the worker is not to blame.
            self.until_ns[worker] = _NEVER_NS
        else:
            del self.waiting[worker]
        self.hear(worker, page, not more)

    def expire(self, now_ns: int) -> None:
        """Wait no longer for the dead and for who stands still."""
        for worker, line in list(self.waiting.items()):
            if line.fileno() < 0:
                self.gone.append(worker)
                del self.waiting[worker]
            elif self.until_ns[worker] <= now_ns:
                self.silent.append(worker)
                self.say(worker, AWAY)
                del self.waiting[worker]


class Inquiries:
    """The questions on their way. `respondents` gives those that a question is for."""

    def __init__(self, respondents: Callable[[Message], Iterable[Respondent]]) -> None:
        self._respondents = respondents
        self._numbers = itertools.count(1)
        self._open: dict[int, Inquiry] = {}

    def ask(
        self,
        question: Message,
        hear: Callable[[int, Message, bool], None],
        over: Callable[[Inquiry], None],
    ) -> Inquiry:
        """Ask whom the question is for. `over` may be called at once. Raises ValueError when it is too long."""
        number = next(self._numbers)
        packet = pack({**question, "number": number}, MOST_QUESTION_BYTES)
        inquiry = Inquiry(number, self._respondents(question), hear, over)
        self._open[number] = inquiry
        inquiry.send(packet, monotonic_ns())
        self._close(inquiry)
        return inquiry

    def drop(self, inquiry: Inquiry) -> None:
        """Nobody wants the answers any more; `over` is not called."""
        if self._open.pop(inquiry.number, None) is not None:
            for worker in inquiry.waiting:
                inquiry.say(worker, AWAY)

    def handle(self, line: socket.socket) -> None:
        """Hear what the worker on `line` says."""
        with contextlib.suppress(OSError):
            while packet := line.recv(MOST_PAGE_BYTES):
                page = unpack(packet)
                inquiry = self._open.get(page["number"])
                if inquiry is None:
                    continue
                worker = next((number for number, theirs in inquiry.waiting.items() if theirs is line), None)
                if worker is not None:
                    inquiry.take(worker, page)
                    self._close(inquiry)

    def tick(self, now_ns: int) -> None:
        """Give up on who takes too long. `now_ns` is of CLOCK_MONOTONIC."""
        for inquiry in list(self._open.values()):
            inquiry.expire(now_ns)
            self._close(inquiry)

    def _close(self, inquiry: Inquiry) -> None:
        if not inquiry.waiting and self._open.pop(inquiry.number, None) is not None:
            inquiry.over(inquiry)
