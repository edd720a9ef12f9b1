# A listener a worker, all on one address; the kernel shares connections out by a hash of their addresses.
#
# Rule 1: the master makes and holds all listeners, so connections that wait for a worker survive it.
# Rule 2: the first listener is bound without SO_REUSEPORT, so that an address in use is refused as ever and a second
#   server is not mixed in; then the option is set on it, and the others join.
# Rule 3: a path has one listener, so workers share a Unix one, as with `inherit`.
# Rule 4: a listener is never closed while its address stays: who waits in it would be reset. When workers follow
#   others, each listener goes on with one of them.
"""Transport `reuseport`."""

import os
import select
import socket
from collections.abc import Sequence
from typing import ClassVar

from wsrv.engine.ipc.transport import Channel, Transport
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.transports.inherit import SHARED, ListenerChannel

# The kernel cuts it at net.core.somaxconn.
_BACKLOG = 65_535
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT),
)


def _sibling(listener: socket.socket) -> socket.socket:
    """Another listener on the same address, with the same options. Raises OSError."""
    sibling = socket.socket(listener.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        for level, option in _OPTIONS:
            sibling.setsockopt(level, option, listener.getsockopt(level, option))
        if listener.family == socket.AF_INET6:
            only = listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            sibling.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sibling.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sibling.bind(listener.getsockname())
        sibling.listen(_BACKLOG)
    except OSError:
        sibling.close()
        raise
    return sibling


class Reuseport:
    """SO_REUSEPORT (socket(7), Linux 3.9), as nginx `reuseport`. Uneven with few clients: a hash decides."""

    NAME: ClassVar[str] = "reuseport"
    DISPATCHES: ClassVar[bool] = False

    @classmethod
    def available(cls) -> str | None:
        """None, unless the kernel knows no SO_REUSEPORT, as some sandboxes' do not."""
        with socket.socket() as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            except OSError as error:
                return f"the kernel refuses SO_REUSEPORT ({error.strerror}); use another --ipc"
        return None

    @classmethod
    def open(cls, listeners: Sequence[socket.socket], slots: int, capacity: int) -> list[Channel]:
        """For each slot a listener of its own in the place of each TCP one, and the Unix ones, which all share.

        The first slot's own ones are `listeners`, which stay the caller's. Raises OSError.
        """
        for listener in listeners:
            if listener.family != socket.AF_UNIX:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return _share_out([], listeners, slots)

    @classmethod
    def succeed(
        cls, before: Sequence[Channel], listeners: Sequence[socket.socket], slots: int, capacity: int
    ) -> list[Channel]:
        """Every listener of theirs goes on with one of the new slots: with fewer slots, some have several.

        Raises OSError.
        """
        for listener in listeners:
            if listener.family != socket.AF_UNIX:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        mains = {os.fstat(listener.fileno()).st_ino for listener in listeners}
        held = [one for channel in before if isinstance(channel, ListenerChannel) for one in channel.listeners]
        siblings = {os.fstat(one.fileno()).st_ino: one for one in held if one.family != socket.AF_UNIX}
        return _share_out([one for inode, one in siblings.items() if inode not in mains], listeners, slots)


def _share_out(held: Sequence[socket.socket], listeners: Sequence[socket.socket], slots: int) -> list[Channel]:
    """Channels on `listeners`, on those of their siblings that there are, `held`, and on new ones where they are too
    few. Raises OSError."""
    events = SHARED if any(listener.family == socket.AF_UNIX for listener in listeners) else select.EPOLLIN
    parts: list[list[socket.socket]] = [[] for _ in range(slots)]
    numbers: list[list[int]] = [[] for _ in range(slots)]
    own: list[list[socket.socket]] = [[] for _ in range(slots)]
    try:
        for number, listener in enumerate(listeners):
            if listener.family == socket.AF_UNIX:
                group = [listener] * slots
            else:
                # Copies: those who hold them now close theirs when they like.
                kin = [one.dup() for one in held if one.getsockname() == listener.getsockname()]
                for place, sibling in enumerate(kin, 1):
                    own[place % slots].append(sibling)
                for place in range(len(kin) + 1, slots):
                    kin.append(_sibling(listener))
                    own[place].append(kin[-1])
                group = [listener, *kin]
            for place, one in enumerate(group):
                parts[place % slots].append(one)
                numbers[place % slots].append(number)
    except OSError:
        for sibling in (one for some in own for one in some):
            sibling.close()
        raise
    return [ListenerChannel(*each) for each in zip(parts, [events] * slots, own, numbers, strict=True)]


@hookimpl
def wsrv_register_transports() -> list[type[Transport]]:
    return [Reuseport]
