# Where log text goes.
#
# Rule 1: put() returns how many bytes are safely gone; a stream that takes nothing now is never waited for.
# Rule 2: a file is only ever appended to, by this process alone, so its size says how much of a write was done.
# Rule 3: a file is rotated in prepare(), between whole lines, never inside a write.
"""Destinations of the access log: a file that rotates, or a stream that somebody reads."""

import os
import select
import stat
from typing import Protocol

# What a pipe or terminal that polls writable takes without blocking: POSIX promises PIPE_BUF of it.
_STREAM_BYTES = select.PIPE_BUF
_MODE = 0o640


class Destination(Protocol):
    """What the log writer writes to."""

    def put(self, text: bytes) -> int:
        """Write from the front of `text`; how many bytes are gone, 0 when it cannot take any now. Raises OSError."""

    def prepare(self, length: int) -> int | None:
        """Make ready for `length` bytes; the size from which a successor can tell what of them was written, or None
        when nothing can tell. Raises OSError."""

    def size(self) -> int | None:
        """The size now, None when nothing can tell. Raises OSError."""

    def close(self) -> None:
        """Let it go."""


class FileDestination:
    """A log file, appended to; renamed to `path.1` … `path.keep` when it has grown past `max_bytes`."""

    def __init__(self, path: str, max_bytes: int, keep: int) -> None:
        """Raises OSError when the file cannot be opened for appending."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._fd = self._open()
        self._mid_line = False

    def _open(self) -> int:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, _MODE)
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        return fd

    def prepare(self, length: int) -> int | None:
        size = self.size()
        if size and not self._mid_line and 0 < self._max_bytes < size + length:
            self._rotate()
            size = self.size()
        return size

    def put(self, text: bytes) -> int:
        gone = os.write(self._fd, text)
        self._mid_line = text[gone - 1 : gone] != b"\n"
        return gone

    def size(self) -> int | None:
        return os.fstat(self._fd).st_size if self._regular else None

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            newer = self._path if number == 1 else f"{self._path}.{number - 1}"
            if os.path.exists(newer):
                os.replace(newer, f"{self._path}.{number}")
        if self._keep == 0:
            os.unlink(self._path)
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh

    def close(self) -> None:
        os.close(self._fd)


class StreamDestination:
    """Standard output: a pipe, a terminal, or a file the shell opened.

    Its flags belong to the shell as well, so it is not made non-blocking: it is asked whether it can take some,
    and given whole lines that fit.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def prepare(self, length: int) -> int | None:
        return None

    def put(self, text: bytes) -> int:
        if self._regular:
            return os.write(self._fd, text)
        if not any(flags & select.POLLOUT for _, flags in self._poll.poll(0)):
            return 0
        if len(text) > _STREAM_BYTES:
            cut = text.rfind(b"\n", 0, _STREAM_BYTES) + 1
            text = text[: cut or _STREAM_BYTES]
        return os.write(self._fd, text)

    def size(self) -> int | None:
        return None

    def close(self) -> None:
        """The stream is the shell's: it stays open."""
