"""The worker's end of the line on which the master asks."""

import contextlib
import json
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from wsrv.engine.ipc.question import MOST_PAGE_BYTES
from wsrv.engine.worker.questions import PAUSE, Handler, Questions, Steps

_STEP_NS = 100_000


class Desk:
    """A line with a master at its far end, and a clock on which each look takes a tenth of a millisecond."""

    def __init__(self, **handlers: Handler) -> None:
        self.far, self.near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.far, self.near):
            end.setblocking(False)
        self.epoll = select.epoll()
        self._now_ns = 0
        self.questions = Questions(self.near, self.epoll, handlers, self._clock)
        self.questions.listen()

    def _clock(self) -> int:
        self._now_ns += _STEP_NS
        return self._now_ns

    def say(self, **message: Any) -> None:
        self.far.send(json.dumps(message).encode())

    def turn(self) -> None:
        """A round of the loop, as far as epoll says that there is something to do."""
        if self.epoll.poll(0):
            self.questions.turn(0)

    def is_busy(self) -> bool:
        """Whether the loop would come round at once."""
        return bool(self.epoll.poll(0))

    def heard(self) -> list[dict[str, Any]]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(json.loads(self.far.recv(MOST_PAGE_BYTES)))
        return found

    def close(self) -> None:
        self.epoll.close()
        self.far.close()
        self.near.close()


@pytest.fixture
def desks() -> Iterator[list[Desk]]:
    made: list[Desk] = []
    yield made
    for desk in made:
        desk.close()


def open_desk(desks: list[Desk], **handlers: Handler) -> Desk:
    desks.append(Desk(**handlers))
    return desks[-1]


def count_to(question: dict[str, Any], now_ns: int) -> Steps:
    """Pages 1 to `n`."""
    for number in range(1, question["n"]):
        yield {"page": number}
    return {"page": question["n"]}


def test_a_page_is_sent_when_it_is_asked_for_and_the_last_says_so(desks: list[Desk]) -> None:
    desk = open_desk(desks, count=count_to)
    desk.say(number=7, ask="count", n=3)
    desk.turn()
    assert desk.heard() == [{"page": 1, "number": 7, "more": True}]
    assert not desk.is_busy(), "nobody has asked for more"
    desk.say(number=7, go="on")
    desk.turn()
    assert desk.heard() == [{"page": 2, "number": 7, "more": True}]
    desk.say(number=7, go="on")
    desk.turn()
    assert desk.heard() == [{"page": 3, "number": 7, "more": False}]
    desk.say(number=7, go="on")
    desk.turn()
    assert desk.heard() == [], "it is over"


def test_a_round_works_for_a_millisecond_and_comes_back_at_once(desks: list[Desk]) -> None:
    steps = []

    def work(question: dict[str, Any], now_ns: int) -> Steps:
        for number in range(25):
            steps.append(number)
            yield None
        return {}

    desk = open_desk(desks, work=work)
    desk.say(number=1, ask="work")
    rounds = []
    while desk.is_busy():
        before = len(steps)
        desk.turn()
        rounds.append(len(steps) - before)
    assert desk.heard() == [{"number": 1, "more": False}]
    assert rounds == [10, 10, 5]


def test_two_questions_take_turns(desks: list[Desk]) -> None:
    order: list[int] = []

    def work(question: dict[str, Any], now_ns: int) -> Steps:
        for _ in range(3):
            order.append(question["number"])
            yield None
        return {}

    desk = open_desk(desks, work=work)
    desk.say(number=1, ask="work")
    desk.say(number=2, ask="work")
    desk.turn()
    assert order == [1, 2, 1, 2, 1, 2]


def test_whoever_goes_away_ends_the_answer_at_its_next_page(desks: list[Desk]) -> None:
    ended: list[str] = []

    def count(question: dict[str, Any], now_ns: int) -> Steps:
        try:
            yield from count_to(question, now_ns)
        finally:
            ended.append(question["ask"])
        return {}

    desk = open_desk(desks, count=count)
    desk.say(number=1, ask="count", n=9)
    desk.turn()
    desk.say(number=1, go="away")
    desk.turn()
    assert ended == ["count"]
    desk.heard()
    # Before it has begun, too.
    desk.say(number=2, ask="count", n=9)
    desk.say(number=2, go="away")
    desk.turn()
    assert ended == ["count", "count"]
    assert desk.heard() == []


