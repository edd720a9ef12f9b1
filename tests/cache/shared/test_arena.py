# What one process sees of it, held against a dict after every step.
"""Publishing, finding and dropping entries."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.cache.shared.walk import check
from wsrv.engine.cache.shared.arena import (
    BLOCK_BYTES,
    CHECKSUM,
    GENERATION,
    RECORD_WORDS,
    SEQUENCE,
    WRITING,
    Arena,
    blocks_for,
    tag_of,
)
from wsrv.engine.cache.shared.reading import MS, Reader, Ticket
from wsrv.engine.cache.shared.writing import Writer
from wsrv.plugins.primitives.robust import RobustLock

HEAD = b"a head"


class NoLock:
    """For what only one process uses."""

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        return True

    def release(self) -> None:
        pass


class AgainstADict(RuleBasedStateMachine):
    """An arena of 24 blocks beside a dict of what was published."""

    keys = st.sampled_from([b"key-%d" % n for n in range(12)] + [b"long-" * 900])
    bodies = st.tuples(
        st.sampled_from((0, 1, 500, BLOCK_BYTES - 20, BLOCK_BYTES, 3 * BLOCK_BYTES, 9 * BLOCK_BYTES)),
        st.binary(max_size=2),
    ).map(lambda made: made[1] + bytes(made[0]))

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(24 * 2120, rows=1)
        assert self.arena.blocks == 24
        self.reader = Reader(self.arena, NoLock(), stores_in_order=True)
        self.writer = Writer(self.arena, NoLock())
        self.model: dict[bytes, tuple[bytes, bytes]] = {}
        self.tickets: dict[bytes, Ticket] = {}

    def free(self) -> int:
        return self.arena.blocks - sum(blocks_for(len(k) + len(h) + len(b)) for k, (h, b) in self.model.items())

    @rule(key=keys, head=st.sampled_from((b"", HEAD, b"h" * 3000)), body=bodies)
    def publish(self, key: bytes, head: bytes, body: bytes) -> None:
        old = self.model.pop(key, None)
        count = blocks_for(len(key) + len(head) + len(body))
        fits = count <= self.free()
        ticket = self.writer.publish(key, head, body, 5 * MS)
        if count > self.arena.blocks:
            assert ticket is None
            if old is not None:
                self.model[key] = old
            return
        assert (ticket is not None) == fits
        if ticket is not None:
            assert old != (head, body) or ticket == self.tickets[key]
            self.model[key] = (head, body)
            self.tickets[key] = ticket

    @rule(key=keys)
    def drop(self, key: bytes) -> None:
        # Dropping by an old ticket does nothing.
        if key in self.tickets:
            assert self.writer.drop(self.tickets.pop(key))
            self.model.pop(key, None)

    @rule()
    def repair(self) -> None:
        assert not self.writer.repair()
        self.arena.header[WRITING] = 1
        assert self.writer.repair()

    @invariant()
    def all_is_as_in_the_dict(self) -> None:
        check(self.arena)
        for key in (b"key-%d" % n for n in range(12)):
            held = self.reader.get(key)
            assert (held and (held.head, held.body)) == self.model.get(key)
        assert {e.key for e in self.reader.entries()} == self.model.keys()
        assert self.reader.torn == 0


def test_it_holds_what_a_dict_holds_after_every_step() -> None:
    run_state_machine_as_test(AgainstADict, settings=settings(max_examples=60, stateful_step_count=40))


def test_where_stores_may_be_seen_out_of_order_readers_take_the_lock(arena: Arena, lock: RobustLock) -> None:
    reader, writer = Reader(arena, lock, stores_in_order=False), Writer(arena, lock)
    assert writer.publish(b"key", HEAD, b"body", 0)
    found = reader.get(b"key")
    assert found is not None
    assert found.body == b"body"
    with _held_by_another(lock):
        assert reader.get(b"key") is None
    assert reader.get(b"key") is not None


def test_a_writer_that_does_not_get_the_lock_stores_nothing(writer: Writer, reader: Reader, lock: RobustLock) -> None:
    with _held_by_another(lock):
        assert writer.publish(b"key", HEAD, b"body", 0) is None
        assert not writer.drop(Ticket(0, 0))
    assert reader.get(b"key") is None
    assert writer.publish(b"key", HEAD, b"body", 0) is not None


def test_content_that_does_not_match_its_checksum_is_a_miss(arena: Arena, writer: Writer, reader: Reader) -> None:
    ticket = writer.publish(b"key", HEAD, bytes(5000), 0)
    assert ticket is not None
    start = ticket.number * BLOCK_BYTES
    arena.content[start + 100] ^= 1
    assert reader.get(b"key") is None
    arena.content[start + 100] ^= 1
    assert reader.get(b"key") is not None
    arena.records[ticket.number * RECORD_WORDS + CHECKSUM] ^= 1 << 63  # the time that stands beside it
    assert reader.get(b"key") is not None
    arena.records[ticket.number * RECORD_WORDS + SEQUENCE] += 1
    assert reader.get(b"key") is None
    assert reader.torn == 2


def test_a_chain_that_leads_anywhere_is_a_miss(arena: Arena, writer: Writer, reader: Reader) -> None:
    ticket = writer.publish(b"key", HEAD, bytes(9000), 0)
    assert ticket is not None
    for leads_to in (0, 2**32 - 1, ticket.number + 1):
        was, arena.links[ticket.number] = arena.links[ticket.number], leads_to
        assert reader.get(b"key") is None
        arena.links[ticket.number] = was
    assert reader.get(b"key") is not None


def test_one_check_counts_for_all_and_not_for_other_content(writer: Writer, reader: Reader) -> None:
    first = writer.publish(b"key", HEAD, b"first", 5 * MS)
    assert first is not None
    assert reader.checked_ns(first) == 5 * MS
    reader.confirm(first, 9 * MS)
    assert reader.checked_ns(first) == 9 * MS
    assert writer.publish(b"key", HEAD, b"first", 7 * MS) == first
    assert reader.checked_ns(first) == 9 * MS, "an earlier check took back a later one"
    second = writer.publish(b"key", HEAD, b"second", 6 * MS)
    assert second is not None
    assert second.number == first.number, "the test is about a record that is used again"
    reader.confirm(first, 50 * MS)
    assert reader.checked_ns(first) == 0
    assert reader.checked_ns(second) == 6 * MS
    found = reader.get(b"key")
    assert found is not None
    assert found.checked_ns == 6 * MS


def test_a_check_that_lands_in_a_record_used_again_does_not_count(arena: Arena, writer: Writer, reader: Reader) -> None:
    first = writer.publish(b"key", HEAD, b"first", 5 * MS)
    assert first is not None
    late = arena.records[first.number * RECORD_WORDS + 5] + (40 << 24)
    second = writer.publish(b"key", HEAD, b"second", 6 * MS)
    assert second is not None
    arena.records[second.number * RECORD_WORDS + 5] = late
    assert reader.checked_ns(second) == 0
    found = reader.get(b"key")
    assert found is not None
    assert found.checked_ns == 0


def test_entries_say_what_there_is(writer: Writer, reader: Reader) -> None:
    assert list(reader.entries()) == []
    ticket = writer.publish(b"k" * 3000, HEAD, bytes(3000), 5 * MS)
    (entry,) = reader.entries()
    assert entry.key == b"k" * 3000
    assert (entry.body_bytes, entry.real_bytes) == (3000, 3 * BLOCK_BYTES)
    assert (entry.ticket, entry.checked_ns, entry.hits, entry.last_hit_ns) == (ticket, 5 * MS, 0, 0)
    assert entry.tag == tag_of(b"k" * 3000)
    assert entry.stored_ns > 0


def test_what_leaves_while_entries_are_listed_is_not_listed(writer: Writer, reader: Reader, arena: Arena) -> None:
    tickets = [writer.publish(b"%d" % number, HEAD, b"", 0) for number in range(3)]
    listing = reader.entries()
    assert next(listing).key == b"0"
    assert tickets[1] is not None
    assert writer.drop(tickets[1])
    assert [entry.key for entry in listing] == [b"2"]
    # What was dropped is dropped once, even by who knows the sequence of the record that it left.
    assert writer.drop_all([Ticket(tickets[1].number, tickets[1].sequence + 2), tickets[1]]) == 0
    check(arena)


def test_a_writer_that_finds_a_record_in_no_bucket_leaves_it_to_repair(writer: Writer, arena: Arena) -> None:
    ticket = writer.publish(b"key", HEAD, b"", 0)
    assert ticket is not None
    arena.heads[tag_of(b"key") & (arena.buckets - 1)] = 0
    with pytest.raises(RuntimeError, match="in no bucket"):
        writer.drop(ticket)
    assert writer.publish(b"other", HEAD, b"", 0) is None
    assert writer.repair()
    check(arena)
    assert writer.publish(b"other", HEAD, b"", 0) is not None


def test_an_arena_of_one_block_works(lock: RobustLock) -> None:
    arena = Arena(1, rows=1)
    reader, writer = Reader(arena, lock), Writer(arena, lock)
    assert writer.publish(b"key", HEAD, bytes(BLOCK_BYTES), 0) is None
    ticket = writer.publish(b"key", HEAD, b"body", 0)
    assert ticket is not None
    assert writer.publish(b"other", HEAD, b"body", 0) is None
    assert reader.get(b"key") is not None
    assert writer.drop(ticket)
    check(arena)


def test_new_content_that_finds_no_room_does_not_leave_the_old(writer: Writer, reader: Reader, arena: Arena) -> None:
    assert writer.publish(b"filler", HEAD, bytes((arena.blocks - 3) * BLOCK_BYTES), 0)
    assert writer.publish(b"key", HEAD, b"old", 0)
    assert writer.publish(b"key", HEAD, bytes(4 * BLOCK_BYTES), 0) is None
    assert reader.get(b"key") is None
    check(arena)


def test_tags_are_the_same_in_every_process() -> None:
    program = "from wsrv.engine.cache.shared.arena import tag_of; print(tag_of(b'/index.html'))"
    tags = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            timeout=20,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert tags == {b"%d\n" % tag_of(b"/index.html")}


@pytest.mark.parametrize("stays", [b"key", b"other"])
def test_repair_clears_away_what_is_odd_and_keeps_the_rest(
    arena: Arena, writer: Writer, reader: Reader, stays: bytes
) -> None:
    tickets = {key: writer.publish(key, HEAD, key * 3000, 0) for key in (b"key", b"other")}
    (gone,) = tickets.keys() - {stays}
    ticket = tickets[gone]
    assert ticket is not None
    arena.records[ticket.number * RECORD_WORDS + SEQUENCE] += 1
    arena.header[WRITING] = 1
    assert writer.publish(b"third", HEAD, b"", 0) is None, "nobody writes before the repair"
    assert reader.get(stays) is not None
    assert writer.repair()
    assert arena.header[GENERATION] == 1
    check(arena)
    assert reader.get(gone) is None
    found = reader.get(stays)
    assert found is not None
    assert found.body == stays * 3000
    assert arena.records[ticket.number * RECORD_WORDS + SEQUENCE] > ticket.sequence


@contextmanager
def _held_by_another(lock: RobustLock) -> Iterator[None]:
    from wsrv.testing.processes import Child, Gate

    taken, enough = Gate(), Gate()

    def hold() -> None:
        lock.acquire()
        taken.open()
        enough.wait()
        lock.release()

    with Child(hold, [taken.fd, enough.fd]):
        taken.wait()
        try:
            yield
        finally:
            enough.open()
    taken.close()
    enough.close()
