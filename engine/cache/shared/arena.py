# The arena: where everything of the shared cache lies.
#
#   0             header      16 words: see below
#   4 KiB         heads       u32 each: a bucket's first entry + 1, or 0; the bucket is the tag's low bits
#   + heads       links       u32 each, one a block: the next block of its chain + 1, or 0 at the end
#   + links       records     64 bytes each, one a block: the entry whose first block that is
#   + records     journal     u64 each: numbers of records that were published or dropped, in order
#   + journal     claims      16 bytes each: see claims.py
#   + claims      rings       one a worker row: see rings.py
#   page aligned  blocks      BLOCK_BYTES each: a chain of them holds key, head and body, one behind the other
#
#   header word 0   generation    lock     repairs so far
#               1   writing       lock     pid of who is changing something here; left behind by who died in it
#               2   free          lock     the first free block + 1, or 0
#               3   free_blocks   lock
#               4   entries       lock
#               5   content       lock     bytes of keys, heads and bodies
#               6   journalled    lock     journal words written so far
#               8   heeded        keeper   journal words read so far
#               9   evictions     keeper   entries that left to make room
#              10   refusals      keeper   entries that the policy did not take in
#              11   drops         keeper   hits that nobody read before they were written over
#
#   record word 0   sequence      lock     odd while the record or its chain is being changed; never goes back
#               1   tag           lock     hash of the key, 0 when there is no entry
#               2   next          lock     the bucket's next entry + 1, or 0
#               3   lengths       lock     body | head << 32 | key << 48
#               4   checksum      lock     CRC-32 of all the content | stored_ms << 32: when, modulo 2^32
#               5   checked       any      checked_ms << 24 | low bits of the sequence: when the file was seen to be so
#               6   use           keeper   last_hit_ms << 24 | hits, as far as they were told
#
# "lock" is whoever holds the writer's lock.
#
# Rule 1: which blocks are free follows from the published records: all that is in no chain of theirs.
# Rule 2: numbers of records are numbers of blocks, so there are never too few of either.
# Rule 3: the tag is a hash that is the same in every process (BLAKE2b), whatever PYTHONHASHSEED is.
#
# Anonymous and shared, as wsrv.engine.shm.mapping: made before the first fork, gone with the last process.
"""The memory of the shared cache: where everything in it lies."""

import mmap
from array import array
from hashlib import blake2b
from typing import Protocol

WORD = 8
PAGE = 4096
# An entry wastes half a block on average, and costs 0.1 us a block to read. A head of some 500 bytes and the median
# body of the web, a few KB, take two to four of these.
BLOCK_BYTES = 2048
RECORD_WORDS = 8
SEQUENCE, TAG, NEXT, LENGTHS, CHECKSUM, CHECKED, USE = range(7)

HEADER_WORDS = 16
GENERATION, WRITING, FREE, FREE_BLOCKS, ENTRIES, CONTENT, JOURNALLED = range(7)
HEEDED, EVICTIONS, REFUSALS, DROPS = range(8, 12)

# The reserve is one block in so many, or enough for the longest entry, if that is no more than a quarter.
RESERVE_SHARE = 16
JOURNAL_WORDS = 4096
CLAIMS = 256
CLAIM_WORDS = 2
RING_WORDS = 4096

BODY_MASK = 0xFFFF_FFFF
HEAD_MASK = 0xFFFF
HEAD_SHIFT = 32
KEY_SHIFT = 48
# Of a sequence, as much as goes beside a time into one word. A record would have to be used again eight million times
# within the life of one cached answer to be mistaken.
LOW_BITS = 24
LOW_MASK = (1 << LOW_BITS) - 1


class WriterLock(Protocol):
    """What the arena needs of a lock: that its owner's death leaves it free."""

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the lock, for ever without a timeout. Whether it is held now."""

    def release(self) -> None:
        """Give it back."""


class Arena:
    """Shared memory of about `capacity_bytes` for entries, and rings for so many worker `rows`.

    `reserve` blocks are kept free by the keeper, so that workers find room at once: what is longer than that, and than
    `largest_bytes`, finds some only while the arena is not full.
    """

    def __init__(self, capacity_bytes: int, rows: int, largest_bytes: int = 0) -> None:
        each = BLOCK_BYTES + RECORD_WORDS * WORD + 4 + 4
        self.blocks = blocks = max(1, capacity_bytes // each)
        least = min(blocks_for(largest_bytes) + 1, blocks // 4)
        self.reserve = max(-(-blocks // RESERVE_SHARE), least) if blocks > 1 else 0
        self.buckets = buckets = 1 << max(0, blocks - 1).bit_length()
        at = PAGE
        places = []
        sizes = (
            *(4 * buckets, 4 * blocks, RECORD_WORDS * WORD * blocks),
            *(JOURNAL_WORDS * WORD, CLAIMS * CLAIM_WORDS * WORD, rows * (1 + RING_WORDS) * WORD),
        )
        for size in sizes:
            places.append((at, at + size))
            at += -(-size // 64) * 64
        blocks_at = -(-at // PAGE) * PAGE
        self._map = mmap.mmap(-1, blocks_at + blocks * BLOCK_BYTES)
        view = memoryview(self._map)
        heads, links, records, journal, claims, rings = (view[start:stop] for start, stop in places)
        self.header = view[: HEADER_WORDS * WORD].cast("Q")
        self.heads = heads.cast("I")
        self.links = links.cast("I")
        self.records = records.cast("Q")
        self.journal = journal.cast("Q")
        self.claims = claims.cast("Q")
        self._rings = rings.cast("Q")
        self.rows = rows
        self.content = view[blocks_at:]
        # As repair would find it: nothing published, everything free, in order.
        self.links[: blocks - 1] = memoryview(array("I", range(2, blocks + 1)))
        self.header[FREE] = 1
        self.header[FREE_BLOCKS] = blocks

    def ring(self, row: int) -> memoryview:
        """The words of a worker row's ring of hits."""
        return self._rings[row * (1 + RING_WORDS) : (row + 1) * (1 + RING_WORDS)]

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all blocks."""
        return self.blocks * BLOCK_BYTES


def tag_of(key: bytes) -> int:
    """The hash by which an entry is found: 64 bits, never 0, the same in every process."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little") or 1


def blocks_for(content_bytes: int) -> int:
    """How many blocks so much content takes."""
    return -(-content_bytes // BLOCK_BYTES)


def content_of(lengths: int) -> int:
    """The bytes of key, head and body together, of a record's `lengths`."""
    return (lengths >> KEY_SHIFT) + (lengths >> HEAD_SHIFT & HEAD_MASK) + (lengths & BODY_MASK)
