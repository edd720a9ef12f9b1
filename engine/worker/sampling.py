# What this worker is asked for, for a while: the requests for a share of the keys, chosen by hash. Questions `sample`
# and `sampled`.
#
# The hot path knows nothing of it. An answer lasts for a second at most, then the next request for it asks for its
# renewal; the answers of a sampled key last no time at all, so that every request asks, and is noted there. Without a
# sample that is one look at an attribute a second and answer.
#
# Rule 1: a sample ends by itself, and is forgotten when nobody fetches it.
# Rule 2: more than BUDGET notes a second are not taken for long: then an answer lasts for a pause, which grows until
#   the notes are few enough. Whoever comes in the pause is counted by the answer, and the next note says how many.
"""Samples of the requests of a running worker."""

import math
from array import array
from collections.abc import Callable, Iterator, MutableSequence

from wsrv.engine.ipc.question import Message
from wsrv.engine.shm.row import HITS
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.prepared import Cached, Prepared, Shelf
from wsrv.engine.worker.questions import Steps

# A note takes up to 6 us, the way to it through the renewal included, and as much again when it is told; where it comes
# seldom four times that, as nothing of it is in the processor's caches: this many a second are a third of a percent.
BUDGET = 150
SLICE_NS = SECOND_NS // 50
FIRST_PAUSE_NS = SECOND_NS // 50_000
LONGEST_PAUSE_NS = 4 * SECOND_NS
# How much longer a pause gets from one slice to the next.
STEEPEST = 8
# A note is so many words of 8 bytes.
_WORDS = 4
# Then the sample is full, and its time is over.
MOST_NOTES = 200_000
MOST_SECONDS = 3600.0
# How long a sample that is over waits to be fetched.
KEPT_NS = 60 * SECOND_NS

PARTS = 1 << 24
_WORD = (1 << 64) - 1
# A note is some 40 bytes of a page, of which MOST_PAGE_BYTES of the line has room for twice as many.
_PAGE_NOTES = 750
# Entries that are looked at before others have their turn.
_STEP = 1000


