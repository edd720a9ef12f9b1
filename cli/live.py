# Asks the workers of a running server to note what they are asked for, waits, and fetches the notes.
"""What `wsrv cache simulate --live` replays."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from time import monotonic, sleep
from typing import TYPE_CHECKING

from wsrv.cli import workers
from wsrv.cli.progress import Progress

if TYPE_CHECKING:
    from wsrv.engine.cache.simulation.shards import Sample
    from wsrv.engine.log.reading import Reading
    from wsrv.engine.master.runtime import RunningServer

# A worker notes from a second after the question on: what it had prepared before goes out unseen.
UNSEEN_SECONDS = 1.0
# A sample that nobody fetches ends so much later by itself.
GRACE_SECONDS = 10.0
STEP_SECONDS = 0.1
# More are not replayed: with every policy at every size that takes minutes.
MOST_REQUESTS = 500_000


@dataclass(frozen=True)
class Recording:
    """The requests of all workers in order, the sample that they are, and what else there is to say of them."""

    reading: "Reading"
    sample: "Sample"
    remarks: list[str]

    @property
    def is_everything(self) -> bool:
        """Whether the requests for all keys were noted."""
        return self.sample.rate == 1


def record(server: "RunningServer", share: float | None, seconds: float, progress: Progress) -> Recording:
    """The requests of the next `seconds` for `share` of the keys; None for what is enough. Raises Stop."""
    from wsrv.engine.cache.simulation.shards import FEWEST_OBJECTS

    if share is None:
        # What is held now stands for what is asked for: too small a cache makes the share too large, which costs more.
        held = workers.ask(server, {"ask": "entries", "sort": "hits", "top": 1})
        objects = max(last["objects"] for last in held.last.values())
        share = min(1.0, FEWEST_OBJECTS / max(objects, 1))
    begun = workers.ask(server, {"ask": "sample", "rate": share, "seconds": seconds + GRACE_SECONDS})
    _wait(UNSEEN_SECONDS + seconds, progress)
    found = workers.ask(server, {"ask": "sampled"})
    return _merged(found, [*begun.complaints(), *found.complaints()], progress)


def _wait(seconds: float, progress: Progress) -> None:
    progress.begin("listening:", round(seconds / STEP_SECONDS))
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        sleep(min(left, STEP_SECONDS))
        progress.step(1)


def _merged(found: workers.Answers, complaints: list[str], progress: Progress) -> Recording:
    from wsrv.engine.cache.simulation.shards import Sample
    from wsrv.engine.log.reading import Reading

    progress.begin("putting in order:")
    requests = sorted(_requests(found))
    remarks = list(dict.fromkeys(complaints))
    share = 1.0
    if len(requests) > MOST_REQUESTS:
        share = MOST_REQUESTS / len(requests)
        remarks.append(f"the first {MOST_REQUESTS:,} of {len(requests):,} requests that were noted are replayed")
        del requests[MOST_REQUESTS:]
    reading = Reading()
    for at_us, name, size in requests:
        reading.note(at_us / 1e6, bytes.fromhex(name), size)
    pause = max(last["pause_seconds"] for last in found.last.values())
    if pause:
        remarks.append(
            f"so much was asked that a key was noted once in {1000 * pause:.0f} ms; others are put anywhere in between"
        )
    if any(last["full"] for last in found.last.values()):
        remarks.append("a worker had no room for more notes, and ended earlier")
    rate = min(last["rate"] for last in found.last.values())
    trace = reading.trace
    if rate == 1:
        return Recording(reading, Sample.of(trace, 1.0), remarks)
    expected = sum(last["requests"] for last in found.last.values()) * rate * share
    return Recording(
        reading, Sample(trace, rate, expected, trace.requested_bytes * expected / max(len(trace), 1)), remarks
    )


def _requests(found: workers.Answers) -> Iterator[tuple[float, str, int]]:
    """Time in microseconds, name of the key, bytes. What nobody saw is taken to have come at any time since the note
    before, each independent of the others: even intervals would make a key seem to come back later than it does.
    """
    draw = Random(0).random
    before: dict[tuple[int, str], int] = {}
    for worker, page in found.pages:
        for at, name, size, unseen in page["notes"]:
            last = before.get((worker, name), at)
            before[worker, name] = at
            for _ in range(unseen):
                yield last + (at - last) * draw(), name, size
            yield at, name, size
