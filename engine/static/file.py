# One regular file beneath a root: opened, described, read.
#
# Rule 1: stamps and bytes come from one descriptor, and the stamps are the same before and after the bytes are read.
# Rule 2: nothing but regular files is read; a fifo or device is opened without waiting (O_NONBLOCK) and let go.
# Rule 3: with `nowait` only what the kernel holds in memory is had; else BlockingIOError, and nothing has happened.
# Rule 4: without it, every failure is a NotServed.
"""Files, and what they hold."""

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from wsrv.engine.static.entity import Identity, NotServed
from wsrv.engine.static.openat2 import open_beneath, stat_beneath

_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY

# Past this a file is read by a pool thread, in one call without the GIL. In the loop it would have to go through a
# buffer of our own (25 us for these 256 KiB, 15 in one call), and hits would wait for it.
_INLINE_BYTES = 256 * 1024

# A file that changes while it is read is read again after these pauses; its writer may be done by then.
_PAUSES_SECONDS = (0.001, 0.002, 0.004, 0.008)

# As nginx has it: what leads nowhere is 404, what is refused 403. 503: it may work in a moment.
_STATUSES = {
    errno.ENOENT: 404,
    errno.ENOTDIR: 404,
    errno.EISDIR: 404,
    errno.ENAMETOOLONG: 404,
    errno.EILSEQ: 404,  # a name this file system cannot hold: bytes that are no UTF-8,
    errno.EINVAL: 404,  # or ":" on FAT
    errno.ENXIO: 404,  # a socket, or a device without a driver
    errno.ENODEV: 404,
    errno.EACCES: 403,
    errno.EPERM: 403,
    errno.ELOOP: 403,
    errno.EXDEV: 403,
    errno.EMFILE: 503,
    errno.ENFILE: 503,
    errno.ENOMEM: 503,
    errno.EAGAIN: 503,
    errno.ESTALE: 503,
}


class OpenFile:
    """An open file, closed when the last answer that is made of it has gone, and nothing else holds it.

    sendfile(2) with an offset moves no shared position, so all of them use one descriptor.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Contents(NamedTuple):
    """A file as it was at `began_ns` (wall clock) or later; `body` is None where it is too long to be held."""

    identity: Identity
    body: bytes | None
    began_ns: int


def refusal(error: OSError) -> NotServed:
    """What to answer for a failure of the file system; 500 for one that is not the path's fault, as EIO."""
    return NotServed(_STATUSES.get(error.errno or 0, 500), str(error))


def open_regular(root_fd: int, path: bytes, *, nowait: bool, no_links: bool = False) -> tuple[int, os.stat_result]:
    """A descriptor of the regular file at `path`, and its stat. Raises OSError; IsADirectoryError for a directory."""
    fd = open_beneath(root_fd, path, _READ_FLAGS, cached=nowait, no_links=no_links)
    try:
        seen = os.fstat(fd)
        if stat.S_ISREG(seen.st_mode):
            return fd, seen
        number = errno.EISDIR if stat.S_ISDIR(seen.st_mode) else errno.ENXIO
        raise OSError(number, os.strerror(number), path)
    except BaseException:
        os.close(fd)
        raise


def identify(root_fd: int, path: bytes, *, nowait: bool, no_links: bool = False) -> os.stat_result:
    """The stat of what `path` leads to, of whatever kind, without opening it for reading. Raises OSError."""
    if nowait:
        return stat_beneath(root_fd, path, no_links=no_links)
    fd = open_beneath(root_fd, path, os.O_PATH, no_links=no_links)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _read(fd: int, size: int, *, nowait: bool) -> bytes:
    if not nowait:
        return os.pread(fd, size, 0)
    if size > _INLINE_BYTES:
        raise BlockingIOError(errno.EAGAIN, "too long for the loop")
    buffer = bytearray(size)
    try:
        count = os.preadv(fd, [buffer], 0, os.RWF_NOWAIT) if size else 0
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            # A file system that cannot promise not to wait.
            raise BlockingIOError(errno.EAGAIN, "RWF_NOWAIT is not supported here") from error
        raise
    return bytes(buffer if count == size else buffer[:count])


def _read_once(
    root_fd: int, path: bytes, max_body_bytes: int, clock: Callable[[], int], *, nowait: bool, no_links: bool
) -> Contents | None:
    """What the file holds, or None when it changed, or was cut short, while it was read."""
    fd, before = open_regular(root_fd, path, nowait=nowait, no_links=no_links)
    try:
        now_ns = clock()
        identity = Identity.of(before)
        if identity.size > max_body_bytes:
            return Contents(identity, None, now_ns)
        body = _read(fd, identity.size, nowait=nowait)
        if len(body) != identity.size or Identity.of(os.fstat(fd)) != identity:
            return None
        return Contents(identity, body, now_ns)
    finally:
        os.close(fd)


def load(
    root_fd: int, path: bytes, max_body_bytes: int, clock: Callable[[], int], *, nowait: bool, no_links: bool = False
) -> Contents:
    """The regular file at `path`, with its body when that is no longer than `max_body_bytes`.

    `clock` is the wall clock in ns. Raises OSError, IsADirectoryError for a directory, BlockingIOError with `nowait`
    for what has to be asked again without; NotServed(503) when the file did not hold still through five readings.
    """
    for pause_seconds in (*_PAUSES_SECONDS, None):
        contents = _read_once(root_fd, path, max_body_bytes, clock, nowait=nowait, no_links=no_links)
        if contents is not None:
            return contents
        if nowait:
            raise BlockingIOError(errno.EAGAIN, "the file changed while it was read", path)
        if pause_seconds is not None:
            time.sleep(pause_seconds)
    raise NotServed(503, "the file keeps changing while it is read")
