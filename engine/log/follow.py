# A log file as it grows, is rotated, cut and made anew.
#
#   path.2 (being read) ─> path.1 ─> path      a successor is opened when it is seen: a later removal takes nothing away
#
# Rule 1: whoever writes appends to one file at a time. A file is over when its successor has something in it, and then
#         nothing is left to read.
# Rule 2: which files lie between the one that was the newest and the one now at `path` is told by their names, path.1,
#         path.2 …, as rotation gives them. They move up while they are looked at, so the look goes upwards, past a gap.
# Rule 3: the last bytes that were read are read again with what follows. Where they are others, the file was cut.
# Rule 4: only whole lines are handed out; what a file ends with counts as one.
"""Following a log file."""

import os
from collections import deque
from collections.abc import Callable, Iterator

_CHUNK_BYTES = 256 * 1024
# What is compared to find that a file was cut and has grown again: some lines.
_BEFORE_BYTES = 1024
# Rotated files have numbers without gaps, but for the one that is being renamed.
_MOST_MISSING = 2


class _File:
    """A file of the log, open."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self.fd)
        self.identity = (found.st_dev, found.st_ino)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def close(self) -> None:
        os.close(self.fd)


class Follower:
    """The text of the log at `path`, from its end at the beginning on. Raises OSError when it cannot be opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files = deque((_File(path),))
        self._offset = self._files[0].size()
        self._before = b""
        self._begun = b""
        self._step_back_to_whole_line()

    @property
    def fd(self) -> int:
        """The file that is read now."""
        return self._files[0].fd

    @property
    def offset(self) -> int:
        """Up to where it was read."""
        return self._offset - len(self._begun)

    def close(self) -> None:
        """Let all files go."""
        for file in self._files:
            file.close()
        self._files.clear()

    def read(self) -> bytes:
        """Whole lines that have come since; nothing when there are none now."""
        self._look_for_successors()
        text = self._more()
        while not text and self._is_over():
            # It had its successor before this look.
            at = self._offset
            text = self._more()
            if not text and self._offset == at:
                text = self._go_on()
        return text

    def _step_back_to_whole_line(self) -> None:
        """Begin with the last line where it is not whole yet, and remember what stands before."""
        end = self._offset
        text = os.pread(self.fd, min(end, _CHUNK_BYTES), max(0, end - _CHUNK_BYTES))
        whole = text[: text.rfind(b"\n") + 1]
        self._offset -= len(text) - len(whole)
        self._before = whole[-_BEFORE_BYTES:]

    def _more(self) -> bytes:
        before = self._before
        text = os.pread(self.fd, len(before) + _CHUNK_BYTES, self._offset - len(before))
        if text[: len(before)] != before:
            before = self._begun = b""
            self._offset = 0
            text = os.pread(self.fd, _CHUNK_BYTES, 0)
        fresh = text[len(before) :]
        self._offset += len(fresh)
        self._before = text[-_BEFORE_BYTES:]
        text = self._begun + fresh
        whole = text.rfind(b"\n") + 1
        self._begun = text[whole:]
        return text[:whole]

    def _is_over(self) -> bool:
        return len(self._files) > 2 or (len(self._files) > 1 and self._files[1].size() > 0)

    def _go_on(self) -> bytes:
        """Begin with the successor; what the old file ended with."""
        rest, self._begun, self._before, self._offset = self._begun, b"", b"", 0
        self._files.popleft().close()
        return rest + b"\n" if rest else self._more()

    def _look_for_successors(self) -> None:
        newest = self._files[-1]
        try:
            found = os.stat(self._path)
            if (found.st_dev, found.st_ino) == newest.identity:
                return
            successors = [_File(self._path)]
        except OSError:  # between two names, or not to be read: the next look finds it
            return
        reached = successors[0].identity == newest.identity
        missing = number = 0
        while not reached and missing < _MOST_MISSING:
            number += 1
            try:
                file = _File(f"{self._path}.{number}")
            except OSError:
                missing += 1
                continue
            missing = 0
            reached = file.identity == newest.identity
            if reached or file.identity in {one.identity for one in successors}:
                file.close()
            else:
                successors.append(file)
        if not reached:
            successors = self._since(newest, successors)
        elif successors[0].identity == newest.identity:
            successors.pop(0).close()
        self._files.extend(reversed(successors))

    def _since(self, newest: _File, files: list[_File]) -> list[_File]:
        """The first of `files`, and the others that may have been written after `newest`, which has none of the names.

        One that was removed as the oldest has the others for successors; one that was moved elsewhere has none of them.
        """
        was = os.fstat(newest.fd)
        kept = files[:1]
        for file in files[1:]:
            if was.st_nlink == 0 and os.fstat(file.fd).st_mtime_ns >= was.st_mtime_ns:
                kept.append(file)
            else:
                file.close()
        return kept


def backwards(fd: int, end: int) -> Iterator[bytes]:
    """The lines of the file before offset `end`, the last one first, without their ends. Raises OSError."""
    rest = b""
    while end > 0:
        begin = max(0, end - _CHUNK_BYTES)
        text = os.pread(fd, end - begin, begin) + rest
        first, *others = text.split(b"\n")
        if others and not others[-1] and not rest:
            others.pop()
        yield from reversed(others)
        rest, end = first, begin
    if rest:
        yield rest


def last(lines: Iterator[bytes], count: int | None, is_wanted: Callable[[bytes], bool | None]) -> list[bytes]:
    """The last `count` wanted of lines that come backwards, in their order. None of `is_wanted` ends it."""
    found: list[bytes] = []
    for line in lines:
        if count is not None and len(found) >= count:
            break
        wanted = is_wanted(line)
        if wanted is None:
            break
        if wanted:
            found.append(line)
    return found[::-1]
