"""The load generator against servers that do as the test says."""

import itertools
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.answering import Start, always, conversations, requests
from wsrv.engine.bench.fleet import Fleet
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.tally import Tally, filled
from wsrv.engine.shm.histogram import UNIT_SHIFT, bucket_of

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def answering() -> Iterator[Start]:
    with conversations() as start:
        yield start


def plan(address: tuple[str, int]) -> Plan:
    return Plan(address, (REQUEST,), (0,), connections=4, number=40, seconds=None, timeout_seconds=10)


def carried_out(plan: Plan, processes: int = 1) -> Tally:
    fleet = Fleet(plan, processes)
    fleet.go()
    while not fleet.wait(1):
        pass
    return fleet.result()


@pytest.mark.parametrize("processes", [1, 3])
def test_as_many_requests_are_sent_as_are_wanted(answering: Start, processes: int) -> None:
    seen: list[bytes] = []

    def converse(sock: socket.socket) -> None:
        for head in requests(sock):
            seen.append(head)
            sock.sendall(OK)

    tally = carried_out(plan(answering(converse)), processes)
    assert (tally.answers, len(seen), dict(tally.statuses), tally.failures) == (40, 40, {200: 40}, 0)
    assert tally.received_bytes == 40 * len(OK)
    assert tally.connections == 4
    assert sum(tally.raw) == 40
    assert 0 < tally.least_ns <= tally.mean_ns <= tally.most_ns <= tally.elapsed_ns


@pytest.mark.parametrize("pipeline", [3, 8])
def test_requests_in_a_pipeline_are_sent_before_an_answer_comes(answering: Start, pipeline: int) -> None:
    together: list[int] = []

    def converse(sock: socket.socket) -> None:
        seen = b""
        while piece := sock.recv(65536):
            seen += piece
            number = seen.count(b"\r\n\r\n")
            if number == pipeline:
                together.append(number)
                seen = b""
                # Torn where it hurts.
                sock.sendall((OK * number)[:50])
                sock.sendall((OK * number)[50:])

    tally = carried_out(replace(plan(answering(converse)), pipeline=pipeline, connections=2, number=pipeline * 10))
    assert (tally.answers, together, tally.failures) == (pipeline * 10, [pipeline] * 10, 0)


def test_without_keep_alive_each_request_has_its_connection(answering: Start) -> None:
    def converse(sock: socket.socket) -> None:
        next(requests(sock))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    tally = carried_out(replace(plan(answering(converse)), keep_alive=False))
    assert (tally.answers, tally.connections, tally.failures) == (40, 40, 0)


@pytest.mark.parametrize("rate", [None, 400.0])
def test_of_a_connection_a_request_it_is_known_what_comes_after_connecting(
    answering: Start, rate: float | None
) -> None:
    tally = carried_out(replace(plan(answering(always(OK))), keep_alive=False, rate=rate))
    assert sum(tally.processing) == tally.answers == tally.connections == 40
    after, whole = (sum(bucket * count for bucket, count in filled(each)) for each in (tally.processing, tally.raw))
    assert 0 < after < whole


def test_with_keep_alive_latency_is_all_there_is_to_know(answering: Start) -> None:
    tally = carried_out(plan(answering(always(OK))))
    assert (sum(tally.raw), sum(tally.processing)) == (40, 0)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_each_answer_counts_by_its_own_status(answering: Start, keep_alive: bool) -> None:
    told = itertools.count()

    def converse(sock: socket.socket) -> None:
        for _ in requests(sock):
            # Two of a kind after each other, all of the same length.
            sock.sendall(OK if next(told) % 4 < 2 else OK.replace(b"200 OK", b"404 No"))

    tally = carried_out(replace(plan(answering(converse)), connections=1, keep_alive=keep_alive))
    assert dict(tally.statuses) == {200: 20, 404: 20}


def test_a_large_answer_comes_whole_on_a_connection_of_its_own(answering: Start) -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)
    tally = carried_out(replace(plan(answering(always(large))), keep_alive=False))
    assert (tally.answers, dict(tally.errors), tally.received_bytes) == (40, {}, 40 * len(large))


def test_who_answers_before_it_is_asked_is_heard(answering: Start) -> None:
    def converse(sock: socket.socket) -> None:
        sock.sendall(OK)
        next(requests(sock))

    tally = carried_out(replace(plan(answering(converse)), keep_alive=False))
    assert (tally.answers, dict(tally.errors)) == (40, {})


def test_a_server_that_closes_after_some_answers_is_asked_on_a_new_connection(answering: Start) -> None:
    def converse(sock: socket.socket) -> None:
        for number, _ in enumerate(requests(sock), start=1):
            if number == 5:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                return
            sock.sendall(OK)

    tally = carried_out(plan(answering(converse)))
    assert (tally.answers, tally.failures) == (40, 0)
    assert tally.connections >= 8


