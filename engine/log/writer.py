# The log writer: one process that carries log text from all rings to one destination.
#
# Rule 1: only it writes the log and the tail words. A worker that dies has committed whole lines or none.
# Rule 2: before a write it notes in the mapping what it is about to do; a successor finishes exactly that:
#
#   intent word 0   row + 1, or 0 when no write is under way
#               1   length of the text
#               2   size of the file before the write
#               3   the row's tail before the write
#
# Rule 3: it ends when the last worker is gone and the rings are empty. Workers and master hold the far end of the
#         lifeline, a pipe nobody writes to: its end of file says that nobody is left.
# Rule 4: it sleeps when there is nothing to do, having said so in its `asleep` word. A destination that takes nothing
#         is waited for without listening to the bell: workers ring it at every request then.
# Rule 5: a line that was begun is ended before another row has its turn, and before SIGUSR1 has the file opened anew.
"""The process that drains log rings."""

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Sequence

from wsrv.engine.log.destination import Complain, Destination
from wsrv.engine.log.seldom import Seldom
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import TAIL_WORD, Row

# Text is gathered this long, so that a busy server makes few writes; a person who follows the log does not notice.
_GATHER_SECONDS = 0.05
# Lost wake-ups cannot last longer than this: the writer's word and the worker's look at it may cross.
_NAP_SECONDS = 1.0
# After the last worker is gone, a reader that takes nothing is waited for this long; one that takes some, longer.
_FAREWELL_SECONDS = 2.0
_CHUNK_BYTES = 256 * 1024


class LogWriter:
    """Drains the rings of all rows to `destination` until the lifeline ends."""

    def __init__(self, mapping: Mapping, destination: Destination, lifeline: int, complain: Complain) -> None:
        self._rows: Sequence[Row] = mapping.rows
        self._asleep = mapping.asleep
        self._intent = mapping.intent
        self._bell = mapping.bell
        self._lifeline = lifeline
        self._destination = destination
        self._complain = complain
        self._seldom = Seldom(complain)
        # What the destination answered last, while it takes nothing; whether somebody was told.
        self._trouble = 0
        self._told = False
        self._unfinished: int | None = None
        self._moved_away = False

    def run(self) -> None:
        """Carry until everybody is gone and everything is written, or the reader takes no more."""
        self._finish_predecessors_write()
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        poll.register(self._lifeline, select.POLLIN)
        while not self._everybody_is_gone(poll):
            if self._moved_away and self._unfinished is None:
                self._reopen()
            if self._drain():
                continue
            if self._waiting():
                self._await_room()
                continue
            self._asleep[0] = 1
            if not self._waiting():
                poll.poll(int(_NAP_SECONDS * 1000))
            self._asleep[0] = 0
        farewell = time.monotonic() + _FAREWELL_SECONDS
        while self._waiting() and time.monotonic() < farewell:
            if self._drain():
                farewell = time.monotonic() + _FAREWELL_SECONDS
            elif not self._await_room():
                break
        self._destination.close()

    def reopen(self) -> None:
        """The file was moved away: open it anew, soon. May be called in a signal handler."""
        self._moved_away = True
        os.eventfd_write(self._bell, 1)

    def _reopen(self) -> None:
        self._moved_away = False
        try:
            self._destination.reopen()
        except OSError as e:
            self._complain(f"access log: cannot be opened anew ({e.strerror}); lines go where they went before")

    def _everybody_is_gone(self, poll: select.poll) -> bool:
        """Gather for a moment, or less when the bell rings; whether the lifeline has ended."""
        deadline = time.monotonic() + _GATHER_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(max(1, int(left * 1000))):
                if fd == self._lifeline:
                    return True
                os.eventfd_read(self._bell)
                if any(row.covered() - row.words[TAIL_WORD] > _CHUNK_BYTES for row in self._rows):
                    return False
        return False

    def _waiting(self) -> bool:
        return any(row.covered() != row.words[TAIL_WORD] for row in self._rows)

    def _await_room(self) -> bool:
        """Wait a moment for a destination that took nothing; False when nobody reads it any more."""
        if self._trouble:
            time.sleep(_GATHER_SECONDS)
            return self._trouble != errno.EPIPE
        return self._destination.await_room(_GATHER_SECONDS)

    def _drain(self) -> int:
        """Carry what there is; bytes carried."""
        carried = 0
        numbers = range(len(self._rows)) if self._unfinished is None else (self._unfinished, *range(len(self._rows)))
        for number in numbers:
            carried += self._drain_row(number)
            if self._unfinished is not None:
                break
        return carried

    def _drain_row(self, number: int) -> int:
        row = self._rows[number]
        head = row.covered()
        start: int = row.words[TAIL_WORD]
        tail = start
        while tail < head:
            text = row.text(tail, min(head, tail + _CHUNK_BYTES))
            if tail + len(text) < head:
                text = text[: text.rfind(b"\n") + 1]
            gone = self._put(number, tail, text)
            if gone == 0:
                break
            tail += gone
            row.words[TAIL_WORD] = tail
            self._intent[0] = 0
            self._unfinished = None if text[gone - 1 : gone] == b"\n" else number
        return tail - start

    def _put(self, number: int, tail: int, text: bytes) -> int:
        """Write from the front of `text`, its intent noted first; bytes gone. A destination that refuses is 0."""
        try:
            size, length = self._destination.prepare(text, self._unfinished is not None)
            if length == 0:
                return 0
            if size is not None:
                self._intent[1] = length
                self._intent[2] = size
                self._intent[3] = tail
                self._intent[0] = number + 1
            gone = self._destination.put(text[:length])
        except OSError as e:
            self._intent[0] = 0
            trouble = e.errno or errno.EIO
            if trouble != self._trouble:
                self._trouble = trouble
                self._told |= self._seldom.tell(f"access log: {os.strerror(trouble)}; lines will be lost")
            return 0
        if gone and self._trouble:
            self._trouble = 0
            self._recovered()
        return gone

    def _recovered(self) -> None:
        """The destination takes lines again: say so, where it was said that it does not."""
        if self._told:
            self._complain("access log: lines are written again; log_dropped in `wsrv stats` counts what was lost")
        self._told = False

    def _finish_predecessors_write(self) -> None:
        """Count as carried what a killed predecessor had written and not yet counted, and go on with its last line."""
        number = self._intent[0]
        if number:
            with contextlib.suppress(OSError):  # then nobody can tell
                size = self._destination.size()
                done = 0 if size is None else size - self._intent[2]
                if 0 < done <= self._intent[1]:
                    self._rows[number - 1].words[TAIL_WORD] = self._intent[3] + done
        self._intent[0] = 0
        tails = [row.words[TAIL_WORD] for row in self._rows]
        begun = [n for n, tail in enumerate(tails) if tail and self._rows[n].text(tail - 1, tail) != b"\n"]
        self._unfinished = begun[0] if begun else None


def serve_log(mapping: Mapping, destination: Destination, lifeline: int, complain: Complain) -> None:
    """Be the log writer: the body of its process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    writer = LogWriter(mapping, destination, lifeline, complain)
    signal.signal(signal.SIGUSR1, lambda *_: writer.reopen())
    writer.run()
