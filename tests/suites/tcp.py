# Real TCP connections on loopback, as a master has them: accepted, non-blocking, each with its record.
"""TCP clients whose accepted ends can be sent through a transport."""

import os
import select
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from wsrv.engine.ipc.record import Arrival
from wsrv.engine.ipc.transport import Channel, ConnectionSource
from wsrv.testing.processes import BOUND_SECONDS, wait_readable

REFUSED = b"refused"


class Clients:
    """A listener, and the clients that have connected to it, by port."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._clients: dict[int, socket.socket] = {}

    def arrive(self, count: int) -> list[Arrival]:
        """So many new connections, accepted. Each record differs from all others in generation and port."""
        arrivals = []
        for _ in range(count):
            client = socket.create_connection(self._listener.getsockname(), timeout=BOUND_SECONDS)
            accepted, (host, port) = self._listener.accept()
            accepted.setblocking(False)
            self._clients[port] = client
            address = socket.inet_aton(host) + bytes(12)
            fields = (time.monotonic_ns(), len(self._clients), port, 7, int(socket.AF_INET), address)
            arrivals.append((accepted.detach(), fields))
        return arrivals

    def answer(self, arrival: Arrival, *channels: Channel) -> bytes:
        """All that the client of this arrival receives until the end; its own end is closed then.

        Meanwhile `channels` are settled, as a master does it; what comes back is answered with REFUSED.
        """
        port = arrival[1][2]
        received = b""
        settling = {fd: channel for channel in channels if (fd := channel.settle_fd()) is not None}
        with self._clients.pop(port) as client:
            poll = select.poll()
            for fd in (client.fileno(), *settling):
                poll.register(fd, select.POLLIN)
            while True:
                ready = dict(poll.poll(BOUND_SECONDS * 1000))
                assert ready, f"no end of the answer in {BOUND_SECONDS} s; so far {received!r}"
                for fd in settling.keys() & ready.keys():
                    refuse_all(settling[fd].settle())
                if client.fileno() in ready:
                    chunk = client.recv(4096)
                    if not chunk:
                        return received
                    received += chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for client in self._clients.values():
            client.close()


def copies(arrival: Arrival, count: int) -> list[Arrival]:
    """The same connection so many times, numbered by their generation: where only the number of them matters."""
    fd, (accept_ns, _, port, listener, family, address) = arrival
    return [(os.dup(fd), (accept_ns, i, port, listener, family, address)) for i in range(count)]


def refuse_all(arrivals: Sequence[Arrival]) -> None:
    """Write REFUSED to each connection and close it, as a master does with what a worker could not take."""
    for fd, _ in arrivals:
        os.write(fd, REFUSED)
        os.close(fd)


def close_all(arrivals: Sequence[Arrival]) -> None:
    """Close the descriptors."""
    for fd, _ in arrivals:
        os.close(fd)


def take_at_least(source: ConnectionSource, count: int) -> list[Arrival]:
    """Wait and take, as a worker's loop does, until so many have come."""
    taken: list[Arrival] = []
    while len(taken) < count:
        wait_readable(*source.fds())
        taken += source.take()
    return taken


def answer_of(arrival: Arrival) -> bytes:
    """What `answer_all` writes to this connection: its record."""
    return repr(arrival[1]).encode()


def answer_all(arrivals: Sequence[Arrival]) -> None:
    """Write its record to each connection and close it. Raises AssertionError when one belongs to another."""
    for fd, fields in arrivals:
        with socket.socket(fileno=fd) as connection:
            if connection.family != socket.AF_UNIX:
                assert connection.getpeername()[1] == fields[2], "the record is that of another connection"
            connection.send(answer_of((fd, fields)))
