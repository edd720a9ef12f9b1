# Descriptors over a pair of Unix sockets, SOCK_SEQPACKET, one pair a worker slot.
#
#   message:   n records joined (RECORD_BYTES each)   ancillary: SCM_RIGHTS with n descriptors, in the same order
#
# Rule 1: the channel keeps both ends for as long as the slot exists: a descriptor in a socket dies with the last
#   process that holds the receiving end, so what is queued survives the worker and is the successor's.
# Rule 2: messages are taken whole; so the bytes unread, over RECORD_BYTES, are the connections not yet taken.
# Rule 3: at the limit of descriptors the kernel delivers the first ones of a message and drops the others for good,
#   which closes those connections. The first ones are passed on with the first records, the others are `lost`.
#
# Nothing but SCM_RIGHTS can be in the ancillary part: both ends are ours, and no other kind is asked for.
"""Transport `socketpair`."""

import contextlib
import errno
import fcntl
import select
import socket
import sys
import termios
from array import array
from collections.abc import Sequence
from typing import ClassVar

from wsrv.engine.ipc.closing import close_all
from wsrv.engine.ipc.record import RECORD, RECORD_BYTES, Arrival
from wsrv.engine.ipc.transport import Channel, ConnectionSource, Transport
from wsrv.plugins.hookspecs import hookimpl

# What one take() returns at most, so that a worker's loop stays fair to its open connections. The kernel's own limit
# is 253 (SCM_MAX_FD).
MESSAGE_RECORDS = 64
_MESSAGE_BYTES = MESSAGE_RECORDS * RECORD_BYTES
_ANCILLARY_BYTES = socket.CMSG_SPACE(MESSAGE_RECORDS * array("i").itemsize)

# What the kernel charges the sender for a message of one record: 766 bytes on Linux 6.18, x86-64; the rest is margin.
_CHARGE_BYTES = 1024

# Full: no room in the socket; more descriptors in flight than this user may have; no memory for the message.
_FULL = frozenset({errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})

# asm-generic/socket.h; the socket module does not name it. Needs CAP_NET_ADMIN.
_SO_SNDBUFFORCE = 32

# Bare numbers: an `&` with the socket module's enumerations takes 0.5 us, half as long as the recvmsg itself.
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_CTRUNC = int(socket.MSG_CTRUNC)

_INT_BYTES = bytes(array("i").itemsize)


class SocketpairSource:
    """The receiving end. `lost` counts the connections that were dropped at the limit of descriptors."""

    def __init__(self, receiver: socket.socket) -> None:
        self.lost = 0
        self.events = select.EPOLLIN
        self._receiver = receiver
        self._recvmsg = receiver.recvmsg
        self._unpack = RECORD.iter_unpack

    def fds(self) -> Sequence[int]:
        """The receiving end; readable while a message is queued, or when every sending end is closed."""
        return (self._receiver.fileno(),)

    def take(self) -> list[Arrival]:
        """One message: at most MESSAGE_RECORDS connections. Empty when nothing has arrived, or all of it was lost."""
        try:
            records, ancillary, flags, _ = self._recvmsg(_MESSAGE_BYTES, _ANCILLARY_BYTES, _CLOEXEC)
        except BlockingIOError:
            return []
        fds = array("i")
        for _, _, packed in ancillary:
            fds.frombytes(packed)
        if flags & _CTRUNC:
            self.lost += len(records) // RECORD_BYTES - len(fds)
        return list(zip(fds, self._unpack(records), strict=False))

    def close(self) -> None:
        """Give the receiving end up; what is queued stays for whoever else holds it."""
        self._receiver.close()


