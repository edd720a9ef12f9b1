# What a transport is.
#
# The master makes one Transport, and from it one Channel a worker slot, before the first fork. A Channel belongs to
# the slot, not to the process in it: what lies in it survives a worker's death and is taken by the successor.
# The worker knows only a ConnectionSource.
"""The protocols of a transport: Transport and Channel in the master, ConnectionSource in the worker."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from wsrv.engine.ipc.record import Arrival


class ConnectionSource(Protocol):
    """The worker's end: something to wait on, and what has arrived."""

    # Connections that were sent and never arrived, for want of descriptors.
    lost: int

    def fileno(self) -> int:
        """A descriptor that polls readable while there is something to take."""

    def take(self) -> list[Arrival]:
        """What has arrived, without waiting; empty when nothing has. The descriptors are the caller's from now on.

        They are non-blocking and close on exec.
        """

    def close(self) -> None:
        """Give the receiving end up."""


class Channel(Protocol):
    """The master's end of one worker slot."""

    def send(self, batch: Sequence[Arrival]) -> int:
        """Pass on as many as there is room for, from the front; how many. Those are the channel's: the caller
        must not close them. Never waits."""

    def depth(self) -> int:
        """Connections that were sent and not taken yet."""

    def reclaim(self) -> list[Arrival]:
        """Take back what has not been taken."""

    def kept_fds(self) -> list[int]:
        """The descriptors that a forked worker of this slot must not close."""

    def source(self) -> ConnectionSource:
        """The worker's end, called in the forked worker."""

    def close(self) -> None:
        """Close both ends. What still lies in the channel is closed with it."""


class Transport(Protocol):
    """A way for connections to get from the listener to the workers."""

    NAME: ClassVar[str]
    # Whether the master accepts and sends. If not, workers accept for themselves and send() is never called.
    DISPATCHES: ClassVar[bool]

    @classmethod
    def available(cls) -> str | None:
        """None, or in a sentence that a user can act on why this transport cannot work here."""

    @classmethod
    def channel(cls, capacity: int) -> Channel:
        """A channel in which up to `capacity` connections may wait. Raises OSError."""
