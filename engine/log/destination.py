# Where log text goes.
#
# Rule 1: the writer asks prepare() how much a destination takes now, and gives put() no more than that; a stream that
#         takes nothing is never waited for.
# Rule 2: a file is only ever appended to, by one process, so its size says how much of a write was done. It is opened
#         when it is needed: a folder that was moved away costs lines, not the writer.
# Rule 3: a file is rotated in prepare(), between whole lines. Where that cannot be done it grows on,
#         and it is tried again: a full disk may have room later.
"""Destinations of the access log: a file that rotates, or a stream that somebody reads."""

import contextlib
import os
import select
import stat
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from wsrv.engine.settings import LogSettings

# What a pipe or terminal that polls writable takes without blocking: POSIX promises PIPE_BUF of it.
_STREAM_BYTES = select.PIPE_BUF
_STANDARD_OUTPUT = 1
# How long a file grows on that could not be rotated, before that is tried again.
_ROTATION_PAUSE_SECONDS = 5.0
_MODE = 0o640
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY

Complain = Callable[[str], None]


class Destination(Protocol):
    """What the log writer writes to."""

    def prepare(self, text: bytes, mid_line: bool) -> tuple[int | None, int]:
        """How `text` can be begun: the size from which a successor can tell what of it was written, None when nothing
        can tell; and how many bytes from its front put() may get, 0 when none can be taken now. `mid_line` says that
        the last byte put was inside a line. Raises OSError."""

    def put(self, text: bytes) -> int:
        """Write from the front of `text`; how many bytes are gone. Raises OSError."""

    def size(self) -> int | None:
        """The size now, None when nothing can tell. Raises OSError."""

    def await_room(self, seconds: float) -> bool:
        """Wait until it may take some again, but no longer than `seconds`; False when nobody reads it any more."""

    def reopen(self) -> None:
        """Open it anew, between two lines: whoever rotates it has moved it away. Raises OSError, and goes on then."""

    def kept_fds(self) -> list[int]:
        """Descriptors that the writer's process inherits."""

    def close(self) -> None:
        """Let it go."""


class FileDestination:
    """A log file, appended to; renamed to `path.1` … `path.keep` before it would grow past `max_bytes`."""

    def __init__(self, path: str, max_bytes: int, keep: int, complain: Complain) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._complain = complain
        self._fd = -1
        # While it cannot be rotated: when to try again (time.monotonic).
        self._rotates_from = 0.0

    def _open(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self._path, _FLAGS, _MODE)
        return self._fd

    def prepare(self, text: bytes, mid_line: bool) -> tuple[int | None, int]:
        size = self.size()
        if mid_line or not self._max_bytes or size + len(text) <= self._max_bytes:
            return size, len(text)
        if size and size + text.find(b"\n") >= self._max_bytes:
            if not self._rotate():
                return size, len(text)
            size = self.size()
        # As many whole lines as fit, and never less than one.
        fits = text.rfind(b"\n", 0, max(0, self._max_bytes - size)) + 1
        return size, fits or text.find(b"\n") + 1 or len(text)

    def put(self, text: bytes) -> int:
        return os.write(self._open(), text)

    def size(self) -> int:
        return os.fstat(self._open()).st_size

    def await_room(self, seconds: float) -> bool:
        time.sleep(seconds)
        return True

    def _rotate(self) -> bool:
        """Begin another file; whether that could be done."""
        if time.monotonic() < self._rotates_from:
            return False
        try:
            names = [self._path]
            while len(names) <= self._keep and os.path.lexists(names[-1]):
                names.append(f"{self._path}.{len(names)}")
            for newer, older in reversed(list(pairwise(names))):
                os.replace(newer, older)
            if self._keep == 0:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
            self.reopen()
        except OSError as e:
            if not self._rotates_from:
                self._complain(f"access log: cannot rotate {self._path} ({e.strerror}); it grows on")
            self._rotates_from = time.monotonic() + _ROTATION_PAUSE_SECONDS
            return False
        self._rotates_from = 0.0
        return True

    def reopen(self) -> None:
        fresh = os.open(self._path, _FLAGS, _MODE)
        self.close()
        self._fd = fresh

    def kept_fds(self) -> list[int]:
        return []

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class StreamDestination:
    """Standard output, a pipe, a terminal.

    The flags of standard output belong to the shell as well, so it is not made non-blocking: it is asked whether it
    can take some, and given whole lines that fit.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def prepare(self, text: bytes, mid_line: bool) -> tuple[int | None, int]:
        if self._regular or len(text) <= _STREAM_BYTES:
            fits = len(text)
        else:
            fits = text.rfind(b"\n", 0, _STREAM_BYTES) + 1 or _STREAM_BYTES
        return None, fits if self._regular or self._flags(0) & select.POLLOUT else 0

    def put(self, text: bytes) -> int:
        try:
            return os.write(self._fd, text)
        except BlockingIOError:  # whoever shares it has made it non-blocking, and writes too
            return 0

    def size(self) -> int | None:
        return None

    def await_room(self, seconds: float) -> bool:
        if self._flags(seconds) & (select.POLLERR | select.POLLHUP):
            time.sleep(seconds)
            return False
        return True

    def _flags(self, seconds: float) -> int:
        return next((flags for _, flags in self._poll.poll(seconds * 1000)), 0)

    def reopen(self) -> None:
        """What it leads to is open for good."""

    def kept_fds(self) -> list[int]:
        return [self._fd]

    def close(self) -> None:
        """Standard output is the shell's: it stays open."""
        if self._fd != _STANDARD_OUTPUT:
            os.close(self._fd)


def open_destination(settings: LogSettings, complain: Complain) -> Destination:
    """What `settings` names, tried out; what goes wrong later is told to `complain`. Raises OSError.

    A path may lead to a pipe or a device. Those are opened here and once: the end of an only writer is the end of the
    stream for its reader, and `/dev/fd/63` of a shell means nothing to a child.
    """
    if settings.path == "-":
        return StreamDestination(_STANDARD_OUTPUT)
    # Non-blocking, or a pipe that nobody reads yet would be waited for.
    fd = os.open(settings.path, _FLAGS | os.O_NONBLOCK, _MODE)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return StreamDestination(fd)
    os.close(fd)
    return FileDestination(settings.path, settings.max_bytes, settings.keep, complain)
