# Changing the arena: under one lock, by one process at a time.
#
# Rule 1: before the first store `writing` names the process, after the last it is zero. Whoever gets the lock and finds
#         it set knows that its owner died in the middle, or that a bug threw it out of there.
# Rule 2: a record is odd from before its first change until after its last. So what a death cut short is odd, and
#         nothing else is touched by it: what is published stays published.
# Rule 3: after such a death nobody writes until the keeper has repaired: that walks all records, and a worker has
#         clients that wait. Free blocks, buckets and sums are made anew from the published records.
# Rule 4: nobody waits long for the lock. What is not stored now costs a look at the file later.
"""Publishing entries, dropping them, and repairing what a dead writer left."""

import os
from collections.abc import Sequence
from time import monotonic_ns
from zlib import crc32

from wsrv.engine.cache.shared.arena import (
    BLOCK_BYTES,
    CHECKED,
    CHECKSUM,
    CONTENT,
    ENTRIES,
    FREE,
    FREE_BLOCKS,
    GENERATION,
    HEAD_MASK,
    HEAD_SHIFT,
    JOURNAL_WORDS,
    JOURNALLED,
    KEY_SHIFT,
    LENGTHS,
    NEXT,
    RECORD_WORDS,
    SEQUENCE,
    TAG,
    USE,
    WRITING,
    Arena,
    WriterLock,
    blocks_for,
    content_of,
    tag_of,
)
from wsrv.engine.cache.shared.reading import MS, Ticket, checked_word

# Longer than the longest entry takes to be copied (a megabyte: 0.4 ms), short for the clients of a loop that waits.
PATIENCE_SECONDS = 0.002


