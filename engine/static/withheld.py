# Files that are never served: what configures a server, and whatever else the settings name.
#
# Rule 1: by name, wherever it lies and whether it is in use or not: wsrv.toml and server.conf, in any case. Of these
#         and of all that the settings name, also the copies that editors, people and rotation leave.
# Rule 2: by identity, whatever it is called: a file of the settings is looked up again each time a file is loaded, so
#         it is known by a link, after it was replaced, and after it was moved.
# Rule 3: a file is asked about when it is loaded, never when it is served from memory. A page that becomes such a file
#         later, by a new name (ln, mv), gets another ctime with it and is loaded anew.
# Rule 4: no state but the last identity of each file, written whole: safe to use from several threads.
"""What the site keeps to itself."""

import contextlib
import errno
import os
import re
from pathlib import Path

from wsrv.engine.static.openat2 import open_anywhere

# Trailing dots and spaces are dropped by FAT and its kin.
_NAMES = re.compile(rb"#?(?:wsrv\.toml|server\.conf)(?:~|#|\.(?:bak|old|orig|save|swp|new))?[. ]*", re.IGNORECASE)
# access.log.1, access.log-20261124.gz, site.key.bak. Not the name itself: there it is the file that counts.
_PACKED = rb"\.(?:gz|bz2|xz|zst|br)"
_COPY = rb"#?(?:%b)(?:~|#|\.(?:bak|old|orig|save|swp|new)|[.-][0-9]+(?:" + _PACKED + rb")?|" + _PACKED + rb")[. ]*"

# The look-up itself lacked something; what it would have found is not known.
_UNKNOWN = frozenset((errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.EIO))


class Withheld:
    """The files that the settings name, told by device and inode. Made in the process that serves."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = tuple(os.fsencode(path.absolute()) for path in paths)
        names = b"|".join(re.escape(os.path.basename(path)) for path in self._paths)
        self._copies = re.compile(_COPY % names, re.IGNORECASE) if names else None
        self._last: dict[bytes, tuple[int, int]] = {}
        for path in self._paths:
            with contextlib.suppress(OSError):
                self._look_up(path, nowait=False)

    def names(self, file_path: bytes) -> bool:
        """Whether a file of this name is never served."""
        name = file_path[file_path.rfind(b"/") + 1 :]
        return _NAMES.fullmatch(name) is not None or (
            self._copies is not None and self._copies.fullmatch(name) is not None
        )

    def holds(self, dev: int, ino: int, *, nowait: bool) -> bool:
        """Whether the file of this identity is one of them.

        Raises OSError when that cannot be told: BlockingIOError only with `nowait`, when a disk would have to be asked.
        """
        return any(self._look_up(path, nowait=nowait) == (dev, ino) for path in self._paths)

    def identities(self) -> frozenset[tuple[int, int]]:
        """Device and inode of every one of them that is there. Raises OSError when that cannot be told."""
        found = (self._look_up(path, nowait=False) for path in self._paths)
        return frozenset(identity for identity in found if identity is not None)

    def _look_up(self, path: bytes, *, nowait: bool) -> tuple[int, int] | None:
        try:
            fd = open_anywhere(path, os.O_PATH, cached=nowait)
        except OSError as error:
            if error.errno in _UNKNOWN:
                raise
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            # This user may not look any more: it is where it was.
            return self._last.get(path)
        try:
            seen = os.fstat(fd)
        finally:
            os.close(fd)
        self._last[path] = found = (seen.st_dev, seen.st_ino)
        return found
