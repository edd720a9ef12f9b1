# Every structure of the arena, walked: what must hold whenever nobody writes.
"""The invariants of an arena."""

from wsrv.engine.cache.shared.arena import (
    CONTENT,
    ENTRIES,
    FREE,
    FREE_BLOCKS,
    LENGTHS,
    NEXT,
    RECORD_WORDS,
    SEQUENCE,
    TAG,
    WRITING,
    Arena,
    blocks_for,
    content_of,
)


def chain(arena: Arena, block: int) -> list[int]:
    """The blocks from `block` on."""
    found = []
    while block != -1:
        assert block not in found, f"the chain through block {block} is a ring"
        found.append(block)
        block = arena.links[block] - 1
    return found


def check(arena: Arena) -> None:
    """Raises AssertionError naming what does not hold."""
    header, records = arena.header, arena.records
    assert header[WRITING] == 0, "somebody writes, or died of it"
    live = [n for n in range(arena.blocks) if records[n * RECORD_WORDS + TAG]]
    assert all(records[n * RECORD_WORDS + SEQUENCE] % 2 == 0 for n in range(arena.blocks)), "a record is odd"
    used: list[int] = []
    content = 0
    for number in live:
        length = content_of(records[number * RECORD_WORDS + LENGTHS])
        blocks = chain(arena, number)
        assert len(blocks) == blocks_for(length), f"entry {number} has {len(blocks)} blocks for {length} bytes"
        used += blocks
        content += length
    free = chain(arena, header[FREE] - 1)
    assert sorted(used + free) == list(range(arena.blocks)), "a block is used twice, or lost"
    assert header[FREE_BLOCKS] == len(free)
    assert header[ENTRIES] == len(live)
    assert header[CONTENT] == content
    linked = []
    for bucket in range(arena.buckets):
        link = arena.heads[bucket]
        while link:
            assert records[(link - 1) * RECORD_WORDS + TAG] % arena.buckets == bucket, (
                f"{link - 1} is in bucket {bucket}"
            )
            linked.append(link - 1)
            assert len(linked) <= len(live), "buckets lead to what is not published, or in rings"
            link = records[(link - 1) * RECORD_WORDS + NEXT]
    assert sorted(linked) == live
