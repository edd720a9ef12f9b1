# openat2(2), the one door through which files are opened.
#
# Rule 1: RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS always: the kernel, not a string comparison, keeps a path inside.
# Rule 2: O_CLOEXEC always.
# Rule 3: with `cached` the call cannot wait for a disk, so it keeps the GIL (PyDLL): letting go of it costs a hit
#         more than the call does. Without, it may wait, so it lets the GIL go (CDLL).
# Rule 4: nothing here logs; a failure is an OSError with its errno.
"""Opening what lies beneath a directory, and nothing that does not."""

import ctypes
import errno
import functools
import os
from typing import Any

# One number on every architecture that Linux has gained or kept since 5.6.
_SYS_OPENAT2 = 437
_AT_FDCWD = -100

# linux/openat2.h
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE_CACHED = 0x20

# A rename beside a ".." makes the kernel give up with EAGAIN (openat2(2)); so does a lease that is being broken.
_ATTEMPTS = 8


class _OpenHow(ctypes.Structure):
    """struct open_how of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW_BYTES = ctypes.sizeof(_OpenHow)

# No argtypes: converting by them costs 0.4 of 1.3 us. All numbers fit an int, which libffi widens to the register.
_syscall_kept = ctypes.PyDLL(None, use_errno=True).syscall
_syscall_released = ctypes.CDLL(None, use_errno=True).syscall


@functools.cache
def _how(flags: int, resolve: int) -> Any:
    """A reference to the open_how of these flags, made once: callers use a handful of combinations."""
    return ctypes.byref(_OpenHow(flags | os.O_CLOEXEC, 0, resolve))


_LOOK_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_CACHED
# By whether links are refused.
_LOOK = tuple(_how(os.O_PATH, _LOOK_RESOLVE | links) for links in (0, _RESOLVE_NO_SYMLINKS))


def _failure(number: int, path: bytes) -> OSError:
    return OSError(number, os.strerror(number), path)


def _open_cached(directory_fd: int, path: bytes, flags: int, resolve: int) -> int:
    fd: int = _syscall_kept(_SYS_OPENAT2, directory_fd, path, _how(flags, resolve | _RESOLVE_CACHED), _HOW_BYTES)
    if fd >= 0:
        return fd
    number = ctypes.get_errno()
    # EINVAL: a kernel before 5.12, which does not know RESOLVE_CACHED. To the caller that is all the same.
    raise _failure(errno.EAGAIN if number == errno.EINVAL else number, path)


def _open_waiting(directory_fd: int, path: bytes, flags: int, resolve: int) -> int:
    how = _how(flags, resolve)
    number = errno.EAGAIN
    attempts = 0
    while attempts < _ATTEMPTS:
        fd: int = _syscall_released(_SYS_OPENAT2, directory_fd, path, how, _HOW_BYTES)
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number == errno.EAGAIN:
            attempts += 1
        elif number != errno.EINTR:
            break
    raise _failure(number, path)


def open_beneath(root_fd: int, path: bytes, flags: int, *, cached: bool = False, no_links: bool = False) -> int:
    """Open `path`, relative to the directory `root_fd`, never leaving it; a close-on-exec descriptor.

    Raises OSError: EXDEV when the path or a link on it leaves the root (an absolute link always does), ELOOP for a
    magic link and, with `no_links`, for any; BlockingIOError when with `cached` the kernel would have to ask a disk, or
    when without it others keep renaming directories on the way. openat2(2).
    """
    if b"\0" in path:
        # To C the path would end here, and another file would be opened.
        raise _failure(errno.ENOENT, path)
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | (_RESOLVE_NO_SYMLINKS if no_links else 0)
    if cached:
        return _open_cached(root_fd, path, flags, resolve)
    return _open_waiting(root_fd, path, flags, resolve)


def stat_beneath(root_fd: int, path: bytes, *, no_links: bool = False) -> os.stat_result:
    """The stat of what `path` leads to, if the kernel has it in memory: open_beneath with O_PATH and `cached`, and
    fstat, in one frame, as each answer that is held pays for it once a second. Raises as that does."""
    if b"\0" in path:
        raise _failure(errno.ENOENT, path)
    fd: int = _syscall_kept(_SYS_OPENAT2, root_fd, path, _LOOK[no_links], _HOW_BYTES)
    if fd < 0:
        # It says why; or there is room by now.
        fd = open_beneath(root_fd, path, os.O_PATH, cached=True, no_links=no_links)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def open_anywhere(path: bytes, flags: int, *, cached: bool = False) -> int:
    """A close-on-exec descriptor of what is at `path`: for files that their owner named, never for a request.

    Raises OSError, BlockingIOError as `open_beneath` does.
    """
    open_it = _open_cached if cached else _open_waiting
    return open_it(_AT_FDCWD, path, flags, 0)


def is_there() -> bool:
    """Whether this process may call openat2 at all: a kernel has it or not, a seccomp filter hides or refuses it."""
    try:
        os.close(open_directory(b"/"))
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


def open_directory(path: bytes, *, cached: bool = False) -> int:
    """An O_PATH descriptor of the directory at `path`, anywhere: for the roots themselves, named by their owner.

    Raises OSError: ENOTDIR when it is none, BlockingIOError as `open_beneath` does.
    """
    return open_anywhere(path, os.O_PATH | os.O_DIRECTORY, cached=cached)
