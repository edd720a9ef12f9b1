# The directory that a site lives in, held open.
#
# Rule 1: the number of the descriptor never changes. Another directory is put under the same number by dup2, so a
#         pool thread that is about to use the number gets the old directory or the new one, never a stranger.
# Rule 2: a sandbox knows directories, not paths: one that came after this process was confined is not put in place, as
#         nothing in it could be read. The old one is served until this process has been replaced.
# Rule 3: made in the process that uses it, after the fork.
"""A root directory and its replacement."""

import os
from pathlib import Path

from wsrv.engine.static.openat2 import open_directory

_CHECK_INTERVAL_NS = 1_000_000_000


class Root:
    """An O_PATH descriptor of the directory at a path; whoever swaps the directory is noticed by `check`.

    While nothing is at the path, the directory that was there last goes on being served (a deleted one is empty);
    if none ever was, every path beneath is not found. So a root that is late or away for a moment harms nothing.
    """

    def __init__(self, path: Path, *, no_links: bool = False) -> None:
        """`no_links`: whoever opens something beneath it is to follow no link at all."""
        self.no_links = no_links
        self._path = os.fsencode(path.absolute())
        # Something to stand under the number when there is no directory: beneath a file everything is ENOTDIR.
        self.fd = os.memfd_create("wsrv-no-root", os.MFD_CLOEXEC)
        # Tells this directory from others; b"" until there was one.
        self.mark = b""
        # Whether there is another directory now, and this process may not read it: one that is started now might.
        self.out_of_reach = False
        # Whether there was none at the last look.
        self.is_missing = False
        self._next_check_ns = 0
        self._put_in_place(cached=False, at_any_rate=True)

    def check(self, now_ns: int, *, nowait: bool) -> bool:
        """Look, at most once a second of `now_ns` (any steady clock), whether another directory is at the path now.

        True when it was another and has been put in place. With `nowait` the look is left to a later call when the
        kernel would have to ask a disk.
        """
        if now_ns < self._next_check_ns:
            return False
        try:
            replaced = self._put_in_place(cached=nowait, at_any_rate=False)
        except BlockingIOError:
            return False
        self._next_check_ns = now_ns + _CHECK_INTERVAL_NS
        return replaced

    def close(self) -> None:
        """Give the descriptor back. Once."""
        os.close(self.fd)

    def _put_in_place(self, *, cached: bool, at_any_rate: bool) -> bool:
        try:
            found_fd = open_directory(self._path, cached=cached)
        except BlockingIOError:
            raise
        except OSError as error:
            self.is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
            return False
        self.is_missing = False
        try:
            # Compared with what stands under the number, not with what was noted of it: two threads cannot disagree.
            # A directory that is held open keeps its inode number, so an equal one is the same directory.
            if os.path.sameopenfile(self.fd, found_fd):
                return False
            if not at_any_rate and not may_list(b".", found_fd):
                self.out_of_reach = True
                return False
            os.dup2(found_fd, self.fd, inheritable=False)
            found = os.fstat(found_fd)
            self.mark = b"%x-%x" % (found.st_dev, found.st_ino)
            return True
        finally:
            os.close(found_fd)


def may_list(directory: bytes | Path, below: int | None = None) -> bool:
    """Whether nobody forbids this process to read the directory, which need not be there."""
    try:
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=below))
    except PermissionError:
        return False
    except OSError:
        return True
    return True