def test_targets_are_asked_for_in_their_order(answering: Start) -> None:
    seen: list[bytes] = []

    def converse(sock: socket.socket) -> None:
        for head in requests(sock):
            seen.append(head.split()[1])
            sock.sendall(OK)

    heads = tuple(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3))
    carried_out(replace(plan(answering(converse)), requests=heads, picks=(0, 2, 2, 1), connections=1, number=10))
    assert seen == [b"/0", b"/2", b"/2", b"/1"] * 2 + [b"/0", b"/2"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "cut short"),
        (b"\x16\x03\x01 not HTTP\r\n\r\n", "malformed"),
    ],
)
def test_what_goes_wrong_is_counted_by_its_kind_and_the_run_goes_on(answering: Start, answer: bytes, kind: str) -> None:
    def converse(sock: socket.socket) -> None:
        next(requests(sock))
        sock.sendall(answer)

    tally = carried_out(plan(answering(converse)))
    assert (tally.answers, dict(tally.errors)) == (0, {kind: 40})


def test_nobody_there_is_counted_as_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    tally = carried_out(plan(address))
    assert (tally.answers, dict(tally.errors)) == (0, {"refused": 40})


def test_what_never_answers_is_given_up(answering: Start) -> None:
    def converse(sock: socket.socket) -> None:
        for _ in requests(sock):
            pass

    tally = carried_out(replace(plan(answering(converse)), number=4, timeout_seconds=0.2))
    assert dict(tally.errors) == {"timeout": 4}


@pytest.mark.parametrize("status", [404, 503])
def test_an_answer_that_something_is_wrong_is_an_answer_and_a_failure(answering: Start, status: int) -> None:
    tally = carried_out(plan(answering(always(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status))))
    assert (tally.answers, tally.failures, dict(tally.errors)) == (40, 40, {})


def test_answers_of_any_framing_are_read(answering: Start) -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000),
        OK,
    ]

    def converse(sock: socket.socket) -> None:
        for number, _ in enumerate(requests(sock)):
            sock.sendall(answers[number % 4])

    tally = carried_out(replace(plan(answering(converse)), connections=1))
    assert (tally.answers, dict(tally.statuses), dict(tally.errors)) == (40, {200: 30, 304: 10}, {})


def test_an_answer_that_only_the_end_of_the_stream_ends_is_whole(answering: Start) -> None:
    def converse(sock: socket.socket) -> None:
        next(requests(sock))
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")

    tally = carried_out(plan(answering(converse)))
    assert (tally.answers, tally.failures) == (40, 0)


def test_requests_that_are_due_are_sent_at_the_wanted_rate(answering: Start) -> None:
    tally = carried_out(replace(plan(answering(always(OK))), number=None, seconds=1.0, rate=200.0))
    assert (tally.answers + tally.unsent, tally.failures) == (200, 0)
    assert sum(tally.corrected) == tally.answers == sum(tally.raw)


def test_what_was_due_while_the_server_slept_counts_from_when_it_was_due(answering: Start) -> None:
    slept = threading.Event()
    pause = threading.Event()

    def converse(sock: socket.socket) -> None:
        for number, _ in enumerate(requests(sock)):
            if number == 50 and not slept.is_set():
                slept.set()
                pause.wait(1.0)
            sock.sendall(OK)

    whole = replace(plan(answering(converse)), connections=1, number=None, seconds=3.0, rate=200.0)
    tally = carried_out(whole)
    assert tally.failures == 0
    # One answer took a second; what was due in its first half waited for more than half of it.
    assert tally.most_ns > 900_000_000
    half = bucket_of(500_000_000 >> UNIT_SHIFT)
    assert sum(tally.raw[half:]) < 20 < 90 < sum(tally.corrected[half:])


def test_what_is_before_the_measurement_is_not_counted(answering: Start) -> None:
    seen: list[bytes] = []

    def converse(sock: socket.socket) -> None:
        for head in requests(sock):
            seen.append(head)
            sock.sendall(OK)

    tally = carried_out(replace(plan(answering(converse)), warm_up_seconds=0.2))
    assert tally.answers == 40
    assert tally.warm_up_answers == len(seen) - 40 > 0


def test_a_run_can_be_stopped_and_reports_what_there_is(answering: Start) -> None:
    fleet = Fleet(replace(plan(answering(always(OK))), number=None, seconds=1000.0), 2)
    fleet.go()
    while fleet.progress()[0] < 100:
        fleet.wait(0.01)
    fleet.stop()
    while not fleet.wait(1):
        pass
    tally = fleet.result()
    assert tally.answers >= 100
    assert tally.failures == 0


def test_shares_of_a_plan_add_up() -> None:
    whole = replace(plan(("127.0.0.1", 1)), connections=10, number=101, rate=10.0)
    shares = [whole.share(number, 4) for number in range(4)]
    assert [
        sum(values) for values in zip(*((s.connections, s.number or 0, s.rate or 0) for s in shares), strict=True)
    ] == [
        10,
        101,
        10.0,
    ]
