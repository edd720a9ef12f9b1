# The control commands `log` and `log lines`: where the access log goes, and its lines as they are made.
#
#   {"command": "log"}                    ─> {"path": "/var/log/access.log" or null, "format": "combined"}
#   {"command": "log lines", "follow": …} ─> {"text": "…", "past": true, "more": true} …     what the rings still hold
#                                         ─> {"text": "…", "lost": 0, "more": true} …        what is new, or each second
#                                         ─> {}                                              the end
#
# Rule 1: the rings are read beside the log writer, which notices nothing. What is read may be overwritten meanwhile: it
#         counts only if its row has not come so far that it could have been.
# Rule 2: the next part is made when the one before was taken. Who is too slow loses text, and is told how much.
# Rule 3: only whole lines are said; a row's text is committed by lines.
"""The access log, read off the rings."""

import os
import stat
from collections.abc import Iterator, Sequence
from time import monotonic_ns
from typing import Any

from wsrv.engine.master.control import Reply
from wsrv.engine.master.message import Message
from wsrv.engine.settings import LogSettings
from wsrv.engine.shm.row import RING_BYTES, Row

# How often rings are looked at while somebody listens.
LOOK_SECONDS = 0.05
_LOOK_NS = int(LOOK_SECONDS * 1e9)
_WORD_NS = 1_000_000_000
# Of a part; escaped for JSON it stays far below what a message may have.
_PART_BYTES = 128 * 1024
# How much of the past is told, of each row.
_PAST_BYTES = 256 * 1024
# A worker writes ahead of what it has committed: a batch of lines, at most 64 of 8 KiB and something.
_SAFE_BYTES = RING_BYTES - 1024 * 1024


class _Listener:
    """Somebody who listens. `past` are the parts that he gets before what is new."""

    def __init__(self, reply: Reply, positions: list[int], past: Iterator[Message], follows: bool) -> None:
        self.reply = reply
        self.positions = positions
        self.past = past
        self.follows = follows
        self.lost = 0
        self.is_taking = False
        self.said_ns = 0


class LiveLog:
    """Tells the lines of `rows` to whoever asks."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._listeners: list[_Listener] = []
        self._next_look_ns = 0

    def __bool__(self) -> bool:
        """Whether somebody listens."""
        return bool(self._listeners)

    def ask(self, request: Message, reply: Reply) -> None:
        """Answer `log lines`."""
        positions = [row.covered() for row in self._rows]
        listener = _Listener(reply, positions, self._past(positions), request.get("follow") is True)
        self._listeners.append(listener)
        reply.when_gone = lambda: self._forget(listener)
        self._go_on(listener)

    def turn(self, now_ns: int) -> None:
        """Tell what is new."""
        if now_ns < self._next_look_ns:
            return
        self._next_look_ns = now_ns + _LOOK_NS
        for listener in list(self._listeners):
            if not listener.is_taking:
                self._go_on(listener)

    def end(self) -> None:
        """Tell what is left, to who takes it at once, and that it is the end."""
        for listener in list(self._listeners):
            while not listener.is_taking and (text := self._new(listener)):
                self._say(listener, {"text": text, "lost": listener.lost})
            if not listener.is_taking:
                self._forget(listener)
                listener.reply.end({})

    def _forget(self, listener: _Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _go_on(self, listener: _Listener) -> None:
        """Say the next parts, if there are any."""
        while not listener.is_taking and (past := next(listener.past, None)) is not None:
            self._say(listener, past)
        if listener.is_taking:
            return
        if not listener.follows:
            self._forget(listener)
            listener.reply.end({})
        elif (text := self._new(listener)) or monotonic_ns() - listener.said_ns >= _WORD_NS:
            self._say(listener, {"text": text, "lost": listener.lost})

    def _say(self, listener: _Listener, part: dict[str, Any]) -> None:
        def taken() -> None:
            listener.is_taking = False

        listener.is_taking = True
        listener.said_ns = monotonic_ns()
        if part.get("lost"):
            listener.lost = 0
        listener.reply.part(part, taken)

    def _past(self, positions: Sequence[int]) -> Iterator[Message]:
        for row, end in zip(self._rows, list(positions), strict=True):
            begin = max(0, end - _PAST_BYTES)
            text = self._read(row, begin, end)
            if begin:
                text = text[text.find(b"\n") + 1 :]
            while text:
                whole = text.rfind(b"\n", 0, _PART_BYTES) + 1 or len(text)
                yield {"text": text[:whole].decode("latin-1"), "past": True}
                text = text[whole:]

    def _new(self, listener: _Listener) -> str:
        pieces = []
        room = _PART_BYTES
        for number, row in enumerate(self._rows):
            begin, end = listener.positions[number], row.covered()
            if end - begin > _SAFE_BYTES:
                listener.lost += end - begin
                listener.positions[number] = end
                continue
            if begin == end or room <= 0:
                continue
            text = self._read(row, begin, end)
            if not text:
                listener.lost += end - begin
                listener.positions[number] = end
                continue
            if len(text) > room:
                text = text[: text.rfind(b"\n", 0, room) + 1 or text.find(b"\n") + 1]
            room -= len(text)
            pieces.append(text)
            listener.positions[number] = begin + len(text)
        return b"".join(pieces).decode("latin-1")

    @staticmethod
    def _read(row: Row, begin: int, end: int) -> bytes:
        """The text between two positions; nothing when it may have been overwritten meanwhile."""
        text = row.text(begin, end) if begin < end else b""
        return text if row.covered() - begin <= _SAFE_BYTES else b""


def place(settings: LogSettings, log_format: str) -> dict[str, Any]:
    """Where the access log goes: the path of a file, or None where there is none that could be read."""
    path = None if settings.path == "-" else os.path.abspath(settings.path)
    try:
        if path is not None and not stat.S_ISREG(os.stat(path).st_mode):
            path = None
    except FileNotFoundError:  # it is made with the first line
        pass
    except OSError:
        path = None
    return {"path": path, "format": log_format}
