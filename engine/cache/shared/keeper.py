# The keeper: one process that has the policy, and makes room before anybody needs it.
#
#   journal   what was published and dropped, in order       ─> policy.admit, policy.remove
#   rings     what was asked for, in batches and with gaps   ─> policy.hit
#   victims   ─> dropped, under the writer's lock
#
# Rule 1: the policy has less to fill than there is: the rest is the reserve, which workers store in until the keeper
#         comes round. It comes every 50 ms while something happens, and at once when the bell says that room is short.
# Rule 2: nothing of it is lost with it. A successor walks the entries, those that were hit longest ago first.
# Rule 3: the keeper repairs what a dead writer left; no worker's clients wait for that.
"""The keeper of the shared cache: the policy's home."""

from collections import deque
from time import monotonic_ns

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.shared.arena import (
    BLOCK_BYTES,
    DROPS,
    EVICTIONS,
    GENERATION,
    HEEDED,
    JOURNAL_WORDS,
    JOURNALLED,
    LOW_BITS,
    LOW_MASK,
    RECORD_WORDS,
    REFUSALS,
    SEQUENCE,
    USE,
    Arena,
    WriterLock,
    blocks_for,
    content_of,
)
from wsrv.engine.cache.shared.reading import MS, Reader, Ticket
from wsrv.engine.cache.shared.rings import HitReader
from wsrv.engine.cache.shared.writing import Writer
from wsrv.engine.cache.store import CAPACITY, DEPARTURES, REFUSED, Departure

# Entries that leave under one taking of the lock: 2 us each.
_MOST_AT_ONCE = 64


def policy_bytes(arena: Arena) -> int:
    """The capacity that the policy of an arena is made with."""
    return (arena.blocks - arena.reserve) * BLOCK_BYTES


class Keeper:
    """Applies what workers tell to `policy`, whose keys are tags of eight bytes, and drops its victims."""

    def __init__(self, arena: Arena, lock: WriterLock, policy: Policy) -> None:
        self._arena = arena
        self._reader = Reader(arena, lock)
        self._writer = Writer(arena, lock)
        self.policy = policy
        # By tag, the content that the policy knows of.
        self._known: dict[int, Ticket] = {}
        # By record number, its tag.
        self._tags: dict[int, int] = {}
        self._rings = [HitReader(arena, row) for row in range(arena.rows)]
        self._victims: list[Ticket] = []
        # The last that it has sent away. Who dropped something else, because it has changed, remembers that himself.
        self.departures: deque[Departure] = deque(maxlen=DEPARTURES)
        self._generation = -1

    def turn(self) -> bool:
        """Go round once; whether there was anything to do."""
        header = self._arena.header
        busy = self._writer.repair()
        # Before the journal is looked at: what is written behind it is heeded the next time.
        journalled = header[JOURNALLED]
        behind = journalled - header[HEEDED]
        if header[GENERATION] != self._generation or behind > JOURNAL_WORDS // 2:
            self._generation = header[GENERATION]
            self._walk()
            busy = True
        elif behind:
            for position in range(header[HEEDED], journalled):
                self._heed(self._arena.journal[position % JOURNAL_WORDS])
            busy = True
        header[HEEDED] = journalled
        busy = self._apply_hits() or busy
        return self._evict() or busy

    def _walk(self) -> None:
        """Learn anew what there is."""
        entries = sorted(
            self._reader.entries(), key=lambda entry: (entry.last_hit_ns or entry.stored_ns, entry.last_hit_ns > 0)
        )
        there = {entry.ticket.number for entry in entries}
        for number in [number for number in self._tags if number not in there]:
            self._heed(number)
        for entry in entries:
            self._heed(entry.ticket.number)

    def _heed(self, number: int) -> None:
        """Bring the policy up to date about one record."""
        records = self._arena.records
        at = number * RECORD_WORDS
        sequence, tag, _, lengths, _, _, _, _ = records[at : at + RECORD_WORDS].tolist()
        if sequence & 1 or records[at + SEQUENCE] != sequence:
            # Somebody is at it, and notes it in the journal when he is done; or he died, and there will be a walk.
            return
        known = self._tags.get(number)
        if known is not None and (known != tag or self._known[known].sequence != sequence):
            self._forget(number, known)
        if tag and number not in self._tags:
            self._admit(tag, Ticket(number, sequence), blocks_for(content_of(lengths)) * BLOCK_BYTES)

    def _forget(self, number: int, tag: int) -> None:
        del self._tags[number]
        del self._known[tag]
        self.policy.remove(_key(tag))

    def _admit(self, tag: int, ticket: Ticket, weight: int) -> None:
        if (other := self._known.get(tag)) is not None:
            # The record that it had before: its note stands farther behind in the journal.
            self._forget(other.number, tag)
        self._known[tag] = ticket
        self._tags[ticket.number] = tag
        key = _key(tag)
        for victim in self.policy.admit(key, weight):
            victim_tag = int.from_bytes(victim, "little")
            gone = self._known.pop(victim_tag)
            del self._tags[gone.number]
            self._victims.append(gone)
            self._arena.header[REFUSALS if victim == key else EVICTIONS] += 1
            self._remember(gone, REFUSED if victim == key else CAPACITY, None if victim == key else ticket)

    def _remember(self, gone: Ticket, reason: str, pushed_by: Ticket | None) -> None:
        found = self._reader.key_and_weight(gone)
        if found is not None:
            pusher = None if pushed_by is None else self._reader.key_and_weight(pushed_by)
            self.departures.append(Departure(monotonic_ns(), *found, reason, None if pusher is None else pusher[0]))

    def _apply_hits(self) -> bool:
        now_ms = monotonic_ns() // MS
        records, known, hit = self._arena.records, self._known, self.policy.hit
        told = False
        for ring in self._rings:
            before = ring.drops
            for tag in ring.take():
                told = True
                ticket = known.get(tag)
                if ticket is not None:
                    hit(_key(tag))
                    at = ticket.number * RECORD_WORDS + USE
                    hits = records[at] & LOW_MASK
                    records[at] = now_ms << LOW_BITS | min(hits + 1, LOW_MASK)
            self._arena.header[DROPS] += ring.drops - before
        return told

    def _evict(self) -> bool:
        """Drop the victims; whether there were any. Those that the lock was not to be had for come next time."""
        victims = self._victims
        some = bool(victims)
        while victims and self._writer.drop_all(victims[:_MOST_AT_ONCE]) is not None:
            del victims[:_MOST_AT_ONCE]
        return some


def _key(tag: int) -> bytes:
    return tag.to_bytes(8, "little")
