# A server whose streams and end are the test's own business: the program started anew, as a plain child process.
"""Starting `wsrv serve` where its output, its exit status or its surroundings matter."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from tests.support.processes import children
from tests.support.server import START_SECONDS, STOP_SECONDS, WSRV, Server, wait_for

_LISTENING = re.compile(r"listening on https?://\S+:(\d+)\n")
_OWN_VARIABLES = ("WSRV_", "NO_COLOR", "FORCE_COLOR", "RUNTIME_DIRECTORY")


def environment(**more: str) -> dict[str, str]:
    """Our environment without what would change how the server behaves, and `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)} | more


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that only waits to be reaped by its new parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def wait_until_gone(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Fails naming those that still run after `seconds`."""
    waiting = list(processes)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not any(lives(p) for p in waiting), "the end of all processes", seconds)
    assert not (left := [p for p in waiting if lives(p)]), f"still there after {seconds:g} s: {left}"


def unshare(*what: str) -> list[str]:
    """The command that runs another one in new namespaces, with the rights of root in them.

    Skips the test where the system permits nobody to make them; in CI that fails it, and says so.
    """
    command = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), *what]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=20)
    if probe.returncode != 0:
        pytest.skip(f"no namespaces can be made here: {probe.stderr.strip()}")
    return command


class Launched(Server):
    """A server that runs as our child, or as the child of a wrapper that is."""

    def __init__(self, popen: "subprocess.Popen[bytes]", pid: int, port: int, log: Path, runtime: Path, said: Path):
        super().__init__(pid, port, log, runtime, said)
        self.popen = popen
        self._socks: list[socket.socket] = []

    def connect(self, timeout_seconds: float = 10.0) -> socket.socket:
        """A connection to it, closed at the end of the test at the latest."""
        sock = super().connect(timeout_seconds)
        self._socks.append(sock)
        return sock

    def disconnect(self) -> None:
        """Close the connections that are left."""
        for sock in self._socks:
            sock.close()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def status(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit status, once it has ended; negative for a signal."""
        return self.popen.wait(seconds)

    def status_after_term(self) -> int:
        """Its exit status, once it has ended after a SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.status()

    def family(self) -> list[psutil.Process]:
        """The server and all its children."""
        return [self.process, *children(self.process, recursive=True)]

    def words(self) -> str:
        """What it has said on stderr."""
        return self.said.read_text()

    def assert_nothing_left(self, family: Iterable[psutil.Process], seconds: float = STOP_SECONDS) -> None:
        """No process, no runtime folder, no socket: neither a Unix one nor one that holds the port."""
        wait_until_gone(family, seconds)
        assert os.listdir(self.runtime) == []
        assert str(self.runtime) not in Path("/proc/net/unix").read_text()
        with socket.socket() as successor:
            successor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            successor.bind(("127.0.0.1", self.port))


class Launcher:
    """Starts servers, or lets them fail to start; ends what still runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._popens: list[subprocess.Popen[bytes]] = []
        self._launched: list[Launched] = []
        self.runtime = folder / "run"

    def process(
        self,
        arguments: Iterable[str],
        *,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        closed: tuple[int, ...] = (),
        cwd: Path | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a program; the standard descriptors in `closed` are not open in it."""
        command = list(arguments)
        if closed:
            closing = " ".join(f"{fd}>&-" for fd in closed)
            command = ["sh", "-c", f'exec "$@" {closing}', "sh", *command]
        popen = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=env or environment(), cwd=cwd or self._folder
        )
        self._popens.append(popen)
        return popen

    def arguments(self, root: Path, *options: str, log: Path | None = None) -> list[str]:
        """The command of a server where `options` say, or on a free port."""
        place = () if "--listen" in options else ("--port", "0")
        places = (*place, "--runtime-dir", str(self.runtime), "--log-file", str(log or "-"))
        return [*WSRV, "serve", str(root), *places, *options]

    def __call__(
        self,
        root: Path,
        *options: str,
        wrapper: Iterable[str] = (),
        command: Iterable[str] | None = None,
        find: Callable[[psutil.Process], psutil.Process] = lambda process: process,
        **streams: Any,
    ) -> Launched:
        """Start a server and wait until it says that it listens.

        `wrapper` comes before the command; `find` gets from our child to the server then.
        """
        number = len(self._popens)
        log, said = self._folder / f"access-{number}.log", self._folder / f"said-{number}"
        arguments = [*wrapper, *(command or self.arguments(root, *options, log=log))]
        with said.open("wb") as stderr:
            popen = self.process(arguments, stderr=stderr, **streams)

        def port() -> int | None:
            found = _LISTENING.search(said.read_text())
            assert found or popen.poll() is None, f"ended with {popen.returncode}: {said.read_text()}"
            return int(found[1]) if found else None

        found = wait_for(port, "the line that it listens", START_SECONDS)
        assert found is not None
        pid = find(psutil.Process(popen.pid)).pid
        return self.adopt(Launched(popen, pid, found, log, self.runtime, said))

    def adopt(self, server: Launched) -> Launched:
        """Look after its connections too."""
        self._launched.append(server)
        return server

    def failing(self, root: Path, *options: str, log: Path | None = None) -> tuple[int, str]:
        """The exit status and the words of a server that does not start."""
        popen = self.process(self.arguments(root, *options, log=log), stdout=subprocess.PIPE)
        written, said = popen.communicate(timeout=START_SECONDS)
        assert written == b""
        return popen.returncode, said.decode()

    def end(self) -> None:
        """End what still runs, and close our ends of its streams and connections."""
        for server in self._launched:
            server.disconnect()
        for popen in self._popens:
            if popen.poll() is None:
                for process in [psutil.Process(popen.pid), *children(psutil.Process(popen.pid), recursive=True)]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            popen.wait(STOP_SECONDS)
            for stream in (popen.stdin, popen.stdout, popen.stderr):
                if stream is not None:
                    stream.close()


def driver(setting_up: str, **names: Path) -> list[str]:
    """A program that calls serve() itself: `setting_up` may change `parts` and `settings` before."""
    told = "\n".join(f"{name} = Path({str(path)!r})" for name, path in names.items())
    return [sys.executable, "-c", f"{_DRIVER_BEGIN}\n{told}\n{_DRIVER_SETTINGS}\n{setting_up}\n{_DRIVER_END}"]


_DRIVER_BEGIN = """
import sys
from dataclasses import replace
from pathlib import Path
from wsrv.cli.voice import TerminalVoice, complain
from wsrv.engine.master.master import Parts, serve
from wsrv.engine.master.outcome import CannotStart
from wsrv.engine.settings import *
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.primitives.posix import Posix
from wsrv.plugins.transports.socketpair import Socketpair
"""
_DRIVER_SETTINGS = """
parts = Parts(Socketpair, Posix, Lru)
settings = Settings(
    SiteSettings(root, root), RuntimeSettings(runtime), (ListenSettings(port=0),),
    ProcessSettings(workers=2), log=LogSettings(str(log)),
)
"""
_DRIVER_END = """
try:
    serve(settings, parts, TerminalVoice(verbose=True))
except CannotStart as error:
    complain(str(error))
    sys.exit(5)
"""
