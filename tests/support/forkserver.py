# Starting Python and importing the program is four fifths of what a short command costs, and half of a server. Here one
# process imports it, once, and each run is a fork of that: a process with an end, descriptors, an environment and a
# folder of its own.
#
# A request is a message of JSON, with four descriptors: where to answer, and the three standard ones. What comes back
# is the pid, and when the run has ended its wait status, 8 bytes each, little endian.
#
# Rule 1: the fork server does nothing but import and fork. It has one thread, and keeps nothing of a run.
# Rule 2: who asks about the start itself (what is imported when, interpreters, closed descriptors, wrappers) does not
#   come here: tests/support/launch.py and PROGRAM of tests/cli/program.py start the program anew.
"""Runs of `wsrv` that are forked from a process which has imported it."""

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_NUMBER_BYTES = 8
_REQUEST_BYTES = 256 * 1024
_ROOMS = ("wsrv.cli", "wsrv.engine", "wsrv.plugins")
_REPOSITORY = Path(__file__).parent.parent.parent
_PATIENCE_SECONDS = 20.0


class ForkServer:
    """The process that runs are forked from, a child of ours until close()."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._interpreter = _interpreter(os.environ)
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._popen = subprocess.Popen(
                command, cwd=_REPOSITORY, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )

    def close(self) -> None:
        """Wait for its end. What still runs is told to end."""
        self._socket.close()
        self._popen.wait(_PATIENCE_SECONDS)

    def run(
        self, arguments: Sequence[str], streams: tuple[int, int, int], environment: Mapping[str, str], folder: Path
    ) -> "Run":
        """Run `wsrv ARGUMENTS` with these standard streams.

        Raises ValueError where an interpreter would not start in this environment as it has here.
        """
        if _interpreter(environment) != self._interpreter:
            raise ValueError("another interpreter, or another language")
        there = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._socket, [json.dumps(there).encode()], [theirs.fileno(), *streams])
        return Run(ours)


class Run:
    """One run of the program, until close()."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.pid = self._number(_PATIENCE_SECONDS)

    def has_ended(self) -> bool:
        """Whether it has."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def wait(self, seconds: float) -> int:
        """Its exit status, negative for a signal, once it has ended. Raises TimeoutError."""
        return os.waitstatus_to_exitcode(self._number(seconds))

    def close(self) -> None:
        """Let go of it; it is not ended."""
        self._socket.close()

    def _number(self, seconds: float) -> int:
        if not select.select([self._socket], [], [], seconds)[0]:
            raise TimeoutError(f"it has not ended within {seconds:g} s")
        # os.read, because what goes through socket.recv is taken for HTTP.
        found = os.read(self._socket.fileno(), _NUMBER_BYTES)
        assert len(found) == _NUMBER_BYTES, "the fork server has ended"
        return int.from_bytes(found, "little")


@functools.cache
def forkserver() -> ForkServer:
    """The one of this process, ended with it. tests/conftest.py calls it before any test."""
    made = ForkServer()
    atexit.register(made.close)
    return made


def completed(
    *arguments: str, environment: Mapping[str, str], folder: Path | None = None, seconds: float = _PATIENCE_SECONDS
) -> "subprocess.CompletedProcess[str]":
    """`wsrv ARGUMENTS`, come to its end. Raises ValueError as ForkServer.run does, and subprocess.TimeoutExpired."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as nothing:
        streams = (nothing.fileno(), out.fileno(), err.fileno())
        run = forkserver().run(arguments, streams, environment, folder or Path.cwd())
        try:
            status = run.wait(seconds)
        except TimeoutError:
            os.kill(run.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["wsrv", *arguments], seconds) from None
        finally:
            run.close()
        said = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
    return subprocess.CompletedProcess(["wsrv", *arguments], status, *said)


def _interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that decide how Python starts, but for the folders that it imports from."""
    decisive = ("PYTHON", "LANG", "LC_")
    return {k: v for k, v in environment.items() if k.startswith(decisive) and k != "PYTHONPATH"}


# In the fork server, and in what it forks.


def _import_all() -> None:
    """Import the program, every room of it."""
    for room in _ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(found.name)


def _serve(requests: socket.socket) -> list[str]:
    """Fork for each request until nobody can ask any more. Returns in a fork only: its arguments."""
    running: dict[int, tuple[int, socket.socket]] = {}
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd != requests.fileno():
                poll.unregister(fd)
                _reap(fd, *running.pop(fd))
                continue
            message, fds, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 4)
            if not message:  # the tests have ended, or were killed before they could end what they started
                for pid, _ in running.values():
                    os.kill(pid, signal.SIGTERM)
                sys.exit()
            pid = os.fork()
            if pid == 0:
                return _become(json.loads(message), fds[1:])
            for given in fds[1:]:
                os.close(given)
            reply = socket.socket(fileno=fds[0])
            pidfd = os.pidfd_open(pid)
            running[pidfd] = pid, reply
            poll.register(pidfd, select.POLLIN)
            _tell(reply, pid)


def _reap(pidfd: int, pid: int, reply: socket.socket) -> None:
    os.close(pidfd)
    _tell(reply, os.waitpid(pid, 0)[1])
    reply.close()


def _tell(reply: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody asks any more
        reply.sendall(number.to_bytes(_NUMBER_BYTES, "little"))


def _become(request: dict[str, Any], streams: list[int]) -> list[str]:
    """Be as a program that was just started so; its arguments."""
    gc.unfreeze()
    for number, fd in enumerate(streams):
        os.dup2(fd, number, inheritable=True)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["environment"])
    after = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:] = ["", *after, *(folder for folder in sys.path[1:] if folder not in before)]
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = _stream(0, "strict")
    sys.stdout = _stream(1, "strict")
    sys.stderr = _stream(2, "backslashreplace", line_buffering=True)
    arguments: list[str] = request["arguments"]
    return arguments


def _stream(fd: int, errors: str, line_buffering: bool = False) -> io.TextIOWrapper:
    """A standard stream, made as the interpreter makes it."""
    raw = io.FileIO(fd, "w" if fd else "r", closefd=False)
    buffer: Any = io.BufferedWriter(raw) if fd else io.BufferedReader(raw)
    return io.TextIOWrapper(buffer, errors=errors, line_buffering=line_buffering or raw.isatty())


def _end(status: Any) -> NoReturn:
    """End as the interpreter does, but for taking every module apart: that would copy each page of them."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    gc.collect()
    gc.freeze()
    sys.argv = ["wsrv", *_serve(socket.socket(fileno=int(sys.argv[1])))]
    from wsrv.cli.main import main

    try:
        main()
    except SystemExit as end:
        _end(end.code)


if __name__ == "__main__":
    _main()
