# Where a running server can be found: one folder a server name.
#
#   DIRECTORY/                 --runtime-dir and what stands for it; others may own servers beside ours
#     NAME/        0700        held by a flock on the folder itself, for as long as the master lives
#       pid                    the master's process id, in decimal
#       control.sock 0600      what `wsrv stats` and the rest talk to
#
# Rule 1: the lock alone says whether a server lives; the kernel lets go of it with the master's last breath.
# Rule 2: whoever holds the lock may remove the folder, nobody else; a lock counts only while the folder it was taken
#         on is still the one under that name.
# Rule 3: the lock belongs to the descriptor. A forked child closes its copy, or the dead master seems alive.
"""The runtime directory: claiming a server name, and finding the servers that run."""

import contextlib
import fcntl
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from wsrv.engine.master.name import NAME_ALLOWED, is_name
from wsrv.engine.master.outcome import CannotStart

SOCKET_NAME = "control.sock"
PID_NAME = "pid"
_FILES = (SOCKET_NAME, PID_NAME)

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A client that looks around holds the lock for microseconds, so one refusal proves nothing.
_CLAIM_TRIES = 20
_CLAIM_PAUSE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that holds its folder now. `pid` is None while it is still starting."""

    name: str
    pid: int | None
    path: Path

    @property
    def socket_path(self) -> Path:
        """Where its control socket is, if it has one."""
        return self.path / SOCKET_NAME


class RuntimeFolder:
    """The folder of this server, held until close()."""

    def __init__(self, name: str, path: Path, fd: int) -> None:
        self.name = name
        self.path = path
        self._fd = fd

    @classmethod
    def claim(cls, directory: Path, name: str) -> "RuntimeFolder":
        """Take the folder `name` in `directory`, made when missing; a dead server's is taken over, others' removed.

        Raises CannotStart when a live server has the name or the directory cannot be trusted, and OSError when
        nothing can be written there.
        """
        if not is_name(name):
            raise CannotStart(f"{name!r} cannot name a server; a name is {NAME_ALLOWED}")
        directory = directory.absolute()
        parent = _open_directory(directory)
        try:
            fd = _claim(parent, directory, name)
            try:
                _empty(fd)
                _write_pid(fd)
            except BaseException:
                os.close(fd)
                raise
            _sweep(parent)
        finally:
            os.close(parent)
        return cls(name, directory / name, fd)

    def fileno(self) -> int:
        """The descriptor that carries the lock: the master's alone."""
        return self._fd

    @property
    def socket_path(self) -> Path:
        """Where the control socket belongs."""
        return self.path / SOCKET_NAME

    def close(self) -> None:
        """Remove the folder and let go of the name. In the master only, once."""
        with contextlib.suppress(OSError):
            # Removed by hand meanwhile, and taken by another: then it is not ours to remove.
            if os.path.samestat(os.lstat(self.path), os.fstat(self._fd)):
                _empty(self._fd)
                os.rmdir(self.path)
        os.close(self._fd)

    def __enter__(self) -> "RuntimeFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def running(directory: Path) -> list[RunningServer]:
    """The servers that live in `directory`, by name: this user's, or everybody's for root.

    Raises OSError when there is a directory that cannot be looked into.
    """
    try:
        parent = os.open(directory, _FOLDER_FLAGS)
    except FileNotFoundError:
        return []
    try:
        found = [(name, _look(parent, name)) for name in sorted(os.listdir(parent)) if is_name(name)]
    finally:
        os.close(parent)
    return [RunningServer(name, pid, directory.absolute() / name) for name, (lives, pid) in found if lives]


def _look(parent: int, name: str) -> tuple[bool, int | None]:
    """Whether the folder is held, and by which process."""
    try:
        fd = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except OSError:
        return False, None
    try:
        if os.geteuid() not in (0, os.fstat(fd).st_uid) or _lock(fd, fcntl.LOCK_SH):
            return False, None
        return True, _read_pid(fd)
    finally:
        os.close(fd)


def _open_directory(directory: Path) -> int:
    """Open the directory, made when missing, if nobody else can exchange what is in it."""
    with contextlib.suppress(FileExistsError):
        os.makedirs(directory, mode=0o700)
    link = os.lstat(directory)
    try:
        fd = os.open(directory, _FOLDER_FLAGS)
    except NotADirectoryError as error:
        raise CannotStart(
            f"the runtime directory {directory} is not a directory; choose another --runtime-dir"
        ) from error
    held = os.fstat(fd)
    trusted = {0, os.geteuid()}
    stranger = next((found.st_uid for found in (link, held) if found.st_uid not in trusted), None)
    if stranger is not None:
        fault = f"belongs to uid {stranger}"
    elif held.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not held.st_mode & stat.S_ISVTX:
        fault = "can be written by others"
    else:
        return fd
    os.close(fd)
    raise CannotStart(f"the runtime directory {directory} {fault}; choose another --runtime-dir")


def _claim(parent: int, directory: Path, name: str) -> int:
    """The folder, locked."""
    pid = None
    for _ in range(_CLAIM_TRIES):
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        try:
            fd = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
        except FileNotFoundError:  # its last owner removed it in between
            continue
        except (NotADirectoryError, PermissionError) as error:
            # Linux reports a symbolic link here as ENOTDIR too.
            raise CannotStart(f"{directory / name} is not a folder of this user; choose another --name") from error
        owner = os.fstat(fd).st_uid
        if owner != os.geteuid():
            os.close(fd)
            raise CannotStart(f"{directory / name} belongs to uid {owner}; choose another --name")
        if _lock(fd, fcntl.LOCK_EX):
            if _is_current(fd, parent, name):
                return fd
            os.close(fd)
            continue
        pid = _read_pid(fd)
        os.close(fd)
        time.sleep(_CLAIM_PAUSE_SECONDS)
    who = f" (pid {pid})" if pid else ""
    raise CannotStart(f"a server named {name} runs already{who}; give this one another --name")


def _lock(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(fd: int, parent: int, name: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _empty(fd: int) -> None:
    for file in _FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file, dir_fd=fd)


def _write_pid(folder: int) -> None:
    fd = os.open(PID_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(fd, b"%d\n" % os.getpid())
    finally:
        os.close(fd)


def _read_pid(folder: int) -> int | None:
    try:
        fd = os.open(PID_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        return int(os.read(fd, 32))
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)


def _sweep(parent: int) -> None:
    """Remove the folders of dead servers. Only what looks like one: ours, with a pid in it, and nothing unknown."""
    for name in os.listdir(parent):
        with contextlib.suppress(OSError):
            fd = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
            try:
                known = set(os.listdir(fd))
                dead = PID_NAME in known and known <= set(_FILES) and os.fstat(fd).st_uid == os.geteuid()
                if dead and _lock(fd, fcntl.LOCK_EX) and _is_current(fd, parent, name):
                    _empty(fd)
                    os.rmdir(name, dir_fd=parent)
            finally:
                os.close(fd)
