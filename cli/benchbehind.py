# What is behind the answers: the server's CPU time, its statistics, and its log where it is one of bench's own.
#
# Rule: it begins when the warm-up is over and ends with the last answer, so that both sides speak of the same requests.
"""The server under test, looked at from inside."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from wsrv.cli import running
from wsrv.engine.bench import processes
from wsrv.engine.bench.joined import joined
from wsrv.engine.bench.slowest import slowest
from wsrv.engine.bench.workload import Target

# A log line is written some 50 ms after its request; a disk may be slow.
_LOG_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_CHUNK_BYTES = 1 << 20


class Subject(NamedTuple):
    """What is measured. `pid`: of the server, where it is on this machine; `running`: where it is one of wsrv's;
    `log`: where all of its log is in one file.
    """

    url: str
    target: Target
    pid: int | None = None
    running: Any = None
    log: Path | None = None


class Behind:
    """What `subject` does between begin() and end()."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._cpu_seconds = 0.0
        self._before: Mapping[str, Any] | None = None

    def begin(self) -> None:
        """What happened up to now does not count."""
        if self._subject.running:
            self._before = running.ask(self._subject.running, {"command": "stats"})
        if self._subject.pid:
            self._cpu_seconds = processes.cpu_seconds(self._subject.pid)

    def end(self, answers: int) -> dict[str, Any] | None:
        """The server's figures of a run of so many answers; None where nothing can be seen of it."""
        if not self._subject.pid:
            return None
        cpu_seconds = processes.cpu_seconds(self._subject.pid) - self._cpu_seconds
        found: dict[str, Any] = {"cpu_us_per_request": round(cpu_seconds / answers * 1e6, 2) if answers else None}
        if self._before is not None:
            after = running.ask(self._subject.running, {"command": "stats"})
            found |= joined(self._before, after)
            if self._subject.log is not None and _is_json(self._subject.log):
                found["slowest"] = _slowest(self._subject.log, self._before, after)
        return found


def _is_json(log: Path) -> bool:
    try:
        with log.open("rb") as file:
            return file.read(1) == b"{"
    except OSError:
        return False


def _slowest(log: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of the lines between two statistics: where the slowest come from. None where the log has other lines."""
    first, last = before["requests_total"], after["requests_total"]
    deadline = monotonic() + _LOG_SECONDS
    while (lines := _lines(log)) < last and monotonic() < deadline:
        sleep(_LOOK_SECONDS)
    if lines != last:
        return None
    with log.open("rb") as file:
        return slowest(islice(file, first, last))


def _lines(log: Path) -> int:
    with log.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(_CHUNK_BYTES), b""))
