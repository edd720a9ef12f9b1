# Workers accept on the listeners that they inherited; nobody stands between the kernel and a worker.
#
# Rule 1: the master holds the listeners and never accepts. There is no queue of ours: `--queue` bounds nothing here,
#   the kernel's backlog does, and a worker admits by the number of its live connections.
# Rule 2: EPOLLEXCLUSIVE wakes one worker or a few for a connection, not all (epoll_ctl(2)).
"""Transport `inherit`."""

import select
import socket
from collections.abc import Sequence
from typing import ClassVar

from wsrv.engine.ipc.accept import AcceptingSource
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.ipc.transport import Channel, ConnectionSource, Transport
from wsrv.plugins.hookspecs import hookimpl

# What several workers ask of one listener: that a connection wakes one of them.
SHARED = select.EPOLLIN | select.EPOLLEXCLUSIVE


class ListenerChannel:
    """A slot of a transport that does not dispatch: the `listeners` that its worker accepts on."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        events: int,
        own: Sequence[socket.socket] = (),
        numbers: Sequence[int] | None = None,
    ) -> None:
        """`own` are those that are this slot's alone, to be closed with it; `numbers` those of the listeners, when they
        are not as they stand."""
        self.lost = 0
        self.listeners = listeners
        self._numbers = numbers
        self._events = events
        self._own = own

    def send(self, batch: Sequence[Arrival]) -> int:
        """Nothing is ever sent."""
        raise AssertionError("the master does not dispatch with this transport")

    def depth(self) -> None:
        """The kernel queues, and does not say."""
        return

    def reclaim(self) -> list[Arrival]:
        """What waits in the kernel is taken by whichever worker accepts next."""
        return []

    def settle(self) -> list[Arrival]:
        """Nothing is under way between master and worker."""
        return []

    def settle_fd(self) -> None:
        """Nothing to wait for."""
        return

    def vacated(self) -> None:
        """A worker leaves nothing behind in its listeners."""

    def kept_fds(self) -> list[int]:
        """The listeners."""
        return [listener.fileno() for listener in self.listeners]

    def source(self) -> ConnectionSource:
        """The worker's end, on the listeners that it has inherited."""
        return AcceptingSource(self.listeners, self._events, self._numbers)

    def close(self) -> None:
        """Close the listeners that are this slot's own."""
        for listener in self._own:
            listener.close()


class Inherit:
    """Pre-fork servers of old: Apache's prefork, nginx without accept_mutex. EPOLLEXCLUSIVE: Linux 4.5."""

    NAME: ClassVar[str] = "inherit"
    DISPATCHES: ClassVar[bool] = False

    @classmethod
    def available(cls) -> str | None:
        """None: every Linux that wsrv runs on has it."""
        return None

    @classmethod
    def open(cls, listeners: Sequence[socket.socket], slots: int, capacity: int) -> list[Channel]:
        """One channel a slot, all on `listeners`, which stay the caller's."""
        return [ListenerChannel(listeners, SHARED) for _ in range(slots)]


@hookimpl
def wsrv_register_transports() -> list[type[Transport]]:
    return [Inherit]
