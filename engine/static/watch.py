# Who watches a folder need not look at its files.
#
#   look ──> watch all folders on the way ──> the next look ──> still ──> nothing to look at, for LONGEST_NS
#                        ^                                        │
#                        └─── after PAUSE_NS ── over <── inotify ┘
#
# Rule 1: watched is what the kernel tells everything of: folders of file systems of this machine, reached by no link.
# Rule 2: a folder is still from when all on the way to it are watched, itself included, until anything happens in one.
# Rule 3: the first event ends a watch (IN_ONESHOT), which begins anew after a while: who writes on costs nothing.
# Rule 4: what the kernel does not tell, as a write through memory or through a name that was made elsewhere since, is
#         found by a look that is due at any rate.
"""Folders watched by inotify(7)."""

import ctypes
import os
import struct
import sys
from collections.abc import Callable
from time import monotonic_ns

# So long what is still serves without a look (nginx open_file_cache_valid: 60 s).
LONGEST_NS = 60_000_000_000
# After a change, or in vain.
PAUSE_NS = 10_000_000_000
# Of a worker. A user has 8,192 in all before Linux 5.11, shared with editors and desktops.
MOST_FOLDERS = 512

_NEVER = sys.maxsize
_READ_BYTES = 64 * 1024
_EVENT = struct.Struct("iIII")

# sys/inotify.h
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_ONLYDIR, _ONESHOT = 0x01000000, 0x80000000
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_CHANGES = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE

# statfs(2): those of which nobody but this kernel writes anything.
_LOCAL = frozenset(
    (
        0xEF53,  # ext2, ext3, ext4
        0x58465342,  # xfs
        0x9123683E,  # btrfs
        0x01021994,  # tmpfs
        0xF2F52010,  # f2fs
        0x2FC12FC1,  # zfs
        0x794C7630,  # overlayfs
        0xCA451A4E,  # bcachefs
    )
)
# Larger than any struct statfs; its first word is the kind.
_STATFS_BYTES = 256

_libc = ctypes.CDLL(None, use_errno=True)


class Folder:
    """A folder that is, or was, watched. `since_ns`: since when it is still; later than any time while it is not."""

    __slots__ = ("again_ns", "since_ns")

    def __init__(self) -> None:
        self.since_ns = _NEVER
        self.again_ns = 0


class Watches:
    """The watches of one worker. Raises OSError where there can be none. `clock`: that of `since_ns`."""

    def __init__(self, most: int = MOST_FOLDERS, clock: Callable[[], int] = monotonic_ns) -> None:
        self._most = most
        self._clock = clock
        # By who has a root, and the path beneath it.
        self._folders: dict[tuple[object, bytes], Folder] = {}
        # By number of the watch, the folders that are not still any more when it is over.
        self._ended_by: dict[int, set[Folder]] = {}
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def fileno(self) -> int:
        """Readable when something has happened."""
        return self._fd

    def close(self) -> None:
        """Give the descriptor back. Once."""
        os.close(self._fd)

    def __len__(self) -> int:
        """How many folders of the kernel's are watched."""
        return len(self._ended_by)

    def folder(self, owner: object, path: bytes, open_it: Callable[[bytes], int], now_ns: int) -> Folder | None:
        """The folder at `path`, if it is watched or can be now. Who looks at a file after this can tell by `since_ns`,
        later, whether it is still what it was.

        `open_it` gives an O_PATH descriptor of a folder on the way, or raises OSError; `owner` tells its root.
        """
        folder = self._folders.get((owner, path))
        if folder is None:
            if len(self._folders) >= self._most:
                return None
            folder = self._folders[owner, path] = Folder()
        if folder.since_ns == _NEVER and now_ns >= folder.again_ns:
            folder.again_ns = now_ns + PAUSE_NS
            if all(self._watch(one, open_it, folder) for one in _way_to(path)):
                folder.since_ns = self._clock()
        return None if folder.since_ns == _NEVER else folder

    def turn(self) -> None:
        """Hear what has happened."""
        try:
            events = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            number, mask, _, name_bytes = _EVENT.unpack_from(events, at)
            at += _EVENT.size + name_bytes
            if mask & _OVERFLOW:
                self._end(*self._ended_by)
            elif not mask & _IGNORED:
                self._end(number)

    def distrust(self) -> None:
        """Nothing is still: other directories are the roots now."""
        self._end(*self._ended_by)
        self._folders.clear()

    def _end(self, *numbers: int) -> None:
        again_ns = self._clock() + PAUSE_NS
        for number in numbers:
            for folder in self._ended_by.pop(number, ()):
                folder.since_ns = _NEVER
                folder.again_ns = again_ns

    def _watch(self, path: bytes, open_it: Callable[[bytes], int], folder: Folder) -> bool:
        """Watch one folder, which ends the stillness of `folder`; whether it could be."""
        try:
            fd = open_it(path)
        except OSError:
            return False
        try:
            if not _is_local(fd):
                return False
            # By its number: nobody can have put another folder in its place meanwhile.
            place = b"/proc/self/fd/%d" % fd
            number = _libc.inotify_add_watch(self._fd, place, ctypes.c_uint32(_CHANGES | _ONLYDIR | _ONESHOT))
        finally:
            os.close(fd)
        if number < 0:
            return False
        self._ended_by.setdefault(number, set()).add(folder)
        return True


def _way_to(path: bytes) -> list[bytes]:
    """The folders on the way to `path`, from the root to itself."""
    names = path.split(b"/") if path else []
    return [b".", *(b"/".join(names[: count + 1]) for count in range(len(names)))]


def _is_local(fd: int) -> bool:
    """Whether nobody but this machine changes anything in the file system of `fd`."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.fstatfs(fd, found) != 0:
        return False
    return int.from_bytes(found.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF in _LOCAL
