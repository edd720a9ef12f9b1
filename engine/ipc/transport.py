# What a transport is.
#
# The master makes one Transport, and from it one Channel a worker slot, before the first fork. A Channel belongs to
# the slot, not to the process in it: what lies in it survives a worker's death and is taken by the successor.
# With some the master does not dispatch: a channel then is what its worker accepts on.
# The worker knows only a ConnectionSource.
"""The protocols of a transport: Transport and Channel in the master, ConnectionSource in the worker."""

import socket
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from wsrv.engine.ipc.record import Arrival


class ConnectionSource(Protocol):
    """The worker's end: something to wait on, and what has arrived."""

    # Connections that were sent and never arrived, for want of descriptors.
    lost: int
    # What to ask epoll for: EPOLLIN, with EPOLLEXCLUSIVE where several workers wait on the same thing.
    events: int

    def fds(self) -> Sequence[int]:
        """The descriptors of which one polls readable while there is something to take: the same until close()."""

    def take(self) -> list[Arrival]:
        """What has arrived, without waiting; empty when nothing has. The descriptors are the caller's from now on.

        They are non-blocking and close on exec. Raises OSError when nothing could be taken for want of descriptors
        or memory, and still waits: it is worth another try in a moment.
        """

    def close(self) -> None:
        """Give the receiving end up."""


class Channel(Protocol):
    """The master's end of one worker slot."""

    @property
    def lost(self) -> int:
        """Connections that were dropped at the master's own limit of descriptors, while they were reclaimed."""

    def send(self, batch: Sequence[Arrival]) -> int:
        """Pass on as many as there is room for, from the front; how many. Those are the channel's: the caller
        must not close them. Never waits."""

    def depth(self) -> int | None:
        """Connections that were sent, and neither taken nor come back yet; None where the kernel queues and does not
        say. While no worker has the slot it is exact."""

    def reclaim(self) -> list[Arrival]:
        """Take back some of what has not been taken, to pass it on elsewhere; empty when nothing is left. The
        descriptors are the caller's again. A worker that takes meanwhile, or is stopped in it, gets others."""

    def settle_fd(self) -> int | None:
        """A descriptor that polls readable when settle() has something to do; None where it never has."""

    def settle(self) -> list[Arrival]:
        """Finish what the worker has answered for; what it could not take comes back, to be refused."""

    def vacated(self) -> None:
        """The worker of this slot is gone, or has closed its source: get what it was in the middle of ready for its
        successor. To be called before the successor is forked."""

    def kept_fds(self) -> list[int]:
        """The descriptors that a forked worker of this slot must not close."""

    def source(self) -> ConnectionSource:
        """The worker's end, called in the forked worker."""

    def close(self) -> None:
        """Close both ends. What still lies in the channel is closed with it. Where the master does not dispatch, it
        closes the channel as soon as it drains: workers that still listen go on."""


class Transport(Protocol):
    """A way for connections to get from the listener to the workers."""

    NAME: ClassVar[str]
    # Whether the master accepts and sends. If not, workers accept for themselves and send() is never called.
    DISPATCHES: ClassVar[bool]
    # A transport whose workers need ptrace rights over the master says TRACES = True: they then have its user, and one
    # sandbox with it.

    @classmethod
    def available(cls) -> str | None:
        """None, or in a sentence that a user can act on why this transport cannot work here."""

    @classmethod
    def open(cls, listeners: Sequence[socket.socket], slots: int, capacity: int) -> list[Channel]:
        """A channel for each of `slots` workers, in which up to `capacity` connections may wait. Raises OSError.

        `listeners`, one at least, listen already and stay the caller's: TCP ones and Unix ones. Where workers accept,
        a record names its listener by the place in this sequence.
        """


def succeed(
    transport: type[Transport],
    before: Sequence[Channel],
    listeners: Sequence[socket.socket],
    slots: int,
    capacity: int,
) -> list[Channel]:
    """Channels for workers that are to follow those of the channels `before`, which go on until they are closed.

    Nobody who waits in a listener that stays may be lost when they are. What a transport's class method
    `succeed(before, listeners, slots, capacity)` gives; `open` for one that has none, as most need none.

    Raises OSError.
    """
    find: Callable[..., list[Channel]] | None = getattr(transport, "succeed", None)
    if find is None:
        return transport.open(listeners, slots, capacity)
    return find(before, listeners, slots, capacity)
