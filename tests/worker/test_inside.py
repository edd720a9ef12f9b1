# The worker's half is a bench, the master's end of the line is the test's; who may ask is in tests/integration.
"""Asking the master: one question for all who wait, and every one of them is answered."""

import json
import socket

import pytest

from tests.worker.workbench import Client, Workbench, statuses
from wsrv.engine.master.telling import send
from wsrv.engine.worker.asking import MOST_BYTES, PATIENCE_NS, READY, STATS

GET = b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


def document(number: int, padding: int = 0) -> bytes:
    """An answer of the master that can be told from others."""
    return json.dumps({"number": number, "padding": "x" * padding}).encode()


def number_in(answer: bytes) -> int:
    """Which document it was that was passed on."""
    assert statuses(answer) == [200]
    number: int = json.loads(answer.partition(b"\r\n\r\n")[2])["number"]
    return number


def asking(bench: Workbench, count: int, request: bytes = GET) -> list[Client]:
    """So many clients that have asked, one after the other."""
    clients = [bench.client() for _ in range(count)]
    for client in clients:
        assert bench.ask(client, request) == b""
    return clients


def questions(bench: Workbench) -> list[bytes]:
    """What the worker has asked since, without waiting."""
    bench.line_end.setblocking(False)
    found = []
    while True:
        try:
            found.append(bench.line_end.recv(64))
        except BlockingIOError:
            return found


def tell(bench: Workbench, text: bytes) -> None:
    """Answer as the master does, and let the worker hear it."""
    send(bench.line_end, text)
    bench.intake.told(bench.now_ns)


def test_whoever_comes_while_a_question_is_out_waits_for_the_next_which_is_for_all(bench: Workbench) -> None:
    clients = asking(bench, 300)
    assert questions(bench) == [STATS]
    tell(bench, document(1))
    assert [client.received() != b"" for client in clients] == [True] + [False] * 299
    assert questions(bench) == [STATS]
    tell(bench, document(2))
    assert [number_in(client.received()) for client in clients[1:]] == [2] * 299
    assert questions(bench) == []


def test_a_client_that_asks_again_at_once_is_told_what_is_true_then(bench: Workbench) -> None:
    (client,) = asking(bench, 1, GET * 3)
    for number in (1, 2, 3):
        assert questions(bench) == [STATS]
        tell(bench, document(number))
        assert number_in(client.received()) == number
    assert questions(bench) == []


def test_a_document_too_long_for_the_line_is_503_and_those_behind_it_get_theirs(bench: Workbench) -> None:
    first, second = asking(bench, 2)
    tell(bench, document(1, MOST_BYTES))
    assert statuses(first.received()) == [503]
    tell(bench, document(2))
    assert number_in(second.received()) == 2


def test_the_longest_document_is_passed_on_whole(bench: Workbench) -> None:
    (client,) = asking(bench, 1)
    text = document(1, MOST_BYTES - len(document(1)))
    assert len(text) == MOST_BYTES
    tell(bench, text)
    assert client.received().endswith(b"\r\n\r\n" + text + b"\n")


def test_a_document_that_the_line_does_not_take_is_503_and_those_behind_it_get_theirs(bench: Workbench) -> None:
    first, second = asking(bench, 2)
    bench.line_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with pytest.raises(OSError, match="Message too long"):
        bench.line_end.send(document(1, MOST_BYTES // 2))
    tell(bench, document(1, MOST_BYTES // 2))
    assert statuses(first.received()) == [503]
    tell(bench, document(2))
    assert number_in(second.received()) == 2


def test_whoever_cannot_be_asked_for_any_more_is_503(bench: Workbench) -> None:
    first, second, third = asking(bench, 3)
    bench.line.shutdown(socket.SHUT_WR)
    tell(bench, document(1))
    assert number_in(first.received()) == 1
    assert [statuses(client.received()) for client in (second, third)] == [[503], [503]]
    assert statuses(bench.ask(bench.client(), GET)) == [503]


def test_a_client_that_goes_while_it_waits_takes_nobodys_answer(bench: Workbench) -> None:
    gone, first, second = asking(bench, 3)
    bench.delivery.abandon(gone.conn)
    tell(bench, document(1))
    tell(bench, document(2))
    assert [number_in(client.received()) for client in (first, second)] == [2, 2]


@pytest.mark.parametrize("read", [True, False])
def test_when_the_master_goes_with_a_question_read_or_unread_all_who_wait_are_503(bench: Workbench, read: bool) -> None:
    clients = asking(bench, 3)
    if read:
        questions(bench)
    bench.line_end.close()
    bench.intake.told(bench.now_ns)
    assert [statuses(client.received()) for client in clients] == [[503]] * 3


def test_nobody_waits_longer_for_the_master_than_its_patience(bench: Workbench) -> None:
    first, second = asking(bench, 2)
    bench.advance(PATIENCE_NS / 1e9 - 0.1)
    (third,) = asking(bench, 1)
    bench.intake.tick(bench.now_ns)
    assert [client.received() for client in (first, second, third)] == [b""] * 3
    bench.advance(0.2)
    bench.intake.tick(bench.now_ns)
    assert [statuses(client.received()) for client in (first, second)] == [[503], [503]]
    # The late answer is for nobody, and lets the next question out.
    assert questions(bench) == [STATS]
    tell(bench, document(1))
    assert third.received() == b""
    assert questions(bench) == [STATS]
    tell(bench, document(2))
    assert number_in(third.received()) == 2


def test_different_questions_stand_in_line_and_are_asked_once_each(bench: Workbench) -> None:
    readiness = b"GET /_wsrv/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    (first,) = asking(bench, 1)
    ready = asking(bench, 3, readiness)
    behind = asking(bench, 2)
    assert questions(bench) == [STATS]
    tell(bench, document(1))
    assert number_in(first.received()) == 1
    assert questions(bench) == [READY]
    tell(bench, b"not ready: because\n")
    assert [statuses(client.received()) for client in ready] == [[503]] * 3
    assert questions(bench) == [STATS]
    tell(bench, document(2))
    assert [number_in(client.received()) for client in behind] == [2, 2]


def test_health_needs_no_master(bench: Workbench) -> None:
    bench.line_end.close()
    assert statuses(bench.ask(bench.client(), b"GET /_wsrv/health HTTP/1.1\r\nHost: x\r\n\r\n")) == [200]