class Sample:
    """Notes from a second after `now_ns` on, until `fetch`, or for `seconds`. `hits` is how many hits there were."""

    def __init__(self, rate: float, seconds: float, now_ns: int, hits: Callable[[], int], shelf: Shelf) -> None:
        self._threshold = max(1, round(rate * PARTS))
        # What was prepared before lasts until then, unseen.
        self._begin_ns = now_ns + SECOND_NS
        self._end_ns = self._begin_ns + int(seconds * SECOND_NS)
        self._hits = hits
        self._shelf = shelf
        self._hits_before = -1
        self._requests = 0
        self._over = False
        self._pause_ns = 0
        self._longest_ns = 0
        self._slice_began_ns = self._begin_ns
        self._slice_notes = 0
        # The number of a key in `_names`; -1 of one that is not in the sample.
        self._numbers: dict[bytes, int] = {}
        self._names: list[str] = []
        # Of each note a moment, the number of the key, the bytes, the unseen.
        self._notes = array("Q")

    def _number(self, key: bytes) -> int:
        number = self._numbers.get(key)
        if number is None:
            # All workers are forked from one process, so they agree on it; and it costs nothing.
            word = hash(key) & _WORD
            number = -1
            if word % PARTS < self._threshold:
                number = len(self._names)
                self._names.append(f"{word:016x}")
            self._numbers[key] = number
        return number

    def catch(self, prepared: Prepared, now_ns: int) -> None:
        """Let the next request for `prepared`, rendered just now, ask for its renewal, if its key is in the sample."""
        if prepared.due_ns <= self._begin_ns:
            self._meet(prepared)
        self._cut_short(prepared, now_ns)

    def _meet(self, prepared: Prepared) -> None:
        """Of one that is known to no sample, or to an earlier one."""
        prepared.noted = prepared.hits
        prepared.number = self._number(prepared.key)

    def _cut_short(self, prepared: Prepared, now_ns: int) -> None:
        if prepared.number < 0 or self._over:
            prepared.due_ns = 0
            return
        prepared.due_ns = prepared.until_ns
        if now_ns + self._pause_ns < prepared.until_ns:
            prepared.until_ns = now_ns + self._pause_ns

    def still_good(self, prepared: Prepared, now_ns: int) -> bool:
        """Whether `prepared` was only cut short; then the request, a hit, is noted."""
        if prepared.due_ns <= now_ns or self._over:
            return False
        self._note_hit(prepared, now_ns)
        prepared.until_ns = min(prepared.due_ns, now_ns + self._pause_ns)
        return True

    def renewed(self, prepared: Prepared, now_ns: int) -> None:
        """A hit has led to the renewal of `prepared`."""
        if prepared.due_ns <= self._begin_ns:
            self._meet(prepared)
        if prepared.number < 0:
            self._look_at_the_clock(now_ns)
        elif now_ns - prepared.noted_ns >= self._pause_ns:
            self._note_hit(prepared, now_ns)
        self._cut_short(prepared, now_ns)

    def _note_hit(self, prepared: Prepared, now_ns: int) -> None:
        # This one is counted by the answer right after it is noted here.
        self._write(now_ns, prepared.number, prepared.cached.entity.length, max(0, prepared.hits - prepared.noted))
        prepared.noted, prepared.noted_ns = prepared.hits + 1, now_ns

    def miss(self, cached: Cached, now_ns: int) -> None:
        """A request that found nothing in the cache, and was answered with `cached`."""
        if cached.entity.body is not None and cached.entity.status == 200:
            self.note(cached, now_ns)
            self._requests += self._hits_before >= 0 and not self._over

    def note(self, cached: Cached, now_ns: int) -> None:
        """A request that was answered with `cached`."""
        if (number := self._number(cached.key)) >= 0:
            self._write(now_ns, number, cached.entity.length, 0)
        else:
            self._look_at_the_clock(now_ns)

    def _write(self, now_ns: int, number: int, size_bytes: int, unseen: int) -> None:
        """A note of a request for a key; `unseen` others came since the note before."""
        if self._hits_before < 0 or now_ns >= self._end_ns:
            self._look_at_the_clock(now_ns)
            if self._over or self._hits_before < 0:
                return
        self._notes.extend((now_ns, number, size_bytes, unseen))
        self._slice_notes += 1
        if now_ns - self._slice_began_ns >= SLICE_NS:
            self._adapt(now_ns)
        if len(self._notes) >= _WORDS * MOST_NOTES:
            self._end(now_ns)

    def _look_at_the_clock(self, now_ns: int) -> None:
        if self._hits_before < 0 and now_ns >= self._begin_ns:
            self._hits_before = self._hits()
        if now_ns >= self._end_ns and not self._over:
            self._end(now_ns)
        if now_ns >= self._end_ns + KEPT_NS:
            self._shelf.sample = None

    def _end(self, now_ns: int) -> None:
        """No more is noted, and no more counted."""
        self._over = True
        self._end_ns = now_ns
        if self._hits_before >= 0:
            self._requests += self._hits() - self._hits_before

    def _adapt(self, now_ns: int) -> None:
        """Make the pause fit the notes of the last slice."""
        allowed = BUDGET * (now_ns - self._slice_began_ns) // SECOND_NS
        if self._slice_notes > allowed:
            factor = min(STEEPEST, 1 + self._slice_notes // max(allowed, 1))
            self._pause_ns = min(LONGEST_PAUSE_NS, max(self._pause_ns, FIRST_PAUSE_NS) * factor)
            self._longest_ns = max(self._longest_ns, self._pause_ns)
        elif 4 * self._slice_notes < allowed:
            # Half the pause is twice the notes at most: they stay below the budget, or it would go to and fro.
            self._pause_ns = self._pause_ns // 2 if self._pause_ns > FIRST_PAUSE_NS else 0
        self._slice_began_ns = now_ns
        self._slice_notes = 0

    def _note_the_last(self, now_ns: int) -> Iterator[Message]:
        """Of each answer, those that nobody has seen since its last note; some at a time."""
        for number, key in enumerate(self._shelf.store.held(), 1):
            cached = self._shelf.store.get(key)
            for prepared in cached.answers.values() if cached is not None else ():
                unseen = prepared.hits - prepared.noted
                if unseen > 0 and prepared.due_ns > self._begin_ns and not self._over:
                    self._write(now_ns, prepared.number, prepared.cached.entity.length, unseen - 1)
                    prepared.noted = prepared.hits
            if number % _STEP == 0:
                yield {"notes": []}

    def fetch(self, now_ns: int) -> Steps:
        """End, and tell: pages of notes (CLOCK_MONOTONIC in microseconds, name of the key, bytes, unseen requests
        for it since the note before); then the totals.
        """
        if not self._over:
            yield from self._note_the_last(now_ns)
            self._end(now_ns)
        notes, names = self._notes, self._names
        page = _WORDS * _PAGE_NOTES
        for begin in range(0, len(notes), page):
            words = notes[begin : begin + page]
            columns = (words[column::_WORDS] for column in range(_WORDS))
            told = zip(*columns, strict=True)
            yield {"notes": [[at // 1000, names[key], size, unseen] for at, key, size, unseen in told]}
        return {
            "notes": [],
            # Every request of the time, for all keys.
            "requests": self._requests,
            "rate": min(1.0, self._threshold / PARTS),
            "pause_seconds": self._longest_ns / SECOND_NS,
            "full": len(notes) >= _WORDS * MOST_NOTES,
        }


class Sampling:
    """Takes samples of what is asked of `shelf`; `counts` are the worker's."""

    def __init__(self, shelf: Shelf, counts: MutableSequence[int]) -> None:
        self._shelf = shelf
        self._counts = counts

    def sample(self, question: Message, now_ns: int) -> Steps:
        """Begin a sample of `rate` of the keys that ends after `seconds`, in place of any before. Raises ValueError."""
        rate, seconds = (_number(question, name) for name in ("rate", "seconds"))
        if not 0 < rate <= 1:
            raise ValueError(f"a rate of {rate}")
        if not 0 < seconds <= MOST_SECONDS:
            raise ValueError(f"a sample of {seconds} s; the most is {MOST_SECONDS:g}")
        self._shelf.sample = Sample(rate, seconds, now_ns, lambda: self._counts[HITS], self._shelf)
        return _done({"objects": len(self._shelf.store)})

    def sampled(self, question: Message, now_ns: int) -> Steps:
        """End the sample, and tell it. Raises ValueError when there is none."""
        sample = self._shelf.sample
        if sample is None:
            raise ValueError("no sample is being taken")
        self._shelf.sample = None
        return sample.fetch(now_ns)


def _number(question: Message, name: str) -> float:
    number = question.get(name)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError(f"no {name}")
    return float(number)


def _done(page: Message) -> Steps:
    """An answer of one page."""
    yield from ()
    return page
