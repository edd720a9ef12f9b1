# Clients that believe nothing, wrk, and a look at whether anybody is served.
#
# Rule 1: every request of a checking client has a name of its own, `?c=CLIENT-NUMBER`, which stands in the log too.
# Rule 2: an answer that came whole is right to the byte, or it is a refusal; what did not come whole broke off.
# Rule 3: a 404 is right only while the root is away.
"""Load for a server to which things are done, and every answer accounted for."""

import contextlib
import random
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Self

from tests.support.checked import sealed_well
from tests.support.crowd import Crowd
from tests.support.server import Answer, read_answer

# More than a worker that stands still is given before it is replaced.
PATIENCE_SECONDS = 12.0
CHECKERS = 4
_REQUESTS_A_CONNECTION = 40
_PROBES = 4
# So many at once that no worker goes without one.
_WARMING = 60
_PROBE = b"GET /probe.bin?probe HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
_WRK_CONNECTIONS = 8


class Checkers:
    """Clients, a thread each, that ask for `targets` at random over connections that stay. A context manager."""

    def __init__(self, port: int, targets: Sequence[str], seed: str) -> None:
        self._port = port
        self._targets = targets
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on, args=(n, f"{seed}/{n}")) for n in range(CHECKERS)]
        # By name of the request, the status of its answer; only of those that came whole.
        self.whole: dict[str, int] = {}
        self.asked = 0
        self.errors: Counter[str] = Counter()
        self.faults: list[str] = []
        # Until when a 404 may be right.
        self.away_until = 0.0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, number: int, seed: str) -> None:
        chance, asked = random.Random(seed), 0
        while not self._enough.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), PATIENCE_SECONDS) as sock:
                    for _ in range(_REQUESTS_A_CONNECTION):
                        if self._enough.is_set():
                            break
                        asked += 1
                        if self._ask(sock, chance.choice(self._targets), f"{number}-{asked}"):
                            break
            except (OSError, AssertionError) as error:
                with self._lock:
                    self.errors[_word(error)] += 1
                # Nobody may be listening for a moment.
                self._enough.wait(0.005)
            except (ValueError, IndexError) as error:
                with self._lock:
                    self.faults.append(f"no HTTP: {error}")

    def _ask(self, sock: socket.socket, target: str, name: str) -> bool:
        """Ask once; whether the connection is closed with the answer. Raises OSError, AssertionError."""
        began = time.monotonic()
        with self._lock:
            self.asked += 1
        sock.sendall(f"GET {target}?c={name} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        answer = read_answer(sock)
        with self._lock:
            self.whole[name] = answer.status
            if fault := self._fault(answer, began < self.away_until):
                self.faults.append(f"{target}?c={name}: {fault}")
        return answer.fields.get("connection") == "close"

    @staticmethod
    def _fault(answer: Answer, root_is_away: bool) -> str:
        """What is wrong with an answer that came whole; "" when nothing is."""
        length = int(answer.fields.get("content-length", "-1"))
        if length != len(answer.body):
            return f"{answer.status} with {len(answer.body)} bytes where {length} were announced"
        if answer.status == 200:
            return "" if sealed_well(answer.body) else f"a body of {length} bytes that the file never had"
        if answer.status == 404 and root_is_away:
            return ""
        return "" if answer.status == 503 else f"answered {answer.status}"


def _word(error: Exception) -> str:
    """How a connection failed, for a table."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "reset" if isinstance(error, OSError) else "broken off"


class Report(NamedTuple):
    """What wrk says: answers of 2xx or 3xx, others, and sockets in trouble."""

    good: int
    others: int
    errors: int


class Wrk:
    """wrk, asking for `/small.bin?wrk`. A context manager; `report` is there after it."""

    connections = _WRK_CONNECTIONS

    def __init__(self, port: int, most_seconds: int) -> None:
        url = f"http://127.0.0.1:{port}/small.bin?wrk"
        options = ["-t1", f"-c{_WRK_CONNECTIONS}", f"-d{most_seconds}s", "--timeout", "12s"]
        self._command = ["wrk", *options, url]
        self.report = Report(0, 0, 0)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(2)
        said = self._process.communicate(timeout=30)[0]
        total = re.search(r"^ *(\d+) requests in ", said, re.MULTILINE)
        if total is None:
            raise AssertionError(f"wrk says nothing that we understand: {said}")
        others = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
        others_count = int(others[1]) if others else 0
        self.report = Report(
            int(total[1]) - others_count, others_count, sum(int(n) for n in errors.groups()) if errors else 0
        )


class Clock:
    """How late the machine lets a thread of ours go on, while it is looked. A context manager."""

    _STEP_SECONDS = 0.005

    def __init__(self) -> None:
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._look_on)
        self.late_seconds = 0.0

    def _look_on(self) -> None:
        while not self._enough.is_set():
            before = time.monotonic()
            time.sleep(self._STEP_SECONDS)
            self.late_seconds += max(0.0, time.monotonic() - before - self._STEP_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()


class Recovery(NamedTuple):
    """How long until everybody was served, and how much of that the machine let us wait."""

    seconds: float
    late_seconds: float


def recovery(port: int, most_seconds: float = 20.0) -> Recovery:
    """Wait until some who connect at the same time are all answered 200, each within a second.

    Raises AssertionError after `most_seconds`.
    """
    began = time.monotonic()
    outcomes: Counter[int | str] = Counter()
    with Clock() as clock:
        while time.monotonic() - began < most_seconds:
            with Crowd(port, _PROBES, _PROBE) as crowd:
                try:
                    outcomes = crowd.hear(1.0)
                except AssertionError:
                    outcomes = crowd.outcomes()
            if outcomes == {200: _PROBES}:
                return Recovery(time.monotonic() - began, clock.late_seconds)
            time.sleep(0.01)
    raise AssertionError(f"nobody is served {most_seconds:g} s after: {dict(outcomes)} of {_PROBES}")


def warm(port: int) -> None:
    """Have every worker hold what `recovery` asks for. Raises AssertionError when that is not answered."""
    with Crowd(port, _WARMING, _PROBE) as crowd:
        crowd.hear()


def rest_of(sock: socket.socket, head: bytes) -> bytes:
    """The body of a download that has begun with `head`, as far as it comes."""
    received = bytearray(head)
    with contextlib.suppress(OSError):
        while piece := sock.recv(1 << 18):
            received += piece
    return bytes(received.partition(b"\r\n\r\n")[2])
