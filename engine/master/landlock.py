# Landlock: what this process, and every child of it, may no longer do. Nothing takes it back.
#
#   ruleset ──add a rule a path──> ruleset ──restrict_self──> this thread is in the domain, and whatever it starts
#
# Rule 1: only the thread that calls is restricted: call before there are others.
# Rule 2: what a kernel does not know yet is left out; what it knows is all refused but for the rules.
"""Landlock (landlock(7)), by its three system calls, which libc has no functions for."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from functools import reduce
from operator import or_

# The same numbers on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_FILE | REMOVE_DIR | MAKE_DIR | MAKE_REG | MAKE_SOCK
# What can be said of a file that is no folder.
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

# By the version that brought them: files; refer; truncate; TCP; devices; signals and abstract sockets.
_FILES_OF_VERSION = {1: (1 << 13) - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
_TCP_SINCE, _TCP = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11

_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def version() -> int:
    """The version of Landlock here; 0 where there is none."""
    try:
        return _checked(_syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION))
    except OSError:
        return 0


def keep_privileges_out() -> None:
    """From now on execve(2) gives no rights that this process has not (PR_SET_NO_NEW_PRIVS). Raises OSError."""
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def restrict(reads: Iterable[str], writes: Iterable[str], *, alone: bool) -> None:
    """Leave this thread nothing but reading below `reads` and writing below `writes`. Raises OSError.

    With `alone` it makes and accepts no new ties either: no TCP port, no TCP connection, no abstract socket and no
    signal to whoever is outside. What is open stays open. Paths that are not there are passed over.
    Call `keep_privileges_out` first.
    """
    here = version()
    files = reduce(or_, (bits for since, bits in _FILES_OF_VERSION.items() if since <= here), 0)
    tcp = _TCP if alone and here >= _TCP_SINCE else 0
    scopes = _SCOPES if alone and here >= _SCOPES_SINCE else 0
    # struct landlock_ruleset_attr grew by a word with each; an older kernel takes what it knows.
    words = (files,) if here < _TCP_SINCE else (files, tcp) if here < _SCOPES_SINCE else (files, tcp, scopes)
    attributes = struct.pack(f"{len(words)}Q", *words)
    ruleset = _checked(_syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for paths, access in ((reads, READ), (writes, WRITE)):
            for path in paths:
                _allow(ruleset, path, access & files)
        _checked(_syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_FILES
        # struct landlock_path_beneath_attr is packed: no padding behind the descriptor.
        _checked(_syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, fd), 0))
    finally:
        os.close(fd)
