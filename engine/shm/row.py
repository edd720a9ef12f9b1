# A statistics row: what one worker process counts, and where its log text stands.
#
#   word   0            sequence       worker       the commit: snapshot (sequence & 1) is the one that counts
#          1            heartbeat_ns   worker
#          2            max_ns         worker       the longest request
#          3            wait_max_ns    worker       the longest way from accept to worker
#          8            tail           log writer   log text before this ring position is written out
#         16            snapshot 0     worker       COUNTERS words
#         16 + C        snapshot 1     worker
#         16 + 2C       histogram      worker       BUCKETS words: requests by latency
#         16 + 2C + B   waits          worker       BUCKETS words: connections by the time from accept to worker
#
# Rule 1: every word has one writer; words are eight bytes and aligned, so none is ever seen torn.
# Rule 2: counts and log text become visible together. A worker fills the snapshot that does not count, whose
#         COVERED word names the end of its log text, and then stores the sequence: whoever dies before that store
#         has neither logged nor counted, whoever dies after it has done both.
# Rule 3: ring positions only grow, over the lives of all workers that use the row, so a row is handed on without
#         waiting for its text to be written out.
"""Statistics rows in shared memory: the worker's Ledger, and what a reader sees."""

import os
from array import array

from wsrv.engine.shm.histogram import BUCKETS

WORD = 8

COVERED = 0
BYTES_SENT = 1
INTERNAL = 2
OPENED = 3
CLOSED = 4
HITS = 5
MISSES = 6
EVICTIONS = 7
SIZE_BYTES = 8
OBJECTS = 9
LOG_DROPPED = 10
LOST = 11
REFUSED = 12
TLS_HANDSHAKES = 13
TLS_FAILURES = 14
PROXY_MALFORMED = 15
# Of the shared cache: hits for which its memory was read; what was not stored; what was odd when it was read.
SHARED_HITS = 16
UNSTORED = 17
TORN = 18
# Answers from the memory of what was missing a moment ago, and how many paths that has.
NEGATIVE_HITS = 19
NEGATIVES = 20
FIRST_STATUS = 21
# The answers that can be given; anything else would be counted under the class's first number.
STATUSES = (
    *(200, 204, 206, 301, 302, 303, 304, 307, 308),
    *(400, 401, 403, 404, 405, 406, 408, 411, 412, 413, 414, 415, 416, 417),
    *(421, 426, 429, 431, 500, 501, 502, 503, 504, 505),
)
STATUS_INDEX = {status: FIRST_STATUS + i for i, status in enumerate(STATUSES)}
# Bounds by which a client was refused or let go, by the names of their settings.
LIMITS = (
    *("fields", "head_size", "target_size", "body_size", "head_timeout", "body_timeout", "idle_timeout"),
    *("write_timeout", "requests", "connections_per_client", "rate_per_client"),
)
LIMIT_INDEX = {name: FIRST_STATUS + len(STATUSES) + i for i, name in enumerate(LIMITS)}
# What a worker ran out of, or met, and went on.
TROUBLES = ("accept_paused", "pool_full", "no_memory", "file_cut_short", "root_missing")
FIRST_TROUBLE = FIRST_STATUS + len(STATUSES) + len(LIMITS)
TROUBLE_INDEX = {name: FIRST_TROUBLE + i for i, name in enumerate(TROUBLES)}
FIRST_GUARD = FIRST_TROUBLE + len(TROUBLES)
# The locks and semaphores whose use is counted, by the names that they are made with.
GUARDS = ("queue", "pool_empty", "pool_filled", "pool_mutex", "cache_writer")
# A guard's words, as wsrv.engine.sync.counting has them: acquired, contended, wait_ns.
GUARD_WORDS = 3
GUARD_INDEX = {name: FIRST_GUARD + GUARD_WORDS * i for i, name in enumerate(GUARDS)}
COUNTERS = FIRST_GUARD + GUARD_WORDS * len(GUARDS)
# What the next process in a row starts from zero, though the row's totals stay: states, not events.
GAUGES = (SIZE_BYTES, OBJECTS, NEGATIVES)

