# The one mapping that master, workers and log writer share, made before the first fork.
#
#   0             header      64 words: see below
#   4 KiB         cells       CELL_BYTES each: locks and semaphores, by number
#   + cells       rows        ROW_BYTES each
#   page aligned  rings       RING_BYTES each, one a row
#
#   header word 0   asleep    log writer   it waits for the bell
#               8   intent    log writer   see wsrv.engine.log.writer: what it is about to write, for its successor
#
# Anonymous and shared: it needs neither /dev/shm nor a descriptor, no name is left over by any death, and it
# stands at the same address in every process.
"""The shared mapping: where everything in it lies."""

import mmap
import os

from wsrv.engine.shm.row import RING_BYTES, ROW_BYTES, WORD, Row

PAGE = 4096
HEADER_WORDS = 64
ASLEEP_WORD = 0
INTENT_WORD = 8
INTENT_WORDS = 8


class Mapping:
    """Shared memory for `cells` synchronisation cells of `cell_bytes` and for `rows` statistics rows with rings."""

    def __init__(self, cells: int, cell_bytes: int, rows: int) -> None:
        self._cell_bytes = cell_bytes
        self._cells_at = PAGE
        rows_at = PAGE + cells * cell_bytes
        rings_at = -(-(rows_at + rows * ROW_BYTES) // PAGE) * PAGE
        self._map = mmap.mmap(-1, rings_at + rows * RING_BYTES)
        self._view = memoryview(self._map)
        self.header = self._view[: HEADER_WORDS * WORD].cast("Q")
        self.rows = [
            Row(
                self._view[rows_at + i * ROW_BYTES : rows_at + (i + 1) * ROW_BYTES].cast("Q"),
                self._view[rings_at + i * RING_BYTES : rings_at + (i + 1) * RING_BYTES],
            )
            for i in range(rows)
        ]
        # Eventfd and nothing else: whoever puts log text into a ring wakes the log writer by it.
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def cell(self, number: int) -> memoryview:
        """The zeroed memory of one lock or semaphore."""
        start = self._cells_at + number * self._cell_bytes
        return self._view[start : start + self._cell_bytes]

    @property
    def asleep(self) -> memoryview:
        """The log writer's word: one while it waits for the bell."""
        return self.header[ASLEEP_WORD : ASLEEP_WORD + 1]

    @property
    def intent(self) -> memoryview:
        """The log writer's words about the write it is in."""
        return self.header[INTENT_WORD : INTENT_WORD + INTENT_WORDS]

    def close(self) -> None:
        """Close the bell. The memory goes with the last process that has it mapped."""
        os.close(self.bell)
