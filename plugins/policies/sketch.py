# How often keys that are not held were asked for, in a few bytes a key. Not a policy.
#
#   4 rows of one byte a cell; a key has one cell in each:
#
#     cell of row i = (crc32(key) * MULTIPLIERS[i] mod 2^32) >> (32 - log2 of the cells in a row)
#
# The top bits choose the cell, so that a row of twice the cells has both halves of a cell side by side: a row grows by
# writing each byte twice, and nothing is forgotten. CRC-32 is the same in every process; hash() is not.
"""A count-min sketch that ages and grows."""

import zlib

# Odd, so that no two of 2^32 keys come together; else without meaning (drawn once).
MULTIPLIERS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F)

# Counts end here: more says no more about who is worth holding (four bits, as in the paper).
MOST = 15

FIRST_BITS = 8

_HALVES = bytes(value // 2 for value in range(256))
_WORD = 0xFFFFFFFF


class Sketch:
    """Estimated counts of keys, up to MOST: never too low since the last halving, too high where cells are shared.

    Count-min (Cormode, Muthukrishnan: "An improved data stream summary", J. of Algorithms 55:1, 2005), raised
    conservatively (Estan, Varghese, SIGCOMM '02): only the cells that stand below the new count.
    """

    def __init__(self) -> None:
        self._shift = 32 - FIRST_BITS
        self._rows = [bytearray(1 << FIRST_BITS) for _ in MULTIPLIERS]

    @property
    def cells(self) -> int:
        """How many cells a row has."""
        return len(self._rows[0])

    def count(self, key: bytes) -> int:
        """The estimate for `key`."""
        word, shift = zlib.crc32(key), self._shift
        one, two, three, four = self._rows
        a, b, c, d = MULTIPLIERS
        return min(
            one[(word * a & _WORD) >> shift],
            two[(word * b & _WORD) >> shift],
            three[(word * c & _WORD) >> shift],
            four[(word * d & _WORD) >> shift],
        )

    def raise_to(self, key: bytes, count: int) -> None:
        """From now on the estimate for `key` is at least `count`."""
        word, shift = zlib.crc32(key), self._shift
        for row, multiplier in zip(self._rows, MULTIPLIERS, strict=True):
            cell = (word * multiplier & _WORD) >> shift
            if row[cell] < count:
                row[cell] = count

    def halve(self) -> None:
        """All that was counted counts half."""
        self._rows = [row.translate(_HALVES) for row in self._rows]

    def grow(self) -> None:
        """Twice the cells; every estimate stays as it is."""
        self._shift -= 1
        for number, row in enumerate(self._rows):
            wider = bytearray(2 * len(row))
            wider[::2] = wider[1::2] = row
            self._rows[number] = wider
