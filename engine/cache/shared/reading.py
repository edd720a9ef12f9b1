# Reading the arena without a lock.
#
# Rule 1: look at the sequence, copy, look again; then the checksum. Anything odd is a miss, never a second try.
# Rule 2: no number from the arena is believed: a chain is followed for as many blocks as its length says, and within
#         the arena.
# Rule 3: x86 makes one process's stores visible in their order, and a word at once. Elsewhere the lock is taken.
"""What the shared cache holds, as any process reads it."""

import platform
from collections.abc import Iterator
from time import monotonic_ns
from typing import NamedTuple
from zlib import crc32

from wsrv.engine.cache.shared.arena import (
    BLOCK_BYTES,
    BODY_MASK,
    CHECKED,
    HEAD_MASK,
    HEAD_SHIFT,
    KEY_SHIFT,
    LENGTHS,
    LOW_BITS,
    LOW_MASK,
    NEXT,
    RECORD_WORDS,
    SEQUENCE,
    TAG,
    Arena,
    WriterLock,
    blocks_for,
    content_of,
    tag_of,
)

MS = 1_000_000
STORES_IN_ORDER = platform.machine() in ("x86_64", "AMD64", "i686")
# Entries of a bucket that are looked at. There are as many buckets as blocks or more, so eight in one are rare; more
# are a chain that is being changed under our eyes.
_BUCKET_STEPS = 32
# Where readers take the lock, as long as a writer needs for the longest entry and somewhat more.
_PATIENCE_SECONDS = 0.005


class Ticket(NamedTuple):
    """One content of one record: another content in it has another sequence."""

    number: int
    sequence: int


class Held(NamedTuple):
    """What was found. `head` is what the keeper of the content put before its `body`, and means nothing here."""

    ticket: Ticket
    head: bytes
    body: bytes
    checked_ns: int


class Listed(NamedTuple):
    """An entry as a list shows it. Times are CLOCK_MONOTONIC, to the millisecond; `last_hit_ns` 0: never hit."""

    key: bytes
    tag: int
    ticket: Ticket
    body_bytes: int
    real_bytes: int
    stored_ns: int
    checked_ns: int
    last_hit_ns: int
    hits: int