class SocketpairChannel:
    """Both ends, non-blocking and close on exec. Raises OSError."""

    def __init__(self, capacity: int) -> None:
        self._sender, self._receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._sender, self._receiver):
            end.setblocking(False)
        _make_room(self._sender, capacity * _CHARGE_BYTES)
        self._own_source = SocketpairSource(self._receiver)
        self._sendmsg = self._sender.sendmsg
        self._pack = RECORD.pack

    def send(self, batch: Sequence[Arrival]) -> int:
        """Pass on as many as there is room for, in messages of up to MESSAGE_RECORDS, and close the master's copies.

        Raises OSError when a descriptor of the batch is not open.
        """
        pack = self._pack
        sent = 0
        while sent < len(batch):
            part = batch[sent : sent + MESSAGE_RECORDS]
            fds = array("i", [fd for fd, _ in part])
            records = b"".join([pack(*fields) for _, fields in part])
            try:
                self._sendmsg((records,), ((socket.SOL_SOCKET, socket.SCM_RIGHTS, fds),))
            except OSError as error:
                if error.errno in _FULL:
                    break
                raise
            close_all(fds)
            sent += len(part)
        return sent

    def depth(self) -> int:
        """Connections that were sent and not taken yet, exactly: the kernel adds up all queued messages (unix(7))."""
        unread = fcntl.ioctl(self._receiver, termios.FIONREAD, _INT_BYTES)
        return int.from_bytes(unread, sys.byteorder) // RECORD_BYTES

    def reclaim(self) -> list[Arrival]:
        """Take back one message; of a worker that takes meanwhile the kernel gives each message to one.

        One, not all: the caller passes it on before the next, or a full queue would need as many descriptors at once.
        """
        while not (arrivals := self._own_source.take()) and self.depth():
            continue
        return arrivals

    def settle_fd(self) -> None:
        """Nothing to wait for: what was sent is the kernel's until it is taken."""
        return

    def settle(self) -> list[Arrival]:
        """Nothing is under way between master and worker."""
        return []

    def vacated(self) -> None:
        """A dead worker leaves what it has not taken as it was."""

    @property
    def lost(self) -> int:
        """Connections dropped at the master's own limit of descriptors, while they were reclaimed."""
        return self._own_source.lost

    def kept_fds(self) -> list[int]:
        """The receiving end. Without the sending one a worker sees the end of the file once the master is gone."""
        return [self._receiver.fileno()]

    def source(self) -> ConnectionSource:
        """The worker's end, on the descriptor that it has inherited."""
        return SocketpairSource(self._receiver)

    def close(self) -> None:
        """Close both ends. The kernel closes what lies in the channel once no worker holds the receiving end."""
        self._sender.close()
        self._receiver.close()


def _make_room(sender: socket.socket, wanted_bytes: int) -> None:
    """Let `wanted_bytes` be charged to the sender, or as much as net.core.wmem_max and our rights allow."""
    # The kernel doubles what it is told, and cuts it silently at twice wmem_max (socket(7)).
    told = wanted_bytes // 2
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, told)
    if sender.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < wanted_bytes:
        with contextlib.suppress(OSError):
            sender.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, told)


class Socketpair:
    """SCM_RIGHTS over AF_UNIX SOCK_SEQPACKET (unix(7)): the report's own way, with many connections a message."""

    NAME: ClassVar[str] = "socketpair"
    DISPATCHES: ClassVar[bool] = True

    @classmethod
    def available(cls) -> str | None:
        """None, unless the kernel makes no such pair, as in some sandboxes."""
        try:
            SocketpairChannel(1).close()
        except OSError as error:
            return f"the kernel makes no AF_UNIX SOCK_SEQPACKET pair ({error.strerror}); use another --ipc"
        return None

    @classmethod
    def open(cls, listeners: Sequence[socket.socket], slots: int, capacity: int) -> list[Channel]:
        """Channels with room for `capacity` connections each, every one in a message of its own. Raises OSError.

        Without CAP_NET_ADMIN net.core.wmem_max bounds it: at 208 KiB, the value of older kernels, to 556 messages.
        """
        return [SocketpairChannel(capacity) for _ in range(slots)]


@hookimpl
def wsrv_register_transports() -> list[type[Transport]]:
    return [Socketpair]
