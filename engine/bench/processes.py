# What a server costs, seen from outside: the CPU time of whoever listens, and of all its children (proc(5)).
"""Processes that listen, and their CPU time."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"
_PARENT, _USER_TICKS = 1, 11


def listening(port: int) -> int | None:
    """The process that listens on TCP `port` of this machine, the eldest of several; None where none can be seen."""
    inodes = {inode for family in ("tcp", "tcp6") for inode in _listeners(family, port)}
    found = [pid for pid in _pids() if inodes & set(_sockets(pid))] if inodes else []
    elders = [pid for pid in found if _stat(pid) is not None and int(_stat(pid)[_PARENT]) not in found]  # type: ignore[index]
    return min(elders, default=None)


def cpu_seconds(pid: int) -> float:
    """The CPU time so far, user and system, of `pid` and all that descends from it and still runs."""
    children: dict[int, list[int]] = {}
    stats = {each: stat for each in _pids() if (stat := _stat(each)) is not None}
    for each, stat in stats.items():
        children.setdefault(int(stat[_PARENT]), []).append(each)
    family, seconds = [pid], 0.0
    for member in family:
        family += children.get(member, ())
        if member in stats:
            ticks = sum(map(int, stats[member][_USER_TICKS : _USER_TICKS + 2]))
            # Ticks are coarse, and know of threads that have ended.
            seconds += max(ticks * _TICK_SECONDS, run_ns(member) / 1e9)
    return seconds


def run_ns(pid: int) -> int:
    """What the threads of a process have run (sched-stats.rst); 0 where the kernel does not say."""
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())
    except (OSError, IndexError):
        return 0


def _listeners(family: str, port: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            column = line.split()
            if column[3] == _LISTENING and int(column[1].rpartition(":")[2], 16) == port:
                yield column[9]


def _sockets(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}")):
                    yield found[1]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """The columns of /proc/PID/stat behind the name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
