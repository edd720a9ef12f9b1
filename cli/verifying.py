# Requests that are sent while something is done to a server: what became of each.
#
#   half of the clients: a connection for each request     the others: one connection, for as long as the server lets it
#
# Rule: a request counts as dropped whenever it has no whole answer, and for an answer 503. A client that was told that
#       its connection ends comes again on another.
"""The probing behind `wsrv reload --verify`."""

import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any, Self
from urllib.parse import urlsplit

from wsrv.cli.exits import NO_SERVER, Stop

CLIENTS = 4
_TIMEOUT_SECONDS = 10.0
_PAUSE_SECONDS = 0.001
# How long workers of before are waited for: those that stream a large file may go on.
_MOST_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_UNAVAILABLE = 503
_UNIX = "unix:"
# Where a wildcard can be reached from here.
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class _OverUnix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def connection_to(listener: str) -> http.client.HTTPConnection:
    """A connection, not made yet, to a listener as statistics name it."""
    if listener.startswith(_UNIX):
        return _OverUnix(listener.removeprefix(_UNIX))
    parts = urlsplit(listener)
    host = (parts.hostname or "").replace("%25", "%")
    host = _REACHED_AT.get(host, host)
    if parts.scheme == "https":
        # Whether it answers is asked, not who it is.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, parts.port, timeout=_TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT_SECONDS)


class _Client(threading.Thread):
    """Asks one listener until it is told to stop; `keeps` its connection open where the server does."""

    def __init__(self, listener: str, keeps: bool, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._listener = listener
        self._keeps = keeps
        self._over = over
        self.requests = 0
        self.answers = 0
        self.dropped: Counter[str] = Counter()

    def run(self) -> None:
        connection = connection_to(self._listener)
        while not self._over.wait(_PAUSE_SECONDS):
            self.requests += 1
            try:
                connection.request("HEAD", "/", headers={} if self._keeps else {"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                self.answers += 1
                if answer.status == _UNAVAILABLE:
                    self.dropped["503"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.dropped[getattr(error, "strerror", None) or type(error).__name__] += 1
                connection.close()
        connection.close()


class Verification:
    """Clients that ask `listeners` from entering to leaving. Raises Stop when nobody answers in the first place."""

    def __init__(self, listeners: Sequence[str]) -> None:
        self._over = threading.Event()
        where = islice(cycle([one for one in listeners if not one.startswith("https://unix:")] or listeners), CLIENTS)
        self._clients = [_Client(one, number % 2 == 1, self._over) for number, one in enumerate(where)]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        until = time.monotonic() + _TIMEOUT_SECONDS
        while not all(client.answers for client in self._clients):
            if time.monotonic() >= until:
                self._end()
                raise Stop(NO_SERVER, "the server does not answer requests, so nothing can be verified")
            time.sleep(_LOOK_SECONDS)
        return self

    def until(self, condition: Callable[[], bool]) -> None:
        """Go on until it is so, but no longer than a while."""
        until = time.monotonic() + _MOST_SECONDS
        while not condition() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def __exit__(self, *how: object) -> None:
        self._end()

    def _end(self) -> None:
        self._over.set()
        for client in self._clients:
            client.join(_TIMEOUT_SECONDS)

    @property
    def requests(self) -> int:
        """How many there were so far."""
        return sum(client.requests for client in self._clients)

    def report(self) -> dict[str, Any]:
        """How many requests there were, and how many were dropped, by what became of them."""
        dropped: Counter[str] = Counter()
        for client in self._clients:
            dropped += client.dropped
        return {"requests": self.requests, "dropped": dict(dropped)}
