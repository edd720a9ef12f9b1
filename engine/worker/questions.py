# The worker's end of the line on which the master asks: `engine/ipc/question.py` draws the packets.
#
# A question is answered by an iterator that works in small steps; it yields
#
#   None      after a step: there is more to do
#   PAUSE     nothing can be done before wake() is called
#   a page    which is sent; it goes on when the master asks for the next one
#
# and returns the last page.
#
# Rule 1: a round of the loop makes steps for a millisecond at most; clients go first.
# Rule 2: while there is something to do the line is waited for as writable, so that the loop comes round at once. An
#         ordinary round pays nothing for any of this.
"""Answering what the master asks."""

import contextlib
import select
import socket
import traceback
from collections import deque
from collections.abc import Callable, Generator, Mapping
from time import monotonic_ns
from typing import Final

from wsrv.engine.ipc.question import AWAY, MOST_PAGE_BYTES, MOST_QUESTION_BYTES, Message, pack, unpack

_ROUND_NS = 1_000_000
# A page that waits for the master holds an iterator; whoever forgets them does not get many.
_MOST_PARKED = 16


class Pause:
    """What an iterator yields that can do nothing before wake() is called."""


PAUSE: Final = Pause()
Steps = Generator[Message | Pause | None, None, Message]
# Begins to answer a question that came at `now_ns`. May raise ValueError: the question makes no sense.
Handler = Callable[[Message, int], Steps]


class _Job:
    __slots__ = ("deserted", "number", "steps")

    def __init__(self, number: int, steps: Steps) -> None:
        self.number = number
        self.steps = steps
        self.deserted = False


class Questions:
    """Answers questions on `line`, non-blocking, from within the worker's loop: `handlers` by what is asked."""

    def __init__(
        self,
        line: socket.socket,
        epoll: select.epoll,
        handlers: Mapping[str, Handler],
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._line = line
        self._epoll = epoll
        self._handlers = handlers
        self._clock = clock
        self._running: deque[_Job] = deque()
        self._paused: list[_Job] = []
        self._parked: dict[int, _Job] = {}
        self._unsent: deque[bytes] = deque()
        self._events = 0

    def fileno(self) -> int:
        """The line's, in the loop from listen() on."""
        return self._line.fileno()

    def listen(self) -> None:
        """Join the loop."""
        self._events = select.EPOLLIN
        self._epoll.register(self._line, self._events)

    def leave(self) -> None:
        """The master is gone: answer nobody. Once."""
        self._epoll.unregister(self._line)
        self._events = 0
        for job in (*self._running, *self._paused, *self._parked.values()):
            job.steps.close()
        self._running.clear()
        self._paused.clear()
        self._parked.clear()
        self._unsent.clear()

    def turn(self, now_ns: int) -> None:
        """Hear what is asked, and work on the answers for a bounded time."""
        self._hear(now_ns)
        self._send()
        until_ns = self._clock() + _ROUND_NS
        while self._running and not self._unsent:
            self._step(self._running.popleft())
            if self._clock() >= until_ns:
                break
        self._attend()

    def wake(self) -> None:
        """What somebody has paused for may have come."""
        if self._paused:
            self._running += self._paused
            self._paused.clear()
            self._attend()

    def _attend(self) -> None:
        events = select.EPOLLIN | (select.EPOLLOUT if self._running or self._unsent else 0)
        if self._events and events != self._events:
            self._events = events
            self._epoll.modify(self._line, events)

    def _hear(self, now_ns: int) -> None:
        # A line that is broken: the pidfd of the master says so too.
        with contextlib.suppress(OSError):
            while packet := self._line.recv(MOST_QUESTION_BYTES):
                question = unpack(packet)
                number = question["number"]
                if "go" in question:
                    self._go(number, question["go"])
                else:
                    self._begin(number, question, now_ns)

    def _begin(self, number: int, question: Message, now_ns: int) -> None:
        handler = self._handlers.get(str(question.get("ask")))
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            self._say(number, {"error": f"nobody knows {question.get('ask')!r}; there are: {known}"}, more=False)
            return
        try:
            self._running.append(_Job(number, handler(question, now_ns)))
        except ValueError as error:
            self._say(number, {"error": str(error)}, more=False)

    def _go(self, number: int, where: str) -> None:
        job = self._parked.pop(number, None)
        if where != AWAY:
            if job is not None:
                self._running.append(job)
        elif job is not None:
            job.steps.close()
        else:
            # What it is about to change, it changes to the end.
            for other in (*self._running, *self._paused):
                other.deserted = other.deserted or other.number == number

    def _step(self, job: _Job) -> None:
        try:
            found = next(job.steps)
        except StopIteration as end:
            self._say(job.number, end.value, more=False)
        except Exception as error:
            traceback.print_exc()
            self._say(job.number, {"error": f"{type(error).__name__}: {error}"}, more=False)
        else:
            if found is None:
                self._running.append(job)
            elif isinstance(found, Pause):
                self._paused.append(job)
            elif job.deserted:
                job.steps.close()
            else:
                self._park(job)
                self._say(job.number, found, more=True)

    def _park(self, job: _Job) -> None:
        if len(self._parked) == _MOST_PARKED:
            oldest = self._parked.pop(next(iter(self._parked)))
            oldest.steps.close()
            self._say(oldest.number, {"error": "too many questions at once"}, more=False)
        self._parked[job.number] = job

    def _say(self, number: int, page: Message, *, more: bool) -> None:
        try:
            packet = pack({**page, "number": number, "more": more}, MOST_PAGE_BYTES)
        except ValueError as error:
            if (job := self._parked.pop(number, None)) is not None:
                job.steps.close()
            packet = pack({"number": number, "more": False, "error": str(error)}, MOST_PAGE_BYTES)
        self._unsent.append(packet)
        self._send()

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                try:
                    self._line.send(self._unsent[0])
                except BlockingIOError:
                    raise
                except OSError:
                    # The master is gone.
                    self._unsent.clear()
                    return
                self._unsent.popleft()
