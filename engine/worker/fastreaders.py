# Who reads a long answer fast may have more of it wait in the kernel.
#
# What waits unsent is bounded for everybody (TCP_NOTSENT_LOWAT, on the listener), so that who does not read holds no
# memory. For one who reads fast the bound means a waking for every 128 KiB: most of what a large file costs.
#
# Rule 1: fast is who has taken the beginning of an answer at a quarter of a megabyte a second or more, and has much of
#         it to come. Not more: who reads from many connections in turn comes to each of them seldom, and finds no more
#         there than the bound allows.
# Rule 2: there is a bounded number of places, by what the system allows TCP. Whoever has one keeps it for his next
#         answers, until another needs it while he reads none.
# Rule 3: of who has a place the kernel is asked, when his time is over, whether he has taken anything. Then his place
#         is another's, and his time begins anew.
"""Lifting the bound on unsent bytes for fast readers of long answers."""

import ctypes
import fcntl
import os
import socket
import sys
import termios
from pathlib import Path

from wsrv.engine.kernel import number
from wsrv.engine.worker.connection import CLOSED, Connection
from wsrv.engine.worker.request import Stream

# Of an answer, so much may wait in the kernel for a client that takes it slowly; what is on its way does not count.
# Without a bound it is 2 MB a connection, and a thousand slow readers drive all of TCP into a shortage of memory.
UNSENT_BYTES = 128 * 1024
# Of an answer, before anything is said of who reads it, and what must be left of it.
_LEAST_SENT_BYTES = 512 * 1024
_LEAST_LEFT_BYTES = 1024 * 1024
# A byte in 4,096 ns is a quarter of a megabyte a second.
_BYTE_NS_SHIFT = 12
# The bound of net.ipv4.tcp_notsent_lowat, by default none.
_SYSTEMS_OWN = 0
# What the kernel keeps for one: where it may be told more than it takes by itself, that, which it doubles (socket(7)).
_TOLD_BYTES = 4 * 1024 * 1024
_QUEUE_BYTES = 2 * _TOLD_BYTES
_WMEM_MAX = Path("/proc/sys/net/core/wmem_max")
_TCP_MEM = Path("/proc/sys/net/ipv4/tcp_mem")
_FEWEST_PLACES = 4
_INT_BYTES = bytes(4)
# It does not wait, so the GIL stays (PyDLL).
_setsockopt = ctypes.PyDLL(None).setsockopt
_setsockopt.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)


def _places() -> int:
    """For each processor a share of three quarters of the memory at which TCP begins to save."""
    pressure_bytes = (number(_TCP_MEM, 1) or 0) * os.sysconf("SC_PAGE_SIZE")
    return max(_FEWEST_PLACES, pressure_bytes * 3 // 4 // (os.cpu_count() or 1) // _QUEUE_BYTES)


# Read when this is imported, which is before a worker's file system shrinks to the site.
_PLACES = _places()
_MAY_BE_TOLD = (number(_WMEM_MAX) or 0) >= _TOLD_BYTES


class FastReaders:
    """Those of one worker, in so many `places`."""

    def __init__(self, places: int = _PLACES) -> None:
        self._places = places
        self._readers: set[Connection] = set()

    def __len__(self) -> int:
        """How many there are, or were a moment ago."""
        return len(self._readers)

    def has(self, conn: Connection, stream: Stream, now_ns: int) -> bool:
        """Whether the one who reads `stream` is among them, who is taken in now if he is fast and there is a place."""
        if conn in self._readers:
            return True
        if (
            stream.sent_bytes < _LEAST_SENT_BYTES
            or stream.left_bytes < _LEAST_LEFT_BYTES
            or stream.sent_bytes < now_ns - stream.began_ns >> _BYTE_NS_SHIFT
            or conn.is_secure
        ):
            return False
        if len(self._readers) >= self._places:
            self._make_room()
        if len(self._readers) >= self._places or not _bound(conn.fd, _SYSTEMS_OWN, _MAY_BE_TOLD):
            return False
        self._readers.add(conn)
        return True

    def has_taken(self, conn: Connection) -> bool:
        """Whether a client whose time is over has taken something since it began, or since this was asked last."""
        talk = conn.dialogue()
        if conn in self._readers:
            self._readers.remove(conn)
            _bound(conn.fd, UNSENT_BYTES)
            talk.queued_bytes = sys.maxsize
        before, talk.queued_bytes = talk.queued_bytes, _queued(conn.fd) if talk.queued_bytes else 0
        return talk.queued_bytes < before

    def _make_room(self) -> None:
        """Take the places of who has left, and of who reads nothing at the moment."""
        for reader in list(self._readers):
            if reader.state == CLOSED:
                self._readers.remove(reader)
            elif reader.dialogue().stream is None:
                self._readers.remove(reader)
                _bound(reader.fd, UNSENT_BYTES)


def _bound(fd: int, unsent_bytes: int, tell: bool = False) -> bool:
    """Bound what waits unsent; False where there is no such bound, as for a Unix socket.

    `tell`: and say how large the queue is, which stays so.
    """
    if not _set_option(fd, socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent_bytes):
        return False
    return not tell or _set_option(fd, socket.SOL_SOCKET, socket.SO_SNDBUF, _TOLD_BYTES)


def _set_option(fd: int, level: int, name: int, value: int) -> bool:
    """Set an option of a socket; whether it has such a one. A socket object would ask the kernel two things first."""
    number = ctypes.c_int(value)
    return bool(_setsockopt(fd, level, name, ctypes.byref(number), ctypes.sizeof(number)) == 0)


def _queued(fd: int) -> int:
    """Bytes that the client has not acknowledged (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, _INT_BYTES), sys.byteorder)
