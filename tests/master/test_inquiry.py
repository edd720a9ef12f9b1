"""Asking workers: all of them, in time, page by page."""

import contextlib
import json
import socket
from collections.abc import Iterator
from time import monotonic_ns
from typing import Any

import pytest

from wsrv.engine.ipc.question import MOST_QUESTION_BYTES
from wsrv.engine.master.inquiry import PATIENCE_NS, Inquiries, Inquiry


class Office:
    """Three workers, each the far end of a line, and what was heard from them."""

    def __init__(self) -> None:
        self.lines = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
        for pair in self.lines:
            for end in pair:
                end.setblocking(False)
        self.inquiries = Inquiries(lambda _: [(number, ours) for number, (ours, _) in enumerate(self.lines)])
        self.heard: list[tuple[int, Any, bool]] = []
        self.over: list[Inquiry] = []

    def ask(self, **question: Any) -> Inquiry:
        return self.inquiries.ask(question, lambda *page: self.heard.append(page), self.over.append)

    def told(self, worker: int) -> list[dict[str, Any]]:
        """What a worker was told."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while packet := self.lines[worker][1].recv(MOST_QUESTION_BYTES):
                found.append(json.loads(packet))
        return found

    def answer(self, worker: int, number: int, *, more: bool = False, **page: Any) -> None:
        self.lines[worker][1].send(json.dumps({"number": number, "more": more, **page}).encode())
        self.inquiries.handle(self.lines[worker][0])

    def close(self) -> None:
        for pair in self.lines:
            for end in pair:
                end.close()


@pytest.fixture
def office() -> Iterator[Office]:
    found = Office()
    yield found
    found.close()


def test_every_worker_is_asked_and_the_end_comes_with_the_last(office: Office) -> None:
    number = office.ask(ask="colour").number
    for worker in range(3):
        assert office.told(worker) == [{"ask": "colour", "number": number}]
    for worker, colour in ((2, "red"), (0, "blue")):
        office.answer(worker, number, colour=colour)
    assert office.over == []
    office.answer(1, number, colour="green")
    assert office.heard == [(2, {"colour": "red"}, True), (0, {"colour": "blue"}, True), (1, {"colour": "green"}, True)]
    assert [(over.silent, over.gone, over.asked) for over in office.over] == [([], [], 3)]


def test_the_next_page_is_asked_for_by_who_took_the_last(office: Office) -> None:
    inquiry = office.ask(ask="colours")
    office.told(0)
    office.answer(0, inquiry.number, more=True, colour="red")
    assert office.told(0) == []
    inquiry.go_on(0)
    assert office.told(0) == [{"number": inquiry.number, "go": "on"}]


def test_who_stands_still_is_named_in_time_and_told_that_nobody_waits(office: Office) -> None:
    number = office.ask(ask="colour").number
    office.answer(0, number)
    office.answer(2, number)
    office.inquiries.tick(monotonic_ns() + PATIENCE_NS // 2)
    assert office.over == []
    office.inquiries.tick(monotonic_ns() + PATIENCE_NS)
    assert [(over.silent, over.gone) for over in office.over] == [([1], [])]
    assert office.told(1) == [{"ask": "colour", "number": number}, {"number": number, "go": "away"}]
    # What it says when it goes on is for nobody.
    office.answer(1, number, colour="late")
    assert [worker for worker, _, _ in office.heard] == [0, 2]
    assert len(office.over) == 1


def test_a_sign_of_life_gives_a_worker_time_again(office: Office) -> None:
    inquiry = office.ask(ask="colours")
    for worker in (0, 2):
        office.answer(worker, inquiry.number)
    office.answer(1, inquiry.number, more=True)
    # Whoever asked takes his time; that is not the worker's fault.
    office.inquiries.tick(monotonic_ns() + 10 * PATIENCE_NS)
    assert office.over == []
    inquiry.go_on(1)
    office.inquiries.tick(monotonic_ns() + PATIENCE_NS // 2)
    assert office.over == []
    office.inquiries.tick(monotonic_ns() + 2 * PATIENCE_NS)
    assert office.over[0].silent == [1]


def test_who_dies_is_named_and_not_waited_for(office: Office) -> None:
    number = office.ask(ask="colour").number
    for worker in (0, 2):
        office.answer(worker, number)
    office.lines[1][0].close()  # as the master does when it has reaped one
    office.inquiries.tick(monotonic_ns())
    assert [(over.silent, over.gone) for over in office.over] == [([], [1])]


def test_a_worker_whose_line_is_full_is_silent_at_once(office: Office) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            office.lines[1][0].send(b"x" * MOST_QUESTION_BYTES)
    number = office.ask(ask="colour").number
    office.answer(0, number)
    office.answer(2, number)
    assert [over.silent for over in office.over] == [[1]]


def test_who_drops_a_question_hears_no_more_and_the_workers_know(office: Office) -> None:
    inquiry = office.ask(ask="colour")
    office.inquiries.drop(inquiry)
    for worker in range(3):
        assert office.told(worker)[1:] == [{"number": inquiry.number, "go": "away"}]
    office.answer(0, inquiry.number, colour="red")
    office.inquiries.tick(monotonic_ns() + 2 * PATIENCE_NS)
    assert (office.heard, office.over) == ([], [])


def test_without_workers_it_is_over_at_once(office: Office) -> None:
    over: list[Inquiry] = []
    Inquiries(lambda _: ()).ask({"ask": "colour"}, lambda *page: None, over.append)
    assert [inquiry.asked for inquiry in over] == [0]


def test_a_question_that_fits_no_packet_is_refused_before_anybody_is_asked(office: Office) -> None:
    with pytest.raises(ValueError, match=str(MOST_QUESTION_BYTES)):
        office.ask(ask="x" * MOST_QUESTION_BYTES)
    assert office.told(0) == []
