"""Samples of a running worker: every request for a share of the keys, at a price that is bounded."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.worker.workbench import Client, Workbench
from wsrv.engine.shm.row import HITS
from wsrv.engine.worker import sampling as module
from wsrv.engine.worker.questions import Steps
from wsrv.engine.worker.sampling import BUDGET, KEPT_NS, Sampling

NAMES = [f"{number}.bin" for number in range(40)]


@pytest.fixture
def files(root: Path) -> Path:
    """40 files; the n-th has n bytes."""
    for number, name in enumerate(NAMES):
        (root / name).write_bytes(b"x" * number)
    return root


class Desk:
    """Samples of a workbench, and a client of it on one connection."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.sampling = Sampling(bench.shelf, bench.ledger.counts)
        self.client: Client = bench.client()

    def begin(self, rate: float = 1.0, seconds: float = 60.0, notes_begin: bool = True) -> None:
        said = run(self.sampling.sample({"rate": rate, "seconds": seconds}, self.bench.now_ns))[-1]
        assert said == {"objects": len(self.bench.shelf.store)}
        if notes_begin:
            self.bench.advance(1.01)

    def get(self, name: str, fields: str = "", method: str = "GET") -> bytes:
        return self.bench.answers(self.client, f"{method} /{name} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())

    def fetch(self) -> tuple[list[tuple[int, str, int, int]], dict[str, Any]]:
        """The notes, and the totals."""
        pages = run(self.sampling.sampled({}, self.bench.now_ns))
        return [tuple(note) for page in pages for note in page["notes"]], pages[-1]


def run(steps: Steps) -> list[Any]:
    """All that an answer says."""
    pages: list[Any] = []
    while True:
        try:
            pages.append(next(steps))
        except StopIteration as end:
            return [*pages, end.value]


@pytest.fixture
def desk(bench: Workbench, files: Path) -> Desk:
    bench.advance(-1000)  # so that no answer is older than the real clock
    return Desk(bench)


def test_every_request_is_noted_in_order_with_time_and_size(desk: Desk) -> None:
    desk.begin()
    asked = [7, 7, 3, 7, 3, 3, 0, 7, 7]
    moments = []
    for number in asked:
        desk.bench.advance(0.013)
        moments.append(desk.bench.now_ns // 1000)
        assert desk.get(NAMES[number]).startswith(b"HTTP/1.1 200 ")
    notes, totals = desk.fetch()
    assert [note[0] for note in notes] == moments
    assert [note[2] for note in notes] == asked
    assert len({(name, size) for _, name, size, _ in notes}) == len({name for _, name, _, _ in notes}) == 3
    assert all(unseen == 0 for *_, unseen in notes)
    assert totals == {"notes": [], "requests": 9, "rate": 1.0, "pause_seconds": 0.0, "full": False}


def test_parts_heads_and_not_modified_are_requests_too(desk: Desk) -> None:
    desk.begin()
    assert desk.get(NAMES[9], "Range: bytes=2-3\r\n").startswith(b"HTTP/1.1 206 ")
    assert desk.get(NAMES[9], "If-None-Match: *\r\n").startswith(b"HTTP/1.1 304 ")
    assert desk.get(NAMES[9], method="HEAD").startswith(b"HTTP/1.1 200 ")
    assert desk.get("none").startswith(b"HTTP/1.1 404 ")
    notes, totals = desk.fetch()
    assert [note[2] for note in notes] == [9, 9, 9]
    assert totals["requests"] == 3


def test_what_was_prepared_before_is_noted_from_its_second_on(desk: Desk) -> None:
    for _ in range(2):
        desk.get(NAMES[5])
    desk.begin(notes_begin=False)
    desk.get(NAMES[5])
    desk.bench.advance(1.01)
    for _ in range(3):
        desk.get(NAMES[5])
    notes, totals = desk.fetch()
    assert len(notes) == totals["requests"] == 3


def test_answers_are_the_same_and_fresh_while_they_are_sampled(desk: Desk, files: Path) -> None:
    plain = desk.get(NAMES[5])
    desk.begin()
    again = [desk.get(NAMES[5]) for _ in range(3)]
    without_date = [[line for line in answer.split(b"\r\n") if not line.startswith(b"Date:")] for answer in again]
    assert without_date[0] == [line for line in plain.split(b"\r\n") if not line.startswith(b"Date:")]
    assert without_date[0] == without_date[1] == without_date[2]
    (files / "new").write_bytes(b"changed")
    (files / "new").rename(files / NAMES[5])
    desk.bench.advance(1.01)
    assert desk.get(NAMES[5]).endswith(b"\r\n\r\nchanged")


def test_hits_and_log_lines_are_counted_as_ever(desk: Desk) -> None:
    desk.get(NAMES[5])
    desk.begin()
    before = desk.bench.count(HITS)
    for _ in range(10):
        desk.get(NAMES[5])
    assert desk.bench.count(HITS) == before + 10
    assert desk.bench.responses() == {200: 11}
    assert len(desk.bench.log()) == 11


def test_a_share_of_the_keys_is_noted_each_with_all_its_requests_and_all_are_counted(desk: Desk) -> None:
    desk.begin(rate=0.5)
    for _ in range(3):
        for name in NAMES:
            desk.get(name)
    notes, totals = desk.fetch()
    names = [note[1] for note in notes]
    assert 0 < len(set(names)) < len(NAMES)
    assert all(names.count(name) == 3 for name in names)
    assert totals["requests"] == 120
    assert totals["rate"] == 0.5
    threshold = {int(name, 16) % module.PARTS for name in names}
    assert max(threshold) < module.PARTS // 2


def test_more_notes_than_the_budget_make_a_pause_and_the_unseen_are_counted(desk: Desk) -> None:
    desk.get(NAMES[5])
    desk.begin()
    # Ten times the budget, for a fifth of a second.
    for _ in range(20_000):
        desk.bench.advance(0.000_01)
        desk.bench.ask(desk.client, b"GET /5.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    notes, totals = desk.fetch()
    assert totals["requests"] == 20_000
    assert totals["pause_seconds"] > 0
    later = [note for note in notes if note[0] > notes[-1][0] - 140_000]
    assert BUDGET * 0.14 / 8 <= len(later) <= BUDGET * 0.14
    seen = len(notes) + sum(unseen for *_, unseen in notes)
    assert 20_000 - 1 - 1e5 * totals["pause_seconds"] <= seen <= 20_000


def test_a_crowd_of_keys_is_noted_every_few_seconds_and_all_its_requests_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUDGET", 20)
    for name in NAMES:
        desk.get(name)
    desk.begin()
    rounds = 0
    # Forty keys, each four times a second: a note a second for each would be twice the budget.
    for _ in range(80):
        rounds += 1
        for name in NAMES:
            desk.get(name)
        desk.bench.advance(0.25)
    notes, totals = desk.fetch()
    assert totals["pause_seconds"] > 1
    assert totals["requests"] == rounds * len(NAMES)
    told: Counter[str] = Counter()
    for _, name, _, unseen in notes:
        told[name] += 1 + unseen
    assert set(told.values()) == {rounds}, "of each key every request"
    late = [note for note in notes if notes[-1][0] - 10_000_000 < note[0] < notes[-1][0]]
    assert len(late) <= 10 * 20


def test_no_request_is_unseen_where_there_is_no_pause(desk: Desk) -> None:
    desk.get(NAMES[5])
    desk.begin()
    for _ in range(300):
        desk.bench.advance(0.01)
        desk.get(NAMES[5])
    notes, totals = desk.fetch()
    assert len(notes) == totals["requests"] == 300
    assert all(unseen == 0 for *_, unseen in notes)


def test_what_came_between_two_samples_is_nobodys(desk: Desk) -> None:
    for _ in range(2):
        desk.begin()
        for _ in range(3):
            desk.get(NAMES[5])
        notes, totals = desk.fetch()
        assert [unseen for *_, unseen in notes] == [0, 0, 0]
        assert totals["requests"] == 3
        for _ in range(100):
            desk.get(NAMES[5])


def test_the_pause_ends_when_less_is_asked(desk: Desk) -> None:
    desk.get(NAMES[5])
    desk.begin()
    for _ in range(4000):
        desk.bench.advance(0.000_01)
        desk.bench.ask(desk.client, b"GET /5.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(400):
        desk.bench.advance(0.02)
        desk.bench.ask(desk.client, b"GET /5.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    notes, _ = desk.fetch()
    assert all(unseen == 0 for *_, unseen in notes[-300:])


def test_a_sample_ends_by_itself_and_still_tells(desk: Desk) -> None:
    desk.begin(seconds=5.0)
    desk.get(NAMES[5])
    desk.bench.advance(6)
    for _ in range(3):
        desk.get(NAMES[5])
    notes, totals = desk.fetch()
    assert (len(notes), totals["requests"]) == (1, 1)


def test_a_sample_that_nobody_fetches_is_forgotten(desk: Desk) -> None:
    desk.begin(seconds=5.0)
    desk.get(NAMES[5])
    desk.bench.advance(6)
    desk.get(NAMES[5])
    desk.bench.advance(KEPT_NS / 1e9)
    desk.get(NAMES[5])
    assert desk.bench.shelf.sample is None
    with pytest.raises(ValueError, match="no sample is being taken"):
        desk.sampling.sampled({}, desk.bench.now_ns)


def test_a_sample_that_is_full_is_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NOTES", 20)
    desk.begin()
    for name in NAMES:
        desk.get(name)
    notes, totals = desk.fetch()
    assert len(notes) == 20
    # The last of them is counted after it was noted.
    assert totals["requests"] in (19, 20)
    assert totals["full"]


def test_pages_fit_and_a_fetched_sample_is_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE_NOTES", 16)
    desk.begin()
    for name in NAMES:
        desk.get(name)
    pages = run(desk.sampling.sampled({}, desk.bench.now_ns))
    assert [len(page["notes"]) for page in pages] == [16, 16, 8, 0]
    assert desk.bench.shelf.sample is None
    desk.get(NAMES[5])


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ({"seconds": 1}, "no rate"),
        ({"rate": True, "seconds": 1}, "no rate"),
        ({"rate": math.nan, "seconds": 1}, "no rate"),
        ({"rate": 0, "seconds": 1}, "a rate of 0"),
        ({"rate": 1.5, "seconds": 1}, r"a rate of 1\.5"),
        ({"rate": 1, "seconds": 1e9}, r"a sample of 1000000000\.0 s; the most is 3600"),
        ({"rate": 1, "seconds": 0}, r"a sample of 0\.0 s"),
    ],
)
def test_questions_that_make_no_sense_are_refused(desk: Desk, question: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        desk.sampling.sample(question, desk.bench.now_ns)
    assert desk.bench.shelf.sample is None
