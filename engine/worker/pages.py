# Long answers that are asked for again and again, in pages from which sendfile(2) copies nothing.
#
#   page 0                      page 1 ...
#   head | body's beginning  |  body ...
#
# To write 100 KB is to copy them into the kernel, a third of what such an answer costs. From a file in memory
# (memfd_create(2)) the socket refers to the pages themselves.
#
# Rule 1: what is on its way does not change: to write the Date anew, page 0 is given up (FALLOC_FL_PUNCH_HOLE), and
#         another one put there. Sockets that refer to the old one keep it.
# Rule 2: beside the cache: bounded in bytes and in descriptors. Who was renewed longest ago makes room.
# Rule 3: without them the answer is written as it is held. So whatever fails is no failure.
"""Answers in pages of a file in memory."""

import ctypes
import os
from typing import TYPE_CHECKING

from wsrv.engine.static.file import OpenFile

if TYPE_CHECKING:
    from wsrv.engine.worker.prepared import Prepared

# Below, to refer to pages costs as much as to copy them.
LEAST_BYTES = 64 * 1024
# Of the cache.
_SHARE = 8
MOST_BYTES = 8 * 1024 * 1024
# Descriptors of a worker.
MOST = 32
# Hits since an answer was renewed last that make it worth to be copied once more.
OFTEN = 8

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# linux/falloc.h
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_fallocate = ctypes.CDLL(None).fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Pages(OpenFile):
    """A file in memory. An answer that has left the cache may be written still, in this round."""

    __slots__ = ()

    @classmethod
    def of(cls, parts: tuple[bytearray, bytes]) -> "Pages":
        """One with `parts`, one after the other. Raises OSError."""
        made = cls(os.memfd_create("wsrv-answer", os.MFD_CLOEXEC))
        if os.writev(made.fd, parts) != sum(map(len, parts)):
            raise OSError("no room for all of an answer")
        return made

    def renew(self, parts: tuple[bytearray, bytes]) -> bool:
        """Put the beginning of `parts` in the place of what was there; whether that could be done."""
        head, body = parts
        if _fallocate(self.fd, _PUNCH_HOLE | _KEEP_SIZE, 0, _PAGE_BYTES) != 0:
            return False
        beginning = bytes(head) + body[: max(0, _PAGE_BYTES - len(head))]
        try:
            return os.pwrite(self.fd, beginning[:_PAGE_BYTES], 0) == min(len(beginning), _PAGE_BYTES)
        except OSError:
            return False


class Paged:
    """The answers in pages, beside a cache of `capacity_bytes`."""

    def __init__(self, capacity_bytes: int) -> None:
        self._most_bytes = min(capacity_bytes // _SHARE, MOST_BYTES)
        self.size_bytes = 0
        # The one that was renewed last is the last.
        self._answers: dict[Prepared, None] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def take_in(self, answer: "Prepared") -> None:
        """Have `answer` in pages, if it is long enough and there is room for it."""
        if not LEAST_BYTES <= answer.length <= self._most_bytes:
            return
        while self.size_bytes + answer.length > self._most_bytes or len(self._answers) >= MOST:
            self.drop(next(iter(self._answers)))
        try:
            answer.pages = Pages.of(answer.parts)
        except OSError:
            return
        self._answers[answer] = None
        self.size_bytes += answer.length

    def renew(self, answer: "Prepared") -> None:
        """The parts of `answer` have another Date now: its pages too."""
        if answer.pages is not None and answer.pages.renew(answer.parts):
            self._answers[answer] = self._answers.pop(answer)
        else:
            self.drop(answer)

    def drop(self, answer: "Prepared") -> None:
        """Give the pages of `answer` up, if it has some."""
        if answer.pages is not None:
            answer.pages = None
            del self._answers[answer]
            self.size_bytes -= answer.length
