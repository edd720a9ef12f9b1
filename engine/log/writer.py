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
# Rule 4: it sleeps when there is nothing to do, having said so in its `asleep` word.
"""The process that drains log rings."""

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Sequence

from wsrv.engine.log.destination import Destination, FileDestination, StreamDestination
from wsrv.engine.settings import LogSettings
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import TAIL_WORD, Row

# Text is gathered this long, so that a busy server makes few writes; a person who follows the log does not notice.
_GATHER_SECONDS = 0.05
# Lost wake-ups cannot last longer than this: the writer's word and the worker's look at it may cross.
_NAP_SECONDS = 1.0
# After the last worker is gone, a reader that takes nothing is waited for this long.
_FAREWELL_SECONDS = 2.0
_CHUNK_BYTES = 256 * 1024


def open_destination(settings: LogSettings) -> Destination:
    """What `settings` names. Raises OSError."""
    if settings.path == "-":
        return StreamDestination(1)
    return FileDestination(settings.path, settings.max_bytes, settings.keep)


class LogWriter:
    """Drains the rings of all rows to `destination` until the lifeline ends."""

    def __init__(self, mapping: Mapping, destination: Destination, lifeline: int) -> None:
        self._rows: Sequence[Row] = mapping.rows
        self._asleep = mapping.asleep
        self._intent = mapping.intent
        self._bell = mapping.bell
        self._lifeline = lifeline
        self._destination = destination
        self._complained = 0

    def run(self) -> None:
        """Carry until everybody is gone and everything is written, or the reader takes no more."""
        self._finish_predecessors_write()
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        poll.register(self._lifeline, select.POLLIN)
        while not self._everybody_is_gone(poll):
            if self._drain() == 0:
                self._asleep[0] = 1
                if self._drain() == 0:
                    poll.poll(int(_NAP_SECONDS * 1000))
                self._asleep[0] = 0
        farewell = time.monotonic() + _FAREWELL_SECONDS
        while self._waiting() and time.monotonic() < farewell:
            if self._drain() == 0:
                select.select([], [], [], _GATHER_SECONDS)
        self._destination.close()

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

    def _drain(self) -> int:
        """Carry what there is; bytes carried."""
        carried = 0
        for number, row in enumerate(self._rows):
            head = row.covered()
            tail: int = row.words[TAIL_WORD]
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
                carried += gone
        return carried

    def _put(self, number: int, tail: int, text: bytes) -> int:
        """Write from the front of `text`, its intent noted first; bytes gone. A destination that refuses is 0."""
        try:
            size = self._destination.prepare(len(text))
            if size is not None:
                self._intent[1] = len(text)
                self._intent[2] = size
                self._intent[3] = tail
                self._intent[0] = number + 1
            return self._destination.put(text)
        except OSError as e:
            self._intent[0] = 0
            if e.errno != self._complained:
                self._complained = e.errno or 0
                print(f"wsrv: access log: {os.strerror(e.errno or errno.EIO)}; lines will be lost", file=sys.stderr)
            return 0

    def _finish_predecessors_write(self) -> None:
        """Count as carried what a killed predecessor had written and not yet counted."""
        number = self._intent[0]
        size = self._destination.size()
        if number and size is not None:
            done = size - self._intent[2]
            if 0 < done <= self._intent[1]:
                self._rows[number - 1].words[TAIL_WORD] = self._intent[3] + done
        self._intent[0] = 0


def serve_log(mapping: Mapping, settings: LogSettings, lifeline: int) -> None:
    """Be the log writer: the body of its process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    LogWriter(mapping, open_destination(settings), lifeline).run()
