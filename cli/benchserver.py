# The server that `wsrv bench` starts for itself: a process like any other `wsrv serve`, on a free port, with a folder
# of its own that goes when it goes.
"""A server under test."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from wsrv.cli import running
from wsrv.cli.exits import CANNOT_START, Stop

if TYPE_CHECKING:
    from wsrv.engine.master.runtime import RunningServer

PAGE_BYTES = 1024
_START_SECONDS = 60
_LOOK_SECONDS = 0.02
_STOP_SECONDS = 30
_OWN_PREFIX = "wsrv: "


class OwnServer:
    """`wsrv serve` with `options`, which may name a ROOT; without one it serves a page of PAGE_BYTES."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = list(options)
        self._folder = tempfile.TemporaryDirectory(prefix="wsrv-bench-")
        self.url = ""
        self.running: RunningServer | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._popen.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_STOP_SECONDS)
        finally:
            # Too slow, or somebody is in a hurry.
            self._end()

    @property
    def pid(self) -> int:
        """The master's."""
        return self._popen.pid

    @property
    def runtime_dir(self) -> str:
        """Where it can be asked."""
        return f"{self._folder.name}/run"

    @property
    def log(self) -> Path:
        """Its access log, unless the options say that it is elsewhere."""
        return Path(self._folder.name) / "access.log"

    def _start(self) -> None:
        folder = Path(self._folder.name)
        first = ["--port", "0", "--log-file", str(self.log)]
        # What comes last counts: it is found there, whatever else the options say.
        last = ["--runtime-dir", self.runtime_dir]
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "wsrv.cli.main", "serve", *self._root(folder), *first, *self._options, *last],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A Ctrl-C at the terminal is for whoever measures, not for what is measured.
            start_new_session=True,
        )
        try:
            self._await()
        except BaseException:
            self._end()
            raise

    def _await(self) -> None:
        """Wait until it answers. What it says meanwhile is read only if it ends; it drops what would have to wait."""
        deadline = monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_LOOK_SECONDS)
                raise Stop(CANNOT_START, f"the server of its own does not start: {self._last_words()}")
            if listeners := self._listeners():
                break
            if monotonic() > deadline:
                raise Stop(CANNOT_START, f"the server of its own does not answer within {_START_SECONDS} s")
        # Without TLS, where there is a choice.
        self.url = min(listeners, key=lambda listener: listener.startswith("https:"))

    def _listeners(self) -> list[str]:
        """Where it listens, once all its workers are at work."""
        try:
            there = running.servers(self.runtime_dir)
            if not there:
                return []
            statistics = running.ask(there[0], {"command": "stats"})
        except Stop:
            return []
        if not all(worker["heartbeat_age_seconds"] is not None for worker in statistics["workers"]):
            return []
        self.running = there[0]
        return list(statistics["listeners"])

    def _last_words(self) -> str:
        assert self._popen.stderr is not None
        lines = [line.strip().removeprefix(_OWN_PREFIX) for line in self._popen.stderr]
        faults = [line for line in lines if not line.startswith(("warning: ", "try: "))]
        return "; ".join(faults) or f"it ends with status {self._popen.returncode}"

    def _end(self) -> None:
        """What is left of it goes."""
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        assert self._popen.stderr is not None
        self._popen.stderr.close()
        self._folder.cleanup()

    def _root(self, folder: Path) -> list[str]:
        if _names_a_root(self._options):
            return []
        root = folder / "root"
        root.mkdir()
        (root / "index.html").write_bytes(b"<!DOCTYPE html><title>.</title>".ljust(PAGE_BYTES, b"\n"))
        return [str(root)]


def _names_a_root(options: Sequence[str]) -> bool:
    """Whether among the options of `wsrv serve` there is a ROOT."""
    from wsrv.cli.serve import command

    context: Any = command.make_context("serve", list(options), resilient_parsing=True)
    return context.params.get("site_root") is not None