SEQUENCE_WORD = 0
HEARTBEAT_WORD = 1
MAX_WORD = 2
WAIT_MAX_WORD = 3
TAIL_WORD = 8
SNAPSHOT_WORD = 16
HISTOGRAM_WORD = SNAPSHOT_WORD + 2 * COUNTERS
WAITS_WORD = HISTOGRAM_WORD + BUCKETS
ROW_WORDS = -(-(WAITS_WORD + BUCKETS) // 8) * 8
ROW_BYTES = ROW_WORDS * WORD

# At 110 bytes a line and 65,000 requests a second one worker fills this in 0.6 s. The log writer comes every 50 ms,
# but a disk may hold it up: with 1 MiB, 307 of 488,476 lines were dropped in one run.
RING_BYTES = 4 * 1024 * 1024
_MASK = RING_BYTES - 1


class Row:
    """One row and its ring, as every process sees them. Readers use this; only its worker makes a Ledger of it."""

    def __init__(self, words: memoryview, ring: memoryview) -> None:
        """`words`: ROW_WORDS of format Q; `ring`: RING_BYTES of format B; both shared."""
        self.words = words
        self.ring = ring

    def counters(self) -> list[int]:
        """The counters as of the last commit: COUNTERS numbers that belong together."""
        words = self.words
        while True:
            sequence = words[SEQUENCE_WORD]
            start = SNAPSHOT_WORD + (sequence & 1) * COUNTERS
            found = words[start : start + COUNTERS].tolist()
            if words[SEQUENCE_WORD] == sequence:
                return found

    def covered(self) -> int:
        """The ring position at which committed log text ends."""
        words = self.words
        while True:
            sequence = words[SEQUENCE_WORD]
            position: int = words[SNAPSHOT_WORD + (sequence & 1) * COUNTERS + COVERED]
            if words[SEQUENCE_WORD] == sequence:
                return position

    def gone(self) -> int:
        """Connections that its worker has had, or lost on their way; perhaps as of the commit before."""
        words = self.words
        start = SNAPSHOT_WORD + (words[SEQUENCE_WORD] & 1) * COUNTERS
        found: int = words[start + CLOSED] + words[start + LOST]
        return found

    def histogram(self) -> list[int]:
        """Requests by latency bucket."""
        return self.words[HISTOGRAM_WORD : HISTOGRAM_WORD + BUCKETS].tolist()

    def longest_ns(self) -> int:
        """The longest request."""
        return int(self.words[MAX_WORD])

    def waits(self) -> list[int]:
        """Connections by the bucket of their way from accept to worker."""
        return self.words[WAITS_WORD : WAITS_WORD + BUCKETS].tolist()

    def longest_wait_ns(self) -> int:
        """The longest way from accept to worker."""
        return int(self.words[WAIT_MAX_WORD])

    def heartbeat_ns(self) -> int:
        """When the worker last went round its loop (CLOCK_MONOTONIC); 0 before it is ready."""
        return int(self.words[HEARTBEAT_WORD])

    def text(self, start: int, end: int) -> bytes:
        """The log text between two ring positions at most RING_BYTES apart."""
        first, last = start & _MASK, end & _MASK
        if first <= last and end - start < RING_BYTES:
            return bytes(self.ring[first:last])
        return bytes(self.ring[first:]) + bytes(self.ring[:last])

    def clear(self) -> None:
        """Set the counts to zero. By the master, while no process owns the row.

        The ring positions stay, and are never seen to jump: the log writer may be reading them.
        """
        kept = (SNAPSHOT_WORD + COVERED, SNAPSHOT_WORD + COUNTERS + COVERED)
        for word in range(SNAPSHOT_WORD, WAITS_WORD + BUCKETS):
            if word not in kept:
                self.words[word] = 0
        for word in (HEARTBEAT_WORD, MAX_WORD, WAIT_MAX_WORD):
            self.words[word] = 0


class Ledger:
    """The worker's pen: counts in its own memory, and makes them and their log text visible by one store.

    `bell` is an eventfd that wakes the log writer, rung when it sleeps (`asleep` is its word for that) or when the
    ring is half full. A record that finds no room is dropped and counted: a stuck log never stops the server.
    """

    def __init__(self, row: Row, asleep: memoryview, bell: int) -> None:
        self._row = row
        self._words = row.words
        self._ring = row.ring
        self._asleep = asleep
        self._bell = bell
        self._head = row.covered()
        self._tail = row.words[TAIL_WORD]
        self._sequence = row.words[SEQUENCE_WORD]
        self.counts = array("Q", row.counters())
        self._bytes = memoryview(self.counts).cast("B")
        raw = row.words.cast("B")
        length = COUNTERS * WORD
        self._snapshots = tuple(
            raw[(SNAPSHOT_WORD + i * COUNTERS) * WORD : (SNAPSHOT_WORD + i * COUNTERS) * WORD + length] for i in (0, 1)
        )
        self.histogram = row.words[HISTOGRAM_WORD : HISTOGRAM_WORD + BUCKETS]
        self.wait_histogram = row.words[WAITS_WORD : WAITS_WORD + BUCKETS]

    def commit(self, text: bytes, lines: int) -> None:
        """Make the counts and `text`, whole log lines, visible together."""
        length = len(text)
        head = self._head
        used = head + length - self._tail
        if used > RING_BYTES // 2:
            used = self._make_room(length, lines)
        if used <= RING_BYTES:
            start = head & _MASK
            stop = start + length
            if stop <= RING_BYTES:
                self._ring[start:stop] = text
            else:
                split = RING_BYTES - start
                self._ring[start:] = text[:split]
                self._ring[: length - split] = text[split:]
            self._head = self.counts[COVERED] = head + length
        self.publish()
        if self._asleep[0]:
            os.eventfd_write(self._bell, 1)

    def publish(self) -> None:
        """Make the counts visible."""
        self._sequence = sequence = self._sequence + 1
        self._snapshots[sequence & 1][:] = self._bytes
        self._words[SEQUENCE_WORD] = sequence

    def _make_room(self, length: int, lines: int) -> int:
        """Look where the log writer is now, and wake it if it is behind; the ring bytes used with `length` more."""
        self._tail = self._words[TAIL_WORD]
        used = self._head + length - self._tail
        if used > RING_BYTES // 2:
            os.eventfd_write(self._bell, 1)
        if used > RING_BYTES:
            self.counts[LOG_DROPPED] += lines
        return used

    def requests(self) -> int:
        """How many requests were answered."""
        return sum(self.counts[FIRST_STATUS : FIRST_STATUS + len(STATUSES)])

    def beat(self, now_ns: int) -> None:
        """Stamp the heartbeat."""
        self._words[HEARTBEAT_WORD] = now_ns

    def longest_wait(self, took_ns: int) -> None:
        """Note the longest way of a message."""
        if took_ns > self._words[WAIT_MAX_WORD]:
            self._words[WAIT_MAX_WORD] = took_ns

    def longest(self, took_ns: int) -> None:
        """Note the longest request of a batch."""
        if took_ns > self._words[MAX_WORD]:
            self._words[MAX_WORD] = took_ns
