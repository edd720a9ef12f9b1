# A keeper that goes round when the test says so, beside a worker's writer and ring.
"""The keeper: its policy knows what is there, and there is room before anybody needs it."""

import random

import pytest

from tests.cache.shared.walk import check
from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.shared.arena import (
    DROPS,
    EVICTIONS,
    FREE_BLOCKS,
    JOURNAL_WORDS,
    REFUSALS,
    RING_WORDS,
    SEQUENCE,
    WRITING,
    Arena,
    tag_of,
)
from wsrv.engine.cache.shared.keeper import Keeper, policy_bytes
from wsrv.engine.cache.shared.reading import Reader
from wsrv.engine.cache.shared.rings import HitReader, HitRing
from wsrv.engine.cache.shared.writing import Writer
from wsrv.plugins.policies.fifo import Fifo
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.policies.wtinylfu import WTinyLfu
from wsrv.plugins.primitives.robust import RobustLock
from wsrv.plugins.registry import load
from wsrv.testing.processes import Child, Gate

POLICIES = list(load(frozenset()).policies.values())


def keeper_of(arena: Arena, lock: RobustLock, policy: type[Policy] = Lru) -> Keeper:
    return Keeper(arena, lock, policy(policy_bytes(arena)))


def settle(keeper: Keeper) -> None:
    while keeper.turn():
        pass


def keys_of(reader: Reader) -> set[bytes]:
    return {entry.key for entry in reader.entries()}


def check_keeper(keeper: Keeper, reader: Reader) -> None:
    """The policy knows exactly what there is, with its real bytes."""
    entries = list(reader.entries())
    assert len(keeper.policy) == len(entries)
    for entry in entries:
        assert entry.tag.to_bytes(8, "little") in keeper.policy
    assert keeper.policy.weight_bytes == sum(entry.real_bytes for entry in entries)
    keeper.policy.check_invariants()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.NAME)
def test_whatever_the_policy_it_knows_what_is_there_and_keeps_the_reserve_free(
    arena: Arena, lock: RobustLock, writer: Writer, reader: Reader, policy: type[Policy]
) -> None:
    keeper = keeper_of(arena, lock, policy)
    ring = HitRing(arena, 0)
    chance = random.Random(5)
    stored = 0
    for step in range(2000):
        key = b"key-%d" % int(chance.paretovariate(0.7) % 60)
        if reader.get(key) is not None:
            ring.note(tag_of(key))
        else:
            stored += writer.publish(key, b"", bytes(chance.choice((10, 3000, 9000))), 0) is not None
        if step % 7 == 0:
            settle(keeper)
            check(arena)
            check_keeper(keeper, reader)
            assert arena.header[FREE_BLOCKS] >= arena.reserve
    settle(keeper)
    gone = arena.header[EVICTIONS] + arena.header[REFUSALS]
    assert gone > 20
    assert stored - gone == len(keys_of(reader)), "all that was stored is there or was counted when it left"


def test_what_was_told_of_as_hit_stays(arena: Arena, lock: RobustLock, writer: Writer, reader: Reader) -> None:
    keeper = keeper_of(arena, lock)
    ring = HitRing(arena, 1)
    assert writer.publish(b"kept", b"", b"", 0)
    assert writer.publish(b"left", b"", b"", 0)
    settle(keeper)
    for number in range(3 * arena.blocks):
        assert writer.publish(b"%d" % number, b"", b"", 0) is not None
        ring.note(tag_of(b"kept"))
        settle(keeper)
    assert b"kept" in keys_of(reader)
    assert b"left" not in keys_of(reader)
    (entry,) = (entry for entry in reader.entries() if entry.key == b"kept")
    assert entry.hits == 3 * arena.blocks
    assert entry.last_hit_ns >= entry.stored_ns


@pytest.mark.parametrize(("blocks", "largest", "reserve"), [(1, 9, 0), (2, 9, 1), (160, 0, 10), (160, 40_000, 21)])
def test_the_reserve_has_room_for_the_longest_entry(blocks: int, largest: int, reserve: int) -> None:
    assert Arena(blocks * 2120, rows=1, largest_bytes=largest).reserve == reserve
    assert Arena(160 * 2120, rows=1, largest_bytes=10**7).reserve == 40


def test_a_long_entry_finds_room_however_full_the_arena_is(lock: RobustLock) -> None:
    arena = Arena(160 * 2120, rows=1, largest_bytes=70_000)
    writer, keeper = Writer(arena, lock), keeper_of(arena, lock)
    for number in range(400):
        assert writer.publish(b"%d" % number, b"", b"", 0)
        settle(keeper)
    assert writer.publish(b"long", b"", bytes(70_000), 0)


