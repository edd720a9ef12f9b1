"""What only the workers know: asked while somebody watches, put together from all of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.master.test_inquiry import Office
from wsrv.engine.ipc.question import KEEPER
from wsrv.engine.master.inquiry import PATIENCE_NS
from wsrv.engine.master.lookout import Lookout

SECOND_NS = 1_000_000_000


@pytest.fixture
def office() -> Iterator[Office]:
    found = Office()
    yield found
    found.close()


def entry(path: str, size: int, hits: int) -> dict[str, Any]:
    """As a worker tells of one."""
    return {"host": "", "path": path, "coding": "", "bytes": size, "hits": hits, "weight": 1, "state": "warm"}


def error(pid: int, number: int, at: float) -> dict[str, Any]:
    """As a worker tells of one."""
    return {"pid": pid, "number": number, "at": at, "status": 404, "line": "GET /x HTTP/1.1"}


def answer(office: Office, entries: dict[int, list[Any]], errors: dict[int, list[Any]]) -> None:
    """Every worker that is asked answers; who has nothing to say is silent."""
    for worker in range(3):
        for question in office.told(worker):
            if question.get("ask") == "entries" and worker in entries:
                office.answer(worker, question["number"], more=True, entries=entries[worker])
                assert [told["go"] for told in office.told(worker) if "go" in told] == ["on"]
                office.answer(worker, question["number"], entries=[], matching=1)
            elif question.get("ask") == "errors" and worker in errors:
                office.answer(worker, question["number"], errors=errors[worker])


def test_an_entry_of_several_workers_is_one_and_the_biggest_come_first(office: Office) -> None:
    lookout = Lookout(office.inquiries)
    lookout.look(SECOND_NS)
    told = {
        0: [entry("/a", 9, 1), entry("/b", 5, 2)],
        1: [entry("/a", 9, 4)],
        2: [entry(f"/{n}", n, 0) for n in range(20, 40)],
    }
    answer(office, told, {0: [], 1: [], 2: []})
    found = lookout.entries()
    assert [one["path"] for one in found] == [f"/{n}" for n in range(39, 29, -1)]
    told[2] = []
    lookout.look(30 * SECOND_NS)
    answer(office, told, {0: [], 1: [], 2: []})
    assert lookout.entries() == [
        {"host": "", "path": "/a", "coding": "", "bytes": 9, "hits": 5, "workers": 2},
        {"host": "", "path": "/b", "coding": "", "bytes": 5, "hits": 2, "workers": 1},
    ]


def test_of_a_shared_cache_the_keeper_tells(office: Office) -> None:
    lookout = Lookout(office.inquiries)
    lookout._entries.answers = {KEEPER: [{"entries": [entry("/a", 9, 7)]}], 0: [{"entries": [entry("/a", 9, 1)]}]}
    assert lookout.entries() == [{"host": "", "path": "/a", "coding": "", "bytes": 9, "hits": 7, "workers": None}]


def test_workers_are_not_asked_more_often_than_it_is_worth(office: Office) -> None:
    lookout = Lookout(office.inquiries)
    asked: list[str] = []
    for quarter in range(4 * 20 + 1):
        lookout.look(SECOND_NS + quarter * SECOND_NS // 4)
        for worker in range(3):
            for question in office.told(worker):
                asked.append(question["ask"])
                office.answer(worker, question["number"], entries=[], errors=[])
    assert (asked.count("entries"), asked.count("errors")) == (3 * 3, 3 * 21)


def test_nobody_is_asked_again_before_all_have_answered_or_been_given_up(office: Office) -> None:
    lookout = Lookout(office.inquiries)
    lookout.look(SECOND_NS)
    answer(office, {0: [], 1: [], 2: []}, {0: [error(10, 1, 5.0)], 1: []})
    assert lookout.errors() == []
    lookout.look(3 * SECOND_NS)
    assert [office.told(worker) for worker in range(3)] == [[]] * 3
    office.inquiries.tick(10**18 + PATIENCE_NS)
    assert lookout.errors() == [error(10, 1, 5.0)]
    lookout.look(5 * SECOND_NS)
    assert [q["ask"] for q in office.told(0)] == ["errors"]


def test_the_last_errors_of_all_are_in_order_and_outlive_their_worker(office: Office) -> None:
    lookout = Lookout(office.inquiries)
    lookout.look(SECOND_NS)
    errors = {
        0: [error(10, n, float(n)) for n in range(0, 30, 2)],
        1: [error(11, n, float(n)) for n in range(1, 30, 2)],
    }
    answer(office, {0: [], 1: [], 2: []}, {**errors, 2: []})
    assert [one["at"] for one in lookout.errors()] == [float(n) for n in range(10, 30)]
    # A successor has another pid, and counts from one.
    lookout.look(3 * SECOND_NS)
    answer(office, {}, {0: [error(20, 1, 31.0)], 1: [], 2: []})
    assert [one["at"] for one in lookout.errors()] == [*(float(n) for n in range(11, 30)), 31.0]
