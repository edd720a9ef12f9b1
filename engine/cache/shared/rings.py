# What workers tell the keeper of hits: a ring a worker row, as Caffeine's read buffers, and as lossy.
#
#   word 0     noted    worker   tags noted so far, over all lives of the row
#        1 …   tags     worker   RING_WORDS of them, written over when nobody has read them in time
#
# Rule 1: a worker never waits, and never looks where the keeper is.
# Rule 2: the keeper looks at `noted` again after it has copied: what may have been written over meanwhile is dropped
#         and counted. A tag that is told twice or not at all costs a policy some of its foresight, nothing else.
"""Rings of hits in shared memory."""

from wsrv.engine.cache.shared.arena import RING_WORDS, Arena

_MASK = RING_WORDS - 1


class HitRing:
    """A worker's end."""

    def __init__(self, arena: Arena, row: int) -> None:
        self._words = arena.ring(row)
        self._noted: int = self._words[0]

    def note(self, tag: int) -> None:
        """Tell of a hit."""
        noted = self._noted
        self._words[1 + (noted & _MASK)] = tag
        self._noted = self._words[0] = noted + 1


class HitReader:
    """The keeper's end of one ring. Begins with what is told from now on."""

    def __init__(self, arena: Arena, row: int) -> None:
        self._words = arena.ring(row)
        self._read: int = self._words[0]
        self.drops = 0

    def take(self) -> list[int]:
        """The tags noted since the last call, in order, but for those that were written over."""
        words = self._words
        noted: int = words[0]
        start = max(self._read, noted - RING_WORDS)
        if start == noted:
            return []
        first, last = start & _MASK, noted & _MASK
        if first < last:
            found = words[1 + first : 1 + last].tolist()
        else:
            found = words[1 + first :].tolist() + words[1 : 1 + last].tolist()
        # The worker may be writing its next tag by now, where the one of RING_WORDS before stands.
        whole = min(max(start, words[0] + 1 - RING_WORDS), noted)
        self.drops += whole - self._read
        self._read = noted
        return found[whole - start :]
