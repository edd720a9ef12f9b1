# What client addresses have at this moment, over all workers: open connections, and requests of late.
#
#   part of one worker process = BANKS x CELLS cells of three words:
#
#   word  0   connections   open now
#         1   even window   number of the window << 24 | requests in it
#         2   odd window    the same
#
# An address has one cell in each bank, by its hash: a count-min sketch. What a cell counts is the sum over all parts,
# and an address has the least of its cells.
#
# Rule 1: every word has one writer, the worker whose part it is; so nothing is locked, and what a worker counted that
#         was killed goes with its part.
# Rule 2: a worker counts first, looks at the sum then, and takes its count back if that is too much: what is let
#         through is never more than the bound, whatever the others do meanwhile.
# Rule 3: an address may be taken for more than it is where all its cells are shared, never for less.
"""Connections and requests by client address, in shared memory (Cormode and Muthukrishnan, "An Improved Data Stream
Summary", J. Algorithms 55, 2005)."""

import mmap
import socket
from collections.abc import Sequence

from wsrv.engine.shm.row import WORD

BANKS = 2
_CELL_BITS = 16
CELLS = 1 << _CELL_BITS
_CELL_WORDS = 3
_PART_BYTES = BANKS * CELLS * _CELL_WORDS * WORD
_COUNT_BITS = 24
_COUNT_MASK = (1 << _COUNT_BITS) - 1
_SECOND_NS = 1_000_000_000
_MAPPED = bytes(10) + b"\xff\xff"

# Where the cells of an address begin in a part, one a bank.
Places = tuple[int, ...]


def client_key(family: int, address: bytes) -> bytes:
    """Who counts as one client: an IPv4 address, or the /64 of an IPv6 one, which is what one customer has; b"" for a
    Unix socket. `address` as in a record."""
    if family == socket.AF_INET6:
        return address[12:16] if address.startswith(_MAPPED) else address[:8]
    return address[:4] if family == socket.AF_INET else b""


def places_of(client: bytes) -> Places:
    """The cells of a client. Alike in all processes that were forked from one, and unknown outside."""
    digest = hash(client)
    return tuple((bank * CELLS + ((digest >> bank * _CELL_BITS) & (CELLS - 1))) * _CELL_WORDS for bank in range(BANKS))


class ClientTable:
    """A worker's view: its own part, which it writes, and those of all."""

    def __init__(self, parts: Sequence[memoryview], own: int) -> None:
        self._parts = parts
        self._own = parts[own]

    def enter(self, places: Places, limit: int) -> bool:
        """Count one more connection, unless the client has `limit` already."""
        own = self._own
        for at in places:
            own[at] += 1
        if min(sum(part[at] for part in self._parts) for at in places) <= limit:
            return True
        self.leave(places)
        return False

    def leave(self, places: Places) -> None:
        """Count one connection less."""
        for at in places:
            self._own[at] -= 1

    def charge(self, places: Places, now_ns: int, rate: int, burst: int) -> bool:
        """Count one more request, unless there are `burst` already within the last `burst / rate` seconds.

        The last window counts by the share of it that is still within that time.
        """
        window_ns = burst * _SECOND_NS // rate
        window, past_ns = divmod(now_ns, window_ns)
        share = 1 - past_ns / window_ns
        now_at, before_at = 1 + (window & 1), 2 - (window & 1)
        own = self._own
        for at in places:
            word = own[at + now_at]
            own[at + now_at] = word + 1 if word >> _COUNT_BITS == window else window << _COUNT_BITS | 1
        least = min(self._sum(at + now_at, window) + share * self._sum(at + before_at, window - 1) for at in places)
        if least <= burst:
            return True
        for at in places:
            own[at + now_at] -= 1
        return False

    def refund(self, places: Places, now_ns: int, rate: int, burst: int) -> None:
        """Take back what was charged at the very same `now_ns`."""
        now_at = 1 + (now_ns // (burst * _SECOND_NS // rate) & 1)
        for at in places:
            self._own[at + now_at] -= 1

    def _sum(self, at: int, window: int) -> int:
        words = [part[at] for part in self._parts]
        return sum(word & _COUNT_MASK for word in words if word >> _COUNT_BITS == window)


class ClientTables:
    """The parts of `rows` worker processes, made before the first fork. What nobody has written takes no memory."""

    def __init__(self, rows: int) -> None:
        self._map = mmap.mmap(-1, rows * _PART_BYTES)
        view = memoryview(self._map)
        self._parts = [view[i * _PART_BYTES : (i + 1) * _PART_BYTES].cast("Q") for i in range(rows)]

    def of(self, number: int) -> ClientTable:
        """The view of the worker that has row `number`."""
        return ClientTable(self._parts, number)

    def clear(self, number: int) -> None:
        """Forget what a worker counted that is gone, and give its memory back."""
        self._map.madvise(mmap.MADV_REMOVE, number * _PART_BYTES, _PART_BYTES)
