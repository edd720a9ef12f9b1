# Clients that are slow on purpose, by the hundred, and one beside them that is not.
"""Attacks by slowhttptest, and what a second client sees meanwhile."""

import socket
import subprocess
import time
from types import TracebackType
from typing import NamedTuple

# By what is slow: the options that choose it. What is read slowly must be more than sockets hold.
MODES = {
    "headers": ("-H", "-i", "1"),
    "body": ("-B", "-i", "1", "-t", "GET", "-s", "100000"),
    "ranges": ("-R", "-t", "GET", "-b", "1500"),
    "reading": ("-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3"),
}
TARGETS = {"headers": "/", "body": "/", "ranges": "/big", "reading": "/big"}
BIG_BYTES = 4_000_000
_REQUEST = b"GET /page HTTP/1.1\r\nHost: a\r\n"
_END_SECONDS = 10


class Attack:
    """slowhttptest with so many connections, `rate` of them new in a second, for so many seconds.

    It ends by itself when all its connections are closed, as soon as ranges are answered; then it is begun anew.
    """

    def __init__(self, mode: str, port: int, connections: int, seconds: int, rate: int) -> None:
        numbers = ("-c", str(connections), "-r", str(rate), "-l", str(seconds), "-p", "3", "-x", "10")
        self._command = ("slowhttptest", *MODES[mode], *numbers, "-u", f"http://127.0.0.1:{port}{TARGETS[mode]}")
        self._until = time.monotonic() + seconds
        self._process = self._begin()

    def _begin(self) -> "subprocess.Popen[bytes]":
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self._command, stdin=quiet, stdout=quiet, stderr=quiet)

    def goes_on(self) -> bool:
        """Whether its time is not over."""
        if time.monotonic() >= self._until:
            return False
        self.keep_up()
        return True

    def keep_up(self) -> None:
        """Begin it anew where it has ended."""
        if self._process.poll() is not None:
            self._process = self._begin()

    def __enter__(self) -> "Attack":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(_END_SECONDS)


class Seen(NamedTuple):
    """What the second client saw: how long each request took, and how many were not answered 200."""

    seconds: list[float]
    failed: int


def second_client(port: int, attack: Attack, pause_seconds: float = 0.0) -> Seen:
    """Ask until the attack is over, in turn on a connection of its own and on one that stays."""
    seconds, failed = [], 0
    kept: socket.socket | None = None
    while attack.goes_on():
        for stays in (True, False):
            began = time.monotonic()
            sock = kept if stays else None
            try:
                sock = sock or socket.create_connection(("127.0.0.1", port), 10)
                sock.sendall(_REQUEST + (b"\r\n" if stays else b"Connection: close\r\n\r\n"))
                answer = sock.recv(65536)
            except OSError:
                answer = b""
            seconds.append(time.monotonic() - began)
            failed += not answer.startswith(b"HTTP/1.1 200 ")
            if stays and answer:
                kept = sock
            elif sock is not None:
                sock.close()
                kept = None if stays else kept
        time.sleep(pause_seconds)
    if kept is not None:
        kept.close()
    return Seen(seconds, failed)