class Writer:
    """Changes the arena. Each call says whether, or what, it has done; none raises for a lock that is not to be had."""

    def __init__(self, arena: Arena, lock: WriterLock) -> None:
        self._arena = arena
        self._lock = lock
        self._pid = os.getpid()

    def publish(self, key: bytes, head: bytes, body: bytes, checked_ns: int) -> Ticket | None:
        """Hold `head` and `body` under `key` from now on, in place of what was there.

        None, and nothing changed, where there is no room, the lock is not to be had, or a dead writer's traces have to
        be cleared away first. The very same content that is held already stays.
        """
        content = b"".join((key, head, body))
        lengths = len(body) | len(head) << HEAD_SHIFT | len(key) << KEY_SHIFT
        if len(head) > HEAD_MASK or len(key) > 0xFFFF or blocks_for(len(content)) > self._arena.blocks:
            return None
        checksum = crc32(content)
        tag = tag_of(key)
        if not self._begin():
            return None
        try:
            ticket = self._publish(tag, content, lengths, checksum, checked_ns)
            self._arena.header[WRITING] = 0
        finally:
            self._lock.release()
        return ticket

    def drop(self, ticket: Ticket) -> bool:
        """Let go of the content of `ticket`; False when it stays because the lock is not to be had."""
        return self.drop_all((ticket,)) is not None

    def drop_all(self, tickets: Sequence[Ticket]) -> int | None:
        """Let go of several at once; how many of them were there still. None: all stay, for want of the lock."""
        if not self._begin():
            return None
        records = self._arena.records
        dropped = 0
        try:
            for number, sequence in tickets:
                at = number * RECORD_WORDS
                if records[at + SEQUENCE] == sequence and records[at + TAG]:
                    self._drop(number)
                    dropped += 1
            self._arena.header[WRITING] = 0
        finally:
            self._lock.release()
        return dropped

    def repair(self) -> bool:
        """Clear away what a dead writer left, if one did. Whether one had."""
        header = self._arena.header
        if not header[WRITING] or not self._lock.acquire(PATIENCE_SECONDS):
            return False
        try:
            if not header[WRITING]:
                return False
            self._repair()
            header[WRITING] = 0
            return True
        finally:
            self._lock.release()

    def _begin(self) -> bool:
        """Take the lock and say so; whether it is ours, and everything is in order."""
        if not self._lock.acquire(PATIENCE_SECONDS):
            return False
        header = self._arena.header
        if header[WRITING]:
            self._lock.release()
            return False
        header[WRITING] = self._pid
        return True

    def _publish(self, tag: int, content: bytes, lengths: int, checksum: int, checked_ns: int) -> Ticket | None:
        arena = self._arena
        header, records, links = arena.header, arena.records, arena.links
        old = self._find(tag)
        if old is not None:
            at = old * RECORD_WORDS
            if records[at + LENGTHS] == lengths and records[at + CHECKSUM] & 0xFFFF_FFFF == checksum:
                sequence = records[at + SEQUENCE]
                records[at + CHECKED] = max(records[at + CHECKED], checked_word(sequence, checked_ns))
                return Ticket(old, sequence)
            # Also where there is no room for the new content: the old one is not what the file is.
            self._drop(old)
        count = blocks_for(len(content))
        if not 0 < count <= header[FREE_BLOCKS]:
            return None
        number: int = header[FREE] - 1
        at = number * RECORD_WORDS
        sequence = records[at + SEQUENCE] + 1
        records[at + SEQUENCE] = sequence
        memory = arena.content
        block = number
        with memoryview(content) as view:
            for start in range(0, len(content), BLOCK_BYTES):
                piece = view[start : start + BLOCK_BYTES]
                place = block * BLOCK_BYTES
                memory[place : place + len(piece)] = piece
                last = block
                block = links[block] - 1
        links[last] = 0
        header[FREE] = block + 1
        header[FREE_BLOCKS] -= count
        bucket = tag & (arena.buckets - 1)
        records[at + TAG] = tag
        records[at + NEXT] = arena.heads[bucket]
        records[at + LENGTHS] = lengths
        records[at + CHECKSUM] = checksum | (monotonic_ns() // MS & 0xFFFF_FFFF) << 32
        records[at + CHECKED] = checked_word(sequence + 1, checked_ns)
        records[at + USE] = 0
        arena.heads[bucket] = number + 1
        records[at + SEQUENCE] = sequence + 1
        header[ENTRIES] += 1
        header[CONTENT] += len(content)
        self._note(number)
        return Ticket(number, sequence + 1)

    def _find(self, tag: int) -> int | None:
        """The entry with this tag. Nothing changes meanwhile, so every chain ends."""
        records = self._arena.records
        link = self._arena.heads[tag & (self._arena.buckets - 1)]
        while link:
            if records[(link - 1) * RECORD_WORDS + TAG] == tag:
                return int(link - 1)
            link = records[(link - 1) * RECORD_WORDS + NEXT]
        return None

    def _drop(self, number: int) -> None:
        arena = self._arena
        header, records, links = arena.header, arena.records, arena.links
        at = number * RECORD_WORDS
        records[at + SEQUENCE] += 1
        self._unlink(number)
        content_bytes = content_of(records[at + LENGTHS])
        last = number
        for _ in range(blocks_for(content_bytes) - 1):
            last = links[last] - 1
        links[last] = header[FREE]
        header[FREE] = number + 1
        header[FREE_BLOCKS] += blocks_for(content_bytes)
        header[ENTRIES] -= 1
        header[CONTENT] -= content_bytes
        records[at + TAG] = 0
        records[at + SEQUENCE] += 1
        self._note(number)

    def _unlink(self, number: int) -> None:
        """Take a record out of its bucket."""
        heads, records = self._arena.heads, self._arena.records
        at = number * RECORD_WORDS
        bucket = records[at + TAG] & (self._arena.buckets - 1)
        if heads[bucket] == number + 1:
            heads[bucket] = records[at + NEXT]
            return
        link = heads[bucket]
        while link:
            before = (link - 1) * RECORD_WORDS
            link = records[before + NEXT]
            if link == number + 1:
                records[before + NEXT] = records[at + NEXT]
                return
        # To be repaired: `writing` is set.
        raise RuntimeError(f"entry {number} of the shared cache is in no bucket")

    def _note(self, number: int) -> None:
        """Tell the keeper that something has become of a record."""
        header = self._arena.header
        self._arena.journal[header[JOURNALLED] % JOURNAL_WORDS] = number
        header[JOURNALLED] += 1

    def _repair(self) -> None:
        arena = self._arena
        header, records, links, heads = arena.header, arena.records, arena.links, arena.heads
        heads.cast("B")[:] = bytes(heads.nbytes)
        used = bytearray(arena.blocks)
        entries = content = 0
        sequences = records[SEQUENCE::RECORD_WORDS].tolist()
        for number, tag in enumerate(records[TAG::RECORD_WORDS].tolist()):
            at = number * RECORD_WORDS
            chain = self._chain(number) if tag and not sequences[number] & 1 else []
            if not chain or any(used[block] for block in chain):
                if tag or sequences[number] & 1:
                    records[at + TAG] = 0
                    # The next even one: whoever copied something of this has to see that it has changed.
                    records[at + SEQUENCE] = (sequences[number] | 1) + 1
                continue
            for block in chain:
                used[block] = 1
            bucket = tag & (arena.buckets - 1)
            records[at + NEXT] = heads[bucket]
            heads[bucket] = number + 1
            entries += 1
            content += content_of(records[at + LENGTHS])
        free = 0
        for block in range(arena.blocks - 1, -1, -1):
            if not used[block]:
                links[block] = free
                free = block + 1
        header[FREE] = free
        header[FREE_BLOCKS] = used.count(0)
        header[ENTRIES] = entries
        header[CONTENT] = content
        header[GENERATION] += 1

    def _chain(self, number: int) -> list[int]:
        """The blocks of a published record; none when they are not what its length says."""
        arena = self._arena
        chain = []
        block = number
        for _ in range(blocks_for(content_of(arena.records[number * RECORD_WORDS + LENGTHS]))):
            if not 0 <= block < arena.blocks:
                return []
            chain.append(block)
            block = arena.links[block] - 1
        return chain if block == -1 else []
