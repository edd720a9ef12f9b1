# Who is about to load what: so that of all workers one makes what is missing, and the others wait for it.
#
#   claim word 0   tag     lock   of the key that is being loaded
#              1   owner   lock   row + 1 | began_ms << 16; 0: nobody. The master sets it to 0 when the owner is dead
#
# A tag has one place. Who finds it taken for another tag loads without a claim: two loaders are a waste, not a fault.
#
# Rule: a claim holds for LONGEST_NS. Who waits longer than that loads it himself.
"""Claims on what is being loaded, in shared memory."""

from wsrv.engine.cache.shared.arena import CLAIM_WORDS, CLAIMS, Arena, WriterLock
from wsrv.engine.cache.shared.writing import PATIENCE_SECONDS

# Longer than a file of a megabyte takes to be compressed, or to come from a slow disk; as long as a person is patient.
LONGEST_NS = 3_000_000_000
_ROW_BITS = 16
_ROW_MASK = (1 << _ROW_BITS) - 1
_MS = 1_000_000


class Claims:
    """The claims as the worker with `row` makes them."""

    def __init__(self, arena: Arena, lock: WriterLock, row: int) -> None:
        self._words = arena.claims
        self._lock = lock
        self._owner = row + 1

    def claim(self, tag: int, now_ns: int) -> bool:
        """Whether to load what `tag` stands for: False while another worker is at it."""
        at = tag % CLAIMS * CLAIM_WORDS
        if self.is_taken(tag, now_ns):
            return False
        if not self._lock.acquire(PATIENCE_SECONDS):
            return True
        try:
            # Between the look and the lock another may have come.
            if self.is_taken(tag, now_ns):
                return False
            if self._words[at] == tag or not self._holds(self._words[at + 1], now_ns):
                self._words[at + 1] = 0
                self._words[at] = tag
                self._words[at + 1] = self._owner | now_ns // _MS << _ROW_BITS
            return True
        finally:
            self._lock.release()

    def is_taken(self, tag: int, now_ns: int) -> bool:
        """Whether another worker is loading it."""
        at = tag % CLAIMS * CLAIM_WORDS
        owner: int = self._words[at + 1]
        return self._words[at] == tag and owner & _ROW_MASK != self._owner and self._holds(owner, now_ns)

    def release(self, tag: int) -> None:
        """It is loaded, or cannot be."""
        at = tag % CLAIMS * CLAIM_WORDS
        # While it is ours nobody else writes there, but when it is so old that it matters no more.
        if self._words[at] == tag and self._words[at + 1] & _ROW_MASK == self._owner:
            self._words[at + 1] = 0

    @staticmethod
    def _holds(owner: int, now_ns: int) -> bool:
        return bool(owner) and now_ns - (owner >> _ROW_BITS) * _MS < LONGEST_NS


def release_all(arena: Arena, row: int) -> None:
    """Let go of what the worker with `row` had claimed. By the master, when it is dead."""
    for place, owner in enumerate(arena.claims[1::CLAIM_WORDS].tolist()):
        if owner & _ROW_MASK == row + 1:
            arena.claims[place * CLAIM_WORDS + 1] = 0
