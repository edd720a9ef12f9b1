# What is held against a server when the load is over.
#
#   exact        requests_total is the sum of the statuses, and the lines of the log and those it says were dropped
#   once         what a client has whole is logged once, with its status; what broke off, once at most
#   left behind  no descriptor after the load that was not there before; after the end no process, socket, semaphore,
#                shared memory, runtime file
"""Counts, log lines and leftovers against what clients saw."""

import os
import re
from collections import Counter
from pathlib import Path

import psutil

from tests.chaos.clients import Checkers, Wrk
from tests.chaos.ground import Ground
from tests.support.server import wait_for

_SETTLED_SECONDS = 20.0
_LINE = re.compile(rb'127\.0\.0\.1 - - \[[^]]+\] "GET (\S+) HTTP/1\.1" (\d{3}) (?:\d+|-) "-" "[^"]*"')
_NAMED = re.compile(rb"\?c=(\S+)$")
_UNAVAILABLE = 503
_SYSTEM_V = ("/proc/sysvipc/sem", "/proc/sysvipc/shm", "/proc/sysvipc/msg")


def shared_things() -> set[str]:
    """Named shared memory and semaphores of the system."""
    found = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    for table in _SYSTEM_V:
        if os.path.exists(table):
            found |= set(Path(table).read_text().splitlines()[1:])
    return found


def descriptors(process: psutil.Process) -> Counter[str]:
    """What a process has open, by kind."""
    found: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            found[re.sub(r"\d+", "N", os.readlink(f"/proc/{process.pid}/fd/{name}"))] += 1
        except FileNotFoundError:
            continue
    return found


def is_settled(ground: Ground) -> bool:
    """Whether nobody is connected, nothing waits, and every request is in the log or said to be missing there."""
    stats = ground.stats()
    if not stats or stats["connections_active"] or any(queue["depth"] for queue in stats["queue"]):
        return False
    lines = sum(path.read_bytes().count(b"\n") for path in ground.logs())
    return bool(stats["requests_total"] == lines + stats["log_dropped"])


def judge(ground: Ground, checkers: Checkers, wrk: Wrk, strikes: int) -> list[str]:
    """What is wrong, a line each. When the load is over."""
    found = [*ground.faults, *checkers.faults]
    try:
        wait_for(lambda: is_settled(ground), "as many lines as requests", _SETTLED_SECONDS)
    except AssertionError:
        stats = ground.stats()
        lines = sum(path.read_bytes().count(b"\n") for path in ground.logs())
        told = {name: stats.get(name) for name in ("requests_total", "log_dropped", "connections_active", "queue")}
        found.append(f"not settled: {lines} lines, and {told}")
    stats = ground.stats()
    if sum(stats["responses"].values()) != stats["requests_total"]:
        found.append(f"the sum of {stats['responses']} is not {stats['requests_total']}")
    found += _once(ground, checkers, wrk, strikes, bool(stats["log_dropped"]))
    words = ground.server.words()
    if words.count("Traceback") != (told_to := words.count("RuntimeError: it crashes at start, as it was told to")):
        found.append(f"tracebacks on stderr beside {told_to}:\n{words}")
    return found


def _once(ground: Ground, checkers: Checkers, wrk: Wrk, strikes: int, is_incomplete: bool) -> list[str]:
    """What is wrong with the lines of the log."""
    found: list[str] = []
    named: Counter[str] = Counter()
    statuses: dict[str, int] = {}
    of_wrk = 0
    for path in ground.logs():
        text = path.read_bytes()
        if text and not text.endswith(b"\n"):
            found.append(f"{path.name} ends within a line")
        for line in text.splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                found.append(f"{path.name}: a torn line: {line!r}")
            elif name := _NAMED.search(match[1]):
                named[name[1].decode()] += 1
                statuses[name[1].decode()] = int(match[2])
            elif match[1] == b"/small.bin?wrk" and match[2] == b"200":
                of_wrk += 1
    if twice := [name for name, times in named.items() if times > 1]:
        found.append(f"logged more than once: {twice[:10]}")
    # A refusal before the request is read is counted as such, and not logged.
    answered = {name: status for name, status in checkers.whole.items() if status != _UNAVAILABLE}
    if not is_incomplete and (missing := answered.keys() - named.keys()):
        found.append(f"{len(missing)} answered and not logged: {sorted(missing)[:10]}")
    if other := [name for name, status in answered.items() if statuses.get(name, status) != status]:
        found.append(f"logged with another status: {other[:10]}")
    good = wrk.report.good
    most = good + wrk.connections * (2 + 3 * strikes)
    if not is_incomplete and not good <= of_wrk <= most:
        found.append(f"wrk has {good} answers, and {of_wrk} of them are logged")
    return found
