# Many clients at once, in one thread: each connects, asks, and hears the answer out.
"""A crowd of clients, and what became of each."""

import errno
import itertools
import resource
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

from tests.support.server import Answer

# Descriptors that the test process needs beside those of the crowd.
_SPARE = 200
_GONE = frozenset({errno.ECONNRESET, errno.EPIPE})


class Client:
    """One of them. `outcome` is the status it was answered with, or a word for what happened instead."""

    def __init__(self, sock: socket.socket, request: bytes) -> None:
        self.sock = sock
        self.request = request
        self.received = b""
        self.asked = False
        self.outcome: int | str | None = None

    def judge(self) -> None:
        """The end of the stream: was it one whole answer?"""
        if not self.received:
            self.outcome = "closed without an answer"
            return
        answer = Answer(self.received)
        whole = len(answer.body) == int(answer.fields.get("content-length", -1))
        self.outcome = answer.status if whole else "half an answer"


class Crowd:
    """`number` clients of the server at `port`, each with one request on a connection of its own. To be closed.

    Where there are several requests, they take turns.
    """

    def __init__(self, port: int, number: int, *requests: bytes) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < number + _SPARE:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, number + _SPARE), hard))
        self._selector = selectors.EpollSelector()
        self.clients = []
        for request, _ in zip(itertools.cycle(requests), range(number), strict=False):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            client = Client(sock, request)
            self.clients.append(client)
            self._selector.register(sock, selectors.EVENT_WRITE, client)

    def ask(self, seconds: float = 10.0) -> Self:
        """Until all are connected and have asked; itself."""
        self._until(lambda: all(c.asked or c.outcome is not None for c in self.clients), seconds, "all to be connected")
        return self

    def hear(self, seconds: float = 15.0) -> Counter[int | str]:
        """How many clients had which outcome, once all have one."""
        self._until(lambda: all(c.outcome is not None for c in self.clients), seconds, "all to be answered")
        return self.outcomes()

    def outcomes(self) -> Counter[int | str]:
        """How many clients have had which outcome so far."""
        return Counter(c.outcome for c in self.clients if c.outcome is not None)

    def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"waited {seconds:g} s in vain for {what}: {self.outcomes()} of {len(self.clients)}"
            for key, _ in self._selector.select(min(left, 0.1)):
                self._go_on(key.data)

    def _go_on(self, client: Client) -> None:
        try:
            if not client.asked:
                client.sock.send(client.request)
                client.asked = True
                self._selector.modify(client.sock, selectors.EVENT_READ, client)
            elif piece := client.sock.recv(65536):
                client.received += piece
            else:
                client.judge()
        except OSError as error:
            client.outcome = "reset" if error.errno in _GONE else error.strerror
        if client.outcome is not None:
            self._selector.unregister(client.sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self._selector.close()
        for client in self.clients:
            client.sock.close()