class Reader:
    """Looks entries up. `lock` is only for machines that reorder stores; `torn` counts what was odd."""

    def __init__(self, arena: Arena, lock: WriterLock, stores_in_order: bool = STORES_IN_ORDER) -> None:
        self._arena = arena
        self._lock = None if stores_in_order else lock
        self.torn = 0

    def get(self, key: bytes) -> Held | None:
        """What is held under `key`, whole; None for a miss."""
        if self._lock is None:
            return self._get(key)
        if not self._lock.acquire(_PATIENCE_SECONDS):
            return None
        try:
            return self._get(key)
        finally:
            self._lock.release()

    def holds(self, key: bytes) -> bool:
        """Whether something is held under `key`, or was a moment ago."""
        return self._number(tag_of(key)) is not None

    def _get(self, key: bytes) -> Held | None:
        tag = tag_of(key)
        number = self._number(tag)
        if number is None:
            return None
        held = self._copy(number, tag)
        if held is None:
            self.torn += 1
            return None
        found, found_key = held
        # Two keys with one tag: one in 2^64.
        return found if found_key == key else None

    def _number(self, tag: int) -> int | None:
        records = self._arena.records
        link = self._arena.heads[tag & (self._arena.buckets - 1)]
        for _ in range(_BUCKET_STEPS):
            if not link:
                return None
            at = (link - 1) * RECORD_WORDS
            if records[at + TAG] == tag:
                return link - 1
            link = records[at + NEXT]
        return None

    def _copy(self, number: int, tag: int) -> tuple[Held, bytes] | None:
        """The content of a record, and its key; None for what is not what it was, or not what `tag` is for."""
        arena = self._arena
        at = number * RECORD_WORDS
        sequence, found_tag, _, lengths, checksum, checked, _, _ = arena.records[at : at + RECORD_WORDS].tolist()
        if sequence & 1 or found_tag != tag:
            return None
        body_bytes = lengths & BODY_MASK
        key_bytes = lengths >> KEY_SHIFT
        front_bytes = key_bytes + (lengths >> HEAD_SHIFT & HEAD_MASK)
        content, links, blocks = arena.content, arena.links, arena.blocks
        left = front_bytes + body_bytes
        count = blocks_for(left)
        pieces = []
        for _ in range(count):
            if not 0 <= number < blocks:
                return None
            start = number * BLOCK_BYTES
            pieces.append(content[start : start + (left if left < BLOCK_BYTES else BLOCK_BYTES)])
            left -= BLOCK_BYTES
            number = links[number] - 1
        if front_bytes <= BLOCK_BYTES and pieces:
            front = bytes(pieces[0][:front_bytes])
            pieces[0] = pieces[0][front_bytes:]
            body = b"".join(pieces)
        else:
            whole = b"".join(pieces)
            front, body = whole[:front_bytes], whole[front_bytes:]
        if arena.records[at + SEQUENCE] != sequence or crc32(body, crc32(front)) != checksum & 0xFFFF_FFFF:
            return None
        # A check of another content does not count for this one.
        checked_ns = (checked >> LOW_BITS) * MS if checked & LOW_MASK == sequence & LOW_MASK else 0
        ticket = Ticket(at // RECORD_WORDS, sequence)
        return Held(ticket, front[key_bytes:], body, checked_ns), front[:key_bytes]

    def checked_ns(self, ticket: Ticket) -> int:
        """When the content of `ticket` was last seen to be as its file is; 0 when it is no longer held."""
        at = ticket.number * RECORD_WORDS
        checked: int = self._arena.records[at + CHECKED]
        if self._arena.records[at + SEQUENCE] != ticket.sequence or checked & LOW_MASK != ticket.sequence & LOW_MASK:
            return 0
        return (checked >> LOW_BITS) * MS

    def confirm(self, ticket: Ticket, checked_ns: int) -> None:
        """Say to all that the content of `ticket` was as its file is at `checked_ns`. Harmless when it has gone."""
        at = ticket.number * RECORD_WORDS
        if self._arena.records[at + SEQUENCE] == ticket.sequence:
            self._arena.records[at + CHECKED] = checked_word(ticket.sequence, checked_ns)

    def entries(self) -> Iterator[Listed]:
        """What is published, in no order, as it is when it is looked at."""
        arena = self._arena
        now_ms = monotonic_ns() // MS
        for number, known in enumerate(arena.records[TAG::RECORD_WORDS].tolist()):
            if not known:
                continue
            at = number * RECORD_WORDS
            # Whatever there was when the list was made.
            sequence, tag, _, lengths, checksum, checked, use, _ = arena.records[at : at + RECORD_WORDS].tolist()
            key = self._key(number, lengths >> KEY_SHIFT)
            if sequence & 1 or arena.records[at + SEQUENCE] != sequence or tag_of(key) != tag:
                continue
            yield Listed(
                key=key,
                tag=tag,
                ticket=Ticket(number, sequence),
                body_bytes=lengths & BODY_MASK,
                real_bytes=blocks_for(content_of(lengths)) * BLOCK_BYTES,
                stored_ns=(now_ms - ((now_ms - (checksum >> 32)) & 0xFFFF_FFFF)) * MS,
                checked_ns=(checked >> LOW_BITS) * MS,
                last_hit_ns=(use >> LOW_BITS) * MS,
                hits=use & LOW_MASK,
            )

    def key_and_weight(self, ticket: Ticket) -> tuple[bytes, int] | None:
        """The key and the real bytes of the content of `ticket`; None when it is no longer held."""
        records, at = self._arena.records, ticket.number * RECORD_WORDS
        lengths = records[at + LENGTHS]
        key = self._key(ticket.number, lengths >> KEY_SHIFT)
        # As long as its sequence is the same, nothing of it was changed.
        if records[at + SEQUENCE] != ticket.sequence or tag_of(key) != records[at + TAG]:
            return None
        return key, blocks_for(content_of(lengths)) * BLOCK_BYTES

    def _key(self, number: int, key_bytes: int) -> bytes:
        arena = self._arena
        pieces = []
        while key_bytes > 0 and 0 <= number < arena.blocks:
            start = number * BLOCK_BYTES
            pieces.append(arena.content[start : start + min(key_bytes, BLOCK_BYTES)])
            key_bytes -= BLOCK_BYTES
            number = arena.links[number] - 1
        return b"".join(pieces)


def checked_word(sequence: int, checked_ns: int) -> int:
    """A time and the content that it is about, in one word."""
    return (checked_ns // MS) << LOW_BITS | (sequence & LOW_MASK)
