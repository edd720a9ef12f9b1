# A listener a worker, all on one address; the kernel shares connections out by a hash of their addresses.
#
# Rule 1: the master makes and holds all listeners, so connections that wait for a worker survive it.
# Rule 2: the first listener is bound without SO_REUSEPORT, so that an address in use is refused as ever and a second
#   server is not mixed in; then the option is set on it, and the others join.
# Rule 3: a path has one listener, so workers share a Unix one, as with `inherit`.
"""Transport `reuseport`."""

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
        events = select.EPOLLIN
        for listener in listeners:
            if listener.family == socket.AF_UNIX:
                events = SHARED
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        channels: list[Channel] = [ListenerChannel(listeners, events)]
        own: list[socket.socket] = []
        try:
            for _ in range(slots - 1):
                mine = []
                for listener in listeners:
                    if listener.family == socket.AF_UNIX:
                        mine.append(listener)
                    else:
                        mine.append(_sibling(listener))
                        own.append(mine[-1])
                channels.append(ListenerChannel(mine, events, own))
                own = []
        except OSError:
            for sibling in own:
                sibling.close()
            for channel in channels:
                channel.close()
            raise
        return channels


@hookimpl
def wsrv_register_transports() -> list[type[Transport]]:
    return [Reuseport]