def test_what_changes_something_changes_all_of_it_though_nobody_waits(desks: list[Desk]) -> None:
    done: list[int] = []

    def change(question: dict[str, Any], now_ns: int) -> Steps:
        for number in range(5):
            done.append(number)
            yield None
        return {}

    desk = open_desk(desks, change=change)
    desk.say(number=1, ask="change")
    desk.say(number=1, go="away")
    while desk.is_busy():
        desk.turn()
    assert done == [0, 1, 2, 3, 4]


def test_who_pauses_is_not_waited_for_by_the_loop(desks: list[Desk]) -> None:
    def wait(question: dict[str, Any], now_ns: int) -> Steps:
        yield PAUSE
        return {"woken": True}

    desk = open_desk(desks, wait=wait)
    desk.say(number=1, ask="wait")
    desk.turn()
    assert not desk.is_busy()
    assert desk.heard() == []
    desk.questions.wake()
    assert desk.is_busy()
    desk.turn()
    assert desk.heard() == [{"woken": True, "number": 1, "more": False}]


def test_a_question_that_nobody_knows_is_answered_with_those_there_are(desks: list[Desk]) -> None:
    desk = open_desk(desks, count=count_to)
    desk.say(number=1, ask="dance")
    desk.turn()
    (answer,) = desk.heard()
    assert "dance" in answer["error"]
    assert "count" in answer["error"]
    assert answer["more"] is False


def test_a_question_that_makes_no_sense_is_told_why(desks: list[Desk]) -> None:
    def refuse(question: dict[str, Any], now_ns: int) -> Steps:
        raise ValueError("seven is no colour")

    desk = open_desk(desks, refuse=refuse)
    desk.say(number=1, ask="refuse")
    desk.turn()
    assert desk.heard() == [{"error": "seven is no colour", "number": 1, "more": False}]


def test_a_fault_of_ours_costs_the_answer_and_says_so(desks: list[Desk], capfd: pytest.CaptureFixture[str]) -> None:
    def fail(question: dict[str, Any], now_ns: int) -> Steps:
        yield None
        raise KeyError("lost")

    desk = open_desk(desks, fail=fail, count=count_to)
    desk.say(number=1, ask="fail")
    desk.say(number=2, ask="count", n=1)
    desk.turn()
    assert {answer["number"]: answer.get("error") for answer in desk.heard()} == {1: "KeyError: 'lost'", 2: None}
    assert "Traceback" in capfd.readouterr().err


def test_a_page_that_fits_no_packet_is_an_error_and_the_end(desks: list[Desk]) -> None:
    def boast(question: dict[str, Any], now_ns: int) -> Steps:
        yield {"text": "x" * MOST_PAGE_BYTES}
        return {}

    desk = open_desk(desks, boast=boast)
    desk.say(number=1, ask="boast")
    desk.turn()
    (answer,) = desk.heard()
    assert str(MOST_PAGE_BYTES) in answer["error"]
    desk.say(number=1, go="on")
    desk.turn()
    assert desk.heard() == []


def test_pages_that_the_line_does_not_take_wait_for_it(desks: list[Desk]) -> None:
    """Ten long pages at once are more than the kernel keeps; none is lost, and the loop does not spin meanwhile."""

    def boast(question: dict[str, Any], now_ns: int) -> Steps:
        yield None
        return {"text": "x" * 60_000}

    desk = open_desk(desks, boast=boast)
    for number in range(10):
        desk.say(number=number, ask="boast")
    for _ in range(20):
        desk.turn()
    assert not desk.is_busy(), "the line is full: nothing to do"
    answers = []
    while found := desk.heard():
        answers += found
        for _ in range(10):
            desk.turn()
    assert [answer["number"] for answer in answers] == list(range(10))


def test_iterators_that_wait_for_the_master_do_not_pile_up(desks: list[Desk]) -> None:
    desk = open_desk(desks, count=count_to)
    for number in range(40):
        desk.say(number=number, ask="count", n=2)
        desk.turn()
    answers = desk.heard()
    given_up = [answer["number"] for answer in answers if "error" in answer]
    assert given_up == list(range(24))


def test_when_the_master_is_gone_nothing_is_left_to_do(desks: list[Desk]) -> None:
    desk = open_desk(desks, count=count_to)
    desk.say(number=1, ask="count", n=3)
    desk.turn()
    desk.far.close()
    desk.questions.turn(0)
    desk.questions.leave()
    assert not desk.is_busy()
    desk.questions.wake()
    assert os.fstat(desk.near.fileno())
