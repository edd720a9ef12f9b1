# The report's statistics file: six numbers, separated by commas, in its order.
#
# Rule: a reader never sees half of it: it is written beside its place and renamed over it.
"""The statistics file of `--stat-file`."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wsrv.engine.master.outcome import CannotStart
from wsrv.engine.shm.six import six_numbers

PERIOD_NS = 5_000_000_000


class StatFile:
    """Rewrites `path` with the six numbers of a statistics document; `warn` hears of the first failure in a row."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}")
        self._warn = warn
        self._complained = False
        self._due_ns = 0

    def begin(self, document: Mapping[str, Any]) -> None:
        """Write it for the first time. Raises CannotStart."""
        try:
            self._write(document)
        except OSError as error:
            raise CannotStart(f"cannot write the statistics file {self._path}: {error.strerror}") from error

    def tick(self, now_ns: int, document: Callable[[], Mapping[str, Any]]) -> None:
        """Write it when its time has come."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + PERIOD_NS
            self.update(document())

    def update(self, document: Mapping[str, Any]) -> None:
        """Write it now."""
        try:
            self._write(document)
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._warn(f"cannot write the statistics file {self._path}: {error.strerror}")
            return
        self._complained = False

    def _write(self, document: Mapping[str, Any]) -> None:
        text = ",".join(str(number) for number in six_numbers(document).values()) + "\n"
        try:
            self._beside.write_text(text, "ascii")
            os.replace(self._beside, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                self._beside.unlink()
            raise
