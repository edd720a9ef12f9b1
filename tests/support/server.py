# A real server for a test: a process of its own, asked through sockets, stopped and looked after.
"""Starting `wsrv serve` and talking to it."""

import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
from xprocess import ProcessStarter, XProcess

from tests.support.forkserver import forkserver
from tests.support.processes import children
from wsrv.cli import running

WSRV = (sys.executable, "-c", "from wsrv.cli.main import main; main()")
# A server's pid, what it says on stderr, and how to let go of it when it has ended.
_Started = tuple[int, Path, Callable[[], None]]
_LISTENING = re.compile(r"listening on (https?://\S+:(\d+))")
START_SECONDS = 20
STOP_SECONDS = 15

Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], what: str, seconds: float = 10.0) -> Found:
    """The first true value of `condition`; fails naming `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for: {what}"
        pause.wait(0.01)
    return found


class Server:
    """A server that runs. Its access log is the file `log`."""

    def __init__(self, pid: int, port: int, log: Path, runtime: Path, said: Path) -> None:
        self.pid = pid
        self.port = port
        self.log = log
        self.runtime = runtime
        self.said = said
        self.process = psutil.Process(pid)
        self.url = f"http://127.0.0.1:{port}"

    def connect(self, timeout_seconds: float = 10.0) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_seconds)

    def say(self, raw: bytes, timeout_seconds: float = 10.0) -> bytes:
        """Everything it answers to `raw` before it closes the connection."""
        with self.connect(timeout_seconds) as sock:
            sock.sendall(raw)
            return read_all(sock)

    def get(self, target: str, *fields: str, method: str = "GET") -> "Answer":
        """The answer to one request on a connection of its own."""
        lines = (f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *fields, "", "")
        return Answer(self.say("\r\n".join(lines).encode("latin-1")))

    def stats(self) -> dict[str, Any]:
        """What `wsrv stats --json` prints, asked for as that does, without the start of a program."""
        return running.ask(running.find(str(self.port), str(self.runtime)), {"command": "stats"})

    def log_lines(self, number: int) -> list[str]:
        """The lines of the access log, once there are `number` of them."""
        wait_for(lambda: self.log.read_bytes().count(b"\n") >= number, f"{number} log lines")
        return self.log.read_text("latin-1").splitlines()

    def workers(self) -> list[psutil.Process]:
        """The worker processes, by slot."""
        return children(self.process, "wsrv: worker")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it with a signal and wait for the end."""
        family = [self.process, *children(self.process, recursive=True)]
        self.process.send_signal(number)
        _, alive = psutil.wait_procs(family, STOP_SECONDS)
        assert not alive, f"still there {STOP_SECONDS} s after {number.name}: {alive}"


class Answer:
    """A response, taken apart. `raw` must hold exactly one."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status_line.split(" ")[1]) if raw else 0
        self.fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def read_all(sock: socket.socket) -> bytes:
    """All bytes until the other side closes."""
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_answer(sock: socket.socket) -> Answer:
    """One response with a Content-Length, off a connection that stays open."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        piece = sock.recv(65536)
        assert piece, f"closed in the middle of a head: {raw!r}"
        raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    found = re.search(rb"\r\nContent-Length: (\d+)", head)
    left = int(found[1]) - len(body) if found and not head.startswith(b"HTTP/1.1 304") else 0
    while left > 0:
        piece = sock.recv(65536)
        assert piece, "closed in the middle of a body"
        raw += piece
        left -= len(piece)
    return Answer(raw)


class Servers:
    """Starts servers and ends them: `servers(root, "--workers", "1")`. Forked, or with `xprocess` started anew."""

    def __init__(self, folder: Path, xprocess: XProcess | None = None) -> None:
        self._folder = folder
        self._xprocess = xprocess
        self._ends: list[Callable[[], None]] = []

    def __call__(self, root: Path, *options: str) -> Server:
        """`wsrv serve root` where `options` say, or on a free port, once it listens."""
        number, runtime = len(self._ends), self._folder / "run"
        log = self._folder / f"wsrv-{number}.log"
        place = () if "--listen" in options else ("--port", "0")
        command = ("serve", str(root), *place, "--runtime-dir", str(runtime), "--log-file", str(log), *options)
        if self._xprocess is None:
            pid, said, end = self._fork(command, self._folder / f"wsrv-{number}.said")
        else:
            pid, said, end = _start(self._xprocess, f"wsrv-{os.getpid()}-{self._folder.name}-{number}", command)
        found = _LISTENING.search(said.read_text())
        assert found is not None, "it said that it listens"
        server = Server(pid, int(found[2]), log, runtime, said)

        def stop() -> None:
            if server.process.is_running() and server.process.status() != psutil.STATUS_ZOMBIE:
                server.stop()
            end()

        self._ends.append(stop)
        return server

    def _fork(self, command: Sequence[str], said: Path) -> _Started:
        with said.open("wb") as stderr, open(os.devnull, "r+b") as nothing:
            streams = (nothing.fileno(), nothing.fileno(), stderr.fileno())
            run = forkserver().run(command, streams, os.environ, self._folder)

        def listening() -> bool:
            ended = run.has_ended()
            listens = _LISTENING.search(said.read_text()) is not None
            assert listens or not ended, f"ended: {said.read_text()}"
            return listens

        try:
            wait_for(listening, "the line that it listens", START_SECONDS)
        except AssertionError:
            run.close()
            raise
        return run.pid, said, run.close

    def end(self) -> None:
        """Stop what still runs."""
        for end in self._ends:
            end()


def _start(xprocess: XProcess, name: str, command: Sequence[str]) -> _Started:
    class Starter(ProcessStarter):  # type: ignore[misc]  # xprocess ships no types
        pattern = "listening on https?://"
        timeout = START_SECONDS
        args = (*WSRV, *command)
        terminate_on_interrupt = True

    pid, said = xprocess.ensure(name, Starter)
    return pid, Path(said), partial(_forget, xprocess, name)


def _forget(xprocess: XProcess, name: str) -> None:
    """Give back what xprocess holds for a process that has ended: it would keep it until the end of the session."""
    info = xprocess.getinfo(name)
    for resource in [r for r in xprocess.resources if r.info and r.info[0].name == name]:
        resource.popen.wait(STOP_SECONDS)
        resource.release()
        xprocess.resources.remove(resource)
    xprocess.config.__dict__["_extlogfiles"].pop(name, None)
    info.controldir.remove(ignore_errors=True)
