# Listening on a path: who may connect, what a dead server left there, and what is left at the end.
#
#   path is free                          bind
#   path is a socket nobody listens on    a dead server's: taken away, bind
#   path is a socket that answers         in use: refused, its owner named
#   path is anything else                 not ours: refused
#
# Rule 1: the folder is locked (flock) between the look and the listen(), so that of two servers that start at once one
#         is refused, and neither takes the other's new socket for a dead one's.
# Rule 2: the path is removed at the end only while it is still the socket that was made here.
"""Listeners on Unix sockets (unix(7))."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from wsrv.engine.master.holder import command_of
from wsrv.engine.master.outcome import CannotStart
from wsrv.engine.settings import ListenSettings

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class UnixPath:
    """The name of a listener in the file system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = os.lstat(path)

    def remove(self) -> None:
        """Take the name away, unless another has it by now."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.lstat(self._path), self._made):
                os.unlink(self._path)


def listen_on_path(settings: ListenSettings, path: Path) -> tuple[socket.socket, UnixPath]:
    """A socket that listens on `path`, and its name there. Raises CannotStart."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with _locked(path.parent):
            _clear(path)
            listener.bind(os.fspath(path))
            name = UnixPath(path)
            try:
                os.chmod(path, settings.mode)
                listener.listen(settings.backlog)
            except OSError:
                name.remove()
                raise
    except BaseException as error:
        listener.close()
        if isinstance(error, OSError):
            raise CannotStart(f"cannot listen on unix:{path}: {_reason(error)}") from error
        raise
    return listener, name


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While nobody else of us makes a socket in `folder`. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _clear(path: Path) -> None:
    """Take away what a dead server left at `path`. Raises CannotStart when there is anything else, and OSError."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise CannotStart(f"cannot listen on unix:{path}: it is there already, and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as caller:
        try:
            caller.connect(os.fspath(path))
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # somebody listens, and takes nobody just now
            pass
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # a socket of another type: somebody has it too
                raise
        raise CannotStart(f"cannot listen on unix:{path}: in use{_holder(caller)}; choose another path")


def _holder(caller: socket.socket) -> str:
    """Who made the listener that `caller` is connected to; empty when it cannot be seen."""
    pid, _, _ = _CREDENTIALS.unpack(caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return f" by {command_of(pid)} (pid {pid})" if pid > 0 else ""


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "its folder does not exist; make it, or choose another path"
    if error.errno == errno.ENOTDIR:
        return "its folder is none; choose another path"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this user may not make a socket there; choose another path"
    return error.strerror or str(error)  # "AF_UNIX path too long" has no errno
