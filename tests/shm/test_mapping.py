"""Nothing in the mapping lies on anything else, and it is shared with whoever is forked later."""

import ctypes

from wsrv.engine.shm.mapping import ASLEEP_WORD, HEADER_WORDS, INTENT_WORD, INTENT_WORDS, Mapping
from wsrv.engine.shm.row import (
    COUNTERS,
    FIRST_GUARD,
    GUARD_INDEX,
    GUARD_WORDS,
    HISTOGRAM_WORD,
    LIMIT_INDEX,
    RING_BYTES,
    ROW_WORDS,
    SNAPSHOT_WORD,
    STATUS_INDEX,
    TAIL_WORD,
    TROUBLE_INDEX,
)
from wsrv.testing.processes import Child

CELL_BYTES = 64


def paint(view: memoryview, colour: int) -> memoryview:
    """Fill all of `view`."""
    raw = view.cast("B")
    raw[:] = bytes([colour]) * raw.nbytes
    return raw


def test_cells_rows_rings_and_header_do_not_overlap() -> None:
    mapping = Mapping(5, CELL_BYTES, 3)
    views = [mapping.header.cast("B"), *(mapping.cell(number) for number in range(5))]
    for row in mapping.rows:
        views += [row.words.cast("B"), row.ring]
    for colour, view in enumerate(views, 1):
        paint(view, colour)
    for colour, view in enumerate(views, 1):
        assert bytes(view) == bytes([colour]) * view.nbytes, f"view {colour} was painted over"
    assert [view.nbytes for view in views[1:6]] == [CELL_BYTES] * 5
    assert {row.ring.nbytes for row in mapping.rows} == {RING_BYTES}
    assert {len(row.words) for row in mapping.rows} == {ROW_WORDS}
    mapping.close()


def test_the_log_writers_words_do_not_overlap(mapping: Mapping) -> None:
    mapping.asleep[0] = 1
    for number in range(INTENT_WORDS):
        mapping.intent[number] = number + 2
    assert mapping.asleep[0] == mapping.header[ASLEEP_WORD] == 1
    assert mapping.header[INTENT_WORD : INTENT_WORD + INTENT_WORDS].tolist() == mapping.intent.tolist()
    assert INTENT_WORD + INTENT_WORDS <= HEADER_WORDS


def test_a_row_has_room_for_all_that_is_drawn_at_its_top() -> None:
    assert TAIL_WORD < SNAPSHOT_WORD
    assert SNAPSHOT_WORD + 2 * COUNTERS == HISTOGRAM_WORD < ROW_WORDS
    assert max(STATUS_INDEX.values()) + 1 == min(LIMIT_INDEX.values())
    assert max(LIMIT_INDEX.values()) + 1 == min(TROUBLE_INDEX.values())
    assert max(TROUBLE_INDEX.values()) == FIRST_GUARD - 1
    assert max(GUARD_INDEX.values()) + GUARD_WORDS == COUNTERS


def test_words_and_cells_are_aligned_so_that_none_is_torn() -> None:
    for cells in range(4):
        mapping = Mapping(cells, CELL_BYTES, 2)
        begin = address(mapping.header)
        for row in mapping.rows:
            assert (address(row.words) - begin) % 8 == 0
            assert (address(row.ring) - begin) % 4096 == 0
        assert all((address(mapping.cell(number)) - begin) % CELL_BYTES == 0 for number in range(cells))
        mapping.close()


def test_all_of_it_is_zero_at_first() -> None:
    mapping = Mapping(2, CELL_BYTES, 1)
    views = (mapping.header, mapping.cell(0), mapping.cell(1), mapping.rows[0].words, mapping.rows[0].ring)
    assert not any(any(view.cast("B")) for view in views)
    mapping.close()


def test_a_child_writes_where_we_read(mapping: Mapping) -> None:
    def write() -> None:
        mapping.asleep[0] = 7
        mapping.rows[0].ring[-1] = 8
        mapping.rows[0].words[TAIL_WORD] = 9

    with Child(write, [mapping.bell]):
        pass
    assert (mapping.asleep[0], mapping.rows[0].ring[-1], mapping.rows[0].words[TAIL_WORD]) == (7, 8, 9)


def address(view: memoryview) -> int:
    """Where `view` lies in memory."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