def test_who_is_not_taken_in_leaves_at_once_and_is_counted(
    arena: Arena, lock: RobustLock, writer: Writer, reader: Reader
) -> None:
    keeper = keeper_of(arena, lock, WTinyLfu)
    ring = HitRing(arena, 0)
    for number in range(arena.blocks):
        writer.publish(b"often-%d" % number, b"", b"", 0)
        for _ in range(5):
            ring.note(tag_of(b"often-%d" % number))
        settle(keeper)
    for number in range(50):
        assert writer.publish(b"once-%d" % number, b"", b"", 0)
        settle(keeper)
    assert arena.header[REFUSALS] + arena.header[EVICTIONS] >= 50
    assert len([key for key in keys_of(reader) if key.startswith(b"once")]) < 10


def test_a_successor_goes_on_with_what_was_hit_longest_ago_first(
    arena: Arena, lock: RobustLock, writer: Writer, reader: Reader
) -> None:
    first = keeper_of(arena, lock)
    ring = HitRing(arena, 0)
    filled = arena.blocks - arena.reserve
    for number in range(filled):
        assert writer.publish(b"%d" % number, b"", b"", 0)
    settle(first)
    ring.note(tag_of(b"0"))
    settle(first)
    writer.publish(b"between", b"", b"", 0)
    successor = keeper_of(arena, lock)
    settle(successor)
    check_keeper(successor, reader)
    assert b"0" in keys_of(reader), "it was the oldest, and had the last hit"
    assert len(keys_of(reader)) == filled


def test_more_than_the_journal_holds_is_walked(arena: Arena, lock: RobustLock, writer: Writer, reader: Reader) -> None:
    keeper = keeper_of(arena, lock)
    assert writer.publish(b"first", b"", b"", 0)
    settle(keeper)
    for number in range(JOURNAL_WORDS):
        ticket = writer.publish(b"%d" % number, b"", b"", 0)
        assert ticket is not None
        if number % 9:
            writer.drop(ticket)
        if arena.header[FREE_BLOCKS] < 3:
            writer.drop_all([entry.ticket for entry in reader.entries()])
    settle(keeper)
    check_keeper(keeper, reader)


def test_content_that_was_replaced_is_known_by_its_new_weight(
    arena: Arena, lock: RobustLock, writer: Writer, reader: Reader
) -> None:
    keeper = keeper_of(arena, lock)
    for length in (10, 5000, 5000, 100):
        assert writer.publish(b"key", b"%d" % length, bytes(length), 0)
        assert writer.publish(b"other", b"", bytes(length), 0)
    settle(keeper)
    check_keeper(keeper, reader)
    assert writer.publish(b"key", b"", bytes(9000), 0)
    settle(keeper)
    check_keeper(keeper, reader)


def test_it_repairs_what_a_dead_writer_left(arena: Arena, lock: RobustLock, writer: Writer, reader: Reader) -> None:
    keeper = keeper_of(arena, lock)
    tickets = [writer.publish(key, b"", bytes(3000), 0) for key in (b"a", b"b")]
    settle(keeper)
    assert tickets[0] is not None
    arena.records[tickets[0].number * 8 + SEQUENCE] += 1
    arena.header[WRITING] = 99
    settle(keeper)
    check(arena)
    check_keeper(keeper, reader)
    assert keys_of(reader) == {b"b"}


def test_victims_wait_for_a_lock_that_is_not_to_be_had(
    arena: Arena, lock: RobustLock, writer: Writer, reader: Reader
) -> None:
    keeper = keeper_of(arena, lock, Fifo)
    filled = arena.blocks - arena.reserve
    for number in range(filled + 2):
        assert writer.publish(b"%d" % number, b"", b"", 0)
    taken, enough = Gate(), Gate()

    def hold() -> None:
        lock.acquire()
        taken.open()
        enough.wait()
        lock.release()

    with Child(hold, [taken.fd, enough.fd]):
        taken.wait()
        keeper.turn()
        assert len(keys_of(reader)) == filled + 2
        enough.open()
    settle(keeper)
    assert keys_of(reader) == {b"%d" % number for number in range(2, filled + 2)}
    taken.close()
    enough.close()


def test_a_ring_that_was_written_over_gives_its_last_tags_and_counts_the_rest(arena: Arena, lock: RobustLock) -> None:
    reader, ring = HitReader(arena, 0), HitRing(arena, 0)
    assert reader.take() == []
    noted = 0
    for count in (1, RING_WORDS - 1, RING_WORDS - 2, 5, 3 * RING_WORDS + 7, 1):
        for number in range(count):
            ring.note(noted + number + 1)
        noted += count
        kept = min(count, RING_WORDS - 1)
        before = reader.drops
        assert reader.take() == list(range(noted - kept + 1, noted + 1))
        assert reader.drops - before == count - kept
    # The next process in the row goes on behind it.
    HitRing(arena, 0).note(5)
    assert reader.take() == [5]


def test_drops_are_counted_for_all(arena: Arena, lock: RobustLock) -> None:
    keeper = keeper_of(arena, lock)
    for row in (0, 1):
        ring = HitRing(arena, row)
        for _ in range(RING_WORDS + 9):
            ring.note(3)
    settle(keeper)
    assert arena.header[DROPS] == 2 * 10
