# The server that `wsrv bench` starts for itself: a process like any other `wsrv serve`, on a free port, with a folder
# of its own that goes when it goes.
"""A server under test."""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wsrv.cli.exits import CANNOT_START, Stop

PAGE_BYTES = 1024
_LISTENING = re.compile(r"listening on (http://\S+)")
_STOP_SECONDS = 30


class OwnServer:
    """`wsrv serve` with `options`, which may name a ROOT; without one it serves a page of PAGE_BYTES."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = list(options)
        self._folder = tempfile.TemporaryDirectory(prefix="wsrv-bench-")
        self._said: list[str] = []
        self.url = ""

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
        self._popen.send_signal(signal.SIGINT)
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        assert self._popen.stderr is not None
        self._popen.stderr.close()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """The master's."""
        return self._popen.pid

    @property
    def runtime_dir(self) -> str:
        """Where it can be asked."""
        return f"{self._folder.name}/run"

    def _start(self) -> None:
        folder = Path(self._folder.name)
        own = ["--port", "0", "--runtime-dir", self.runtime_dir, "--log-file", f"{folder}/access.log"]
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "wsrv.cli.main", "serve", *self._root(folder), *own, *self._options],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A Ctrl-C at the terminal is for whoever measures, not for what is measured.
            start_new_session=True,
        )
        assert self._popen.stderr is not None
        for line in self._popen.stderr:
            self._said.append(line.strip())
            if found := _LISTENING.search(line):
                self.url = found[1]
                break
        # What it says later nobody reads: it drops what would have to wait for a reader.
        if not self.url:
            self._popen.wait()
            self._popen.stderr.close()
            raise Stop(CANNOT_START, "\n".join(["the server does not start:", *self._said]))

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
