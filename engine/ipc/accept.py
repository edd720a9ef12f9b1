# Accepting, as the master does it for transports that dispatch, and workers for those that do not.
#
# Rule 1: a bounded number a call, without waiting; what is accepted is non-blocking and close-on-exec by the same call.
# Rule 2: a client that went away between its handshake and our accept is passed over in silence.
"""accept4(2) in batches, and a ConnectionSource on listeners."""

import ctypes
import errno
import os
import select
import socket
import struct
from collections.abc import Sequence
from time import monotonic_ns

from wsrv.engine.ipc.record import Arrival

# No descriptors or no memory: accepting again at once would only fail again.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Network errors of the new connection are reported by accept too (accept(2)).
_PASSED_OVER = frozenset(
    {errno.EINTR, errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}
)
_ADDRESS_BYTES = 28
_FLAGS = int(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
_AF_INET6 = int(socket.AF_INET6)
# PyDLL keeps the GIL: a non-blocking listener never waits. errno is read where libc has it: with use_errno, ctypes
# looks its own copy up at every call, for 0.1 us. The interpreter leaves errno as it is in between.
_libc = ctypes.PyDLL(None)
_accept4 = _libc.accept4
_errno_location = _libc.__errno_location
_errno_location.restype = ctypes.c_void_p
# struct sockaddr_in without its family: port in network order, address.
_port_and_ipv4 = struct.Struct(">2xH4s").unpack_from
_IPV4_REST = bytes(12)
# What a worker takes in one round: less than the master, or one worker takes what the others are free to serve.
_WORKER_ROUND = 16


class Acceptor:
    """Takes connections off `listener`, the server's listener number `number`, which may change."""

    def __init__(self, listener: socket.socket, number: int) -> None:
        self._fd = listener.fileno()
        self._family = int(listener.family)
        self.number = number
        self._serial = 0
        self._address = ctypes.create_string_buffer(_ADDRESS_BYTES)
        self._raw = memoryview(self._address)
        self._length = ctypes.c_uint32(_ADDRESS_BYTES)
        # Of a client over a Unix socket no address is asked for: it has none, or one that it chose.
        unix = self._family == socket.AF_UNIX
        self._errno = ctypes.c_int.from_address(_errno_location())
        self._addresses = (None, None) if unix else (ctypes.byref(self._address), ctypes.byref(self._length))

    def take(self, limit: int) -> list[Arrival]:
        """Up to `limit` connections that wait. Raises OSError when descriptors or memory are exhausted, and nothing
        was accepted in this call."""
        batch: list[Arrival] = []
        now_ns = monotonic_ns()
        listener = self._fd
        at, length_at = self._addresses
        raw, number, family, serial = self._raw, self.number, self._family, self._serial
        # What accept4 puts there is the length of this family's addresses, whoever connects.
        self._length.value = _ADDRESS_BYTES
        while len(batch) < limit:
            fd = _accept4(listener, at, length_at, _FLAGS)
            if fd < 0:
                trouble = self._errno.value
                if trouble in _PASSED_OVER:
                    continue
                if trouble in _EXHAUSTED and not batch:
                    raise OSError(trouble, os.strerror(trouble))
                break
            port, ipv4 = _port_and_ipv4(raw)
            serial = (serial + 1) & 0xFFFFFFFF
            address = bytes(raw[8:24]) if family == _AF_INET6 else ipv4 + _IPV4_REST
            batch.append((fd, (now_ns, serial, port, number, family, address)))
        self._serial = serial
        return batch


class AcceptingSource:
    """A worker's end where nobody stands between the kernel and the worker: it accepts for itself, on `listeners`.

    When descriptors are exhausted nothing is lost: connections wait in the kernel until there is room.
    """

    def __init__(
        self, listeners: Sequence[socket.socket], events: int = select.EPOLLIN, numbers: Sequence[int] | None = None
    ) -> None:
        """`numbers` are those of the listeners; as they stand when it is not given."""
        self.lost = 0
        self.events = events
        self._listeners = listeners
        known = range(len(listeners)) if numbers is None else numbers
        self._acceptors = [Acceptor(listener, number) for number, listener in zip(known, listeners, strict=True)]

    def fds(self) -> Sequence[int]:
        """The listeners; one is readable while a connection waits."""
        return [listener.fileno() for listener in self._listeners]

    def take(self) -> list[Arrival]:
        """Connections that wait, up to a round's worth of each listener. Raises OSError when descriptors or memory are
        exhausted, and nothing was accepted in this call."""
        batch: list[Arrival] = []
        for acceptor in self._acceptors:
            try:
                batch += acceptor.take(_WORKER_ROUND)
            except OSError:
                if not batch:
                    raise
                break
        return batch

    def close(self) -> None:
        """Stop listening here; whoever else holds the listeners goes on."""
        for listener in self._listeners:
            listener.close()
