# From the listener to the workers.
#
# Rule 1: admission first. A connection is sent only on a permit of its slot's queue; a slot without permits is passed
#         by, and when no slot has one the connection is refused.
# Rule 2: a permit taken and not used goes back at once; a permit used comes back from the worker that takes.
# Rule 3: one round accepts a bounded number, so that the loop's other work has its turn.
"""Accepting connections and passing them on."""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from time import monotonic_ns

from wsrv.engine.ipc.record import Arrival
from wsrv.engine.master.slot import Slot

# Connections accepted in one round (nginx multi_accept takes all there are).
_ROUND = 64
# Fewer than this are not split between workers: a message costs more than a moment's wait.
_SHARE = 8
# No descriptors or no memory: accepting again at once would only fail again.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# The client went away between its handshake and our accept, or a network error of it is reported here (accept(2)).
_CLIENT_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH})

_ADDRESS_BYTES = 28
_FLAGS = int(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
# PyDLL keeps the GIL, which nobody else in the master wants: the listener never blocks.
_accept4 = ctypes.PyDLL(None, use_errno=True).accept4
_family_and_port = struct.Struct("=H2s")


class Dispatcher:
    """Accepts on `listener` and shares the connections out between `slots`; `refuse` takes those nobody can take."""

    def __init__(
        self, listener: socket.socket, number: int, slots: Sequence[Slot], refuse: Callable[[int, str], None]
    ) -> None:
        self._fd = listener.fileno()
        self._number = number
        self._slots = slots
        self._refuse = refuse
        self._turn = 0
        self._address = ctypes.create_string_buffer(_ADDRESS_BYTES)
        self._length = ctypes.c_uint32(_ADDRESS_BYTES)
        self._address_at = ctypes.byref(self._address)
        self._length_at = ctypes.byref(self._length)

    def accept(self) -> int:
        """Take in what is waiting, up to a round's worth, and pass it on; how many. Raises OSError when exhausted."""
        batch: list[Arrival] = []
        raw = memoryview(self._address)
        trouble = 0
        while len(batch) < _ROUND:
            self._length.value = _ADDRESS_BYTES
            fd = _accept4(self._fd, self._address_at, self._length_at, _FLAGS)
            if fd < 0:
                trouble = ctypes.get_errno()
                if trouble in _CLIENT_GONE or trouble == errno.EINTR:
                    continue
                break
            family, port = _family_and_port.unpack_from(raw)
            address = bytes(raw[8:24]) if family == socket.AF_INET6 else bytes(raw[4:8]) + bytes(12)
            record = (monotonic_ns(), 0, int.from_bytes(port, "big"), self._number, family, address)
            batch.append((fd, record))
        if batch:
            self.pass_on(batch)
        if trouble in _EXHAUSTED:
            raise OSError(trouble, os.strerror(trouble))
        return len(batch)

    def pass_on(self, batch: list[Arrival]) -> None:
        """Share `batch` out, beginning with the slot whose turn it is."""
        slots = self._slots
        number = len(slots)
        share = max(_SHARE, -(-len(batch) // number))
        for _ in range(2 * number):
            slot = slots[self._turn]
            self._turn = (self._turn + 1) % number
            had = slot.queue.try_acquire(min(share, len(batch)))
            if not had:
                continue
            sent = slot.channel.send(batch[:had])
            if sent < had:
                slot.queue.release(had - sent)
            del batch[:sent]
            if not batch:
                return
        for fd, _ in batch:
            self._refuse(fd, "queue_full")
