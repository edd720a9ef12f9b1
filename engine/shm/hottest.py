# What a worker would miss most, for its successor: the keys of its cache that are asked for most.
#
#   word 0       sequence     list (sequence & 1) is the one that counts
#   64           list 0       u32 bytes used, then keys, the hottest first: u16 length, bytes
#   64 + L       list 1
#
# Rule 1: one writer, the worker. It fills the list that does not count, then stores the sequence; so whoever kills it
#         in the middle finds the list before.
# Rule 2: a reader believes no length that leads out of the list.
"""Lists of hot keys in shared memory."""

import mmap
import struct
from collections.abc import Iterable
from itertools import islice

# A successor loads as many in some 20 ms from memory; the rest comes by being asked for.
MOST_KEYS = 1000
LIST_BYTES = 128 * 1024
_FIRST_LIST = 64
_ROW_BYTES = _FIRST_LIST + 2 * LIST_BYTES
_USED = struct.Struct("=I")
_LENGTH = struct.Struct("=H")


class HotList:
    """The list of one worker."""

    def __init__(self, memory: memoryview) -> None:
        self._sequence = memory[:8].cast("Q")
        self._lists = tuple(memory[start : start + LIST_BYTES] for start in (_FIRST_LIST, _FIRST_LIST + LIST_BYTES))

    def write(self, keys: Iterable[bytes]) -> int:
        """Note `keys`, the hottest first, as many as there is room for; how many that were. By the worker."""
        pieces: list[bytes] = []
        used = 0
        for key in islice(keys, MOST_KEYS):
            used += _LENGTH.size + len(key)
            if used > LIST_BYTES - _USED.size:
                break
            pieces += (_LENGTH.pack(len(key)), key)
        text = b"".join(pieces)
        following = self._sequence[0] + 1
        into = self._lists[following & 1]
        _USED.pack_into(into, 0, len(text))
        into[_USED.size : _USED.size + len(text)] = text
        self._sequence[0] = following
        return len(pieces) // 2

    def read(self) -> list[bytes]:
        """The keys, the hottest first. By the master; of a worker that still writes, the list before or after."""
        while True:
            sequence = self._sequence[0]
            text = bytes(self._lists[sequence & 1])
            if self._sequence[0] == sequence:
                return _keys(text)

    def clear(self) -> None:
        """Nobody's. By the master, when the worker is gone."""
        self.write(())


def _keys(text: bytes) -> list[bytes]:
    keys = []
    at = _USED.size
    end = min(at + _USED.unpack_from(text)[0], len(text))
    while at + _LENGTH.size <= end:
        (length,) = _LENGTH.unpack_from(text, at)
        at += _LENGTH.size
        if at + length > end:
            break
        keys.append(text[at : at + length])
        at += length
    return keys


class HotLists:
    """A list for each of `rows` workers, in memory that their processes share."""

    def __init__(self, rows: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, rows * _ROW_BYTES))

    def of(self, number: int) -> HotList:
        """The list of whoever has row `number`."""
        return HotList(self._memory[number * _ROW_BYTES : (number + 1) * _ROW_BYTES])
