# The worker's half is a bench, the master's end of the line is the test's.
"""Server-sent events: one question a second for all streams, and no client that costs the others anything."""

import socket

import pytest

from tests.worker.test_inside import document, questions, tell
from tests.worker.workbench import Client, Workbench, statuses
from wsrv.engine.shm.row import BYTES_SENT, INTERNAL
from wsrv.engine.worker.asking import LIVE, PATIENCE_NS, STATS
from wsrv.engine.worker.connection import CLOSED, WAIT
from wsrv.engine.worker.streams import MOST_STREAMS, PERIOD_NS, STUCK_NS

GET = b"GET /_wsrv/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


def watching(bench: Workbench) -> Client:
    """A client that watches, and has received how the stream begins."""
    client = bench.client()
    head, _, beginning = bench.ask(client, GET).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close" in head
    assert beginning.startswith(b"retry: 2000\n\n")
    return client


def later(bench: Workbench, ns: int) -> None:
    """Time passes, and the loop has its tick."""
    bench.advance(ns / 1e9)
    bench.intake.tick(bench.now_ns)


def test_the_first_asks_at_once_and_gets_what_the_master_says(bench: Workbench) -> None:
    client = watching(bench)
    assert questions(bench) == [LIVE]
    tell(bench, document(1))
    assert client.received() == b"data: " + document(1) + b"\n\n"
    assert client.conn.state == WAIT
    assert bench.count(INTERNAL) == 1


def test_all_streams_share_one_question_a_second(bench: Workbench) -> None:
    clients = [watching(bench) for _ in range(5)]
    assert questions(bench) == [LIVE]
    tell(bench, document(1))
    for _ in range(3):
        later(bench, PERIOD_NS // 4)
        assert questions(bench) == []
    later(bench, PERIOD_NS // 4)
    assert questions(bench) == [LIVE]
    tell(bench, document(2))
    said = b"".join(b"data: " + document(n) + b"\n\n" for n in (1, 2))
    assert [client.received() for client in clients] == [said] * 5


def test_whoever_comes_within_the_second_hears_what_was_said_last_and_asks_nothing(bench: Workbench) -> None:
    watching(bench)
    tell(bench, document(1))
    questions(bench)
    late = bench.client()
    assert bench.ask(late, GET).endswith(b"retry: 2000\n\ndata: " + document(1) + b"\n\n")
    assert questions(bench) == []


def test_without_a_stream_the_master_is_asked_nothing(bench: Workbench) -> None:
    client = watching(bench)
    tell(bench, document(1))
    questions(bench)
    bench.delivery.abandon(client.conn)
    later(bench, 2 * PERIOD_NS)
    assert questions(bench) == []


def test_a_client_that_says_that_it_is_done_is_let_go(bench: Workbench) -> None:
    client = watching(bench)
    client.socket.shutdown(socket.SHUT_WR)
    bench.hear(5.0)
    assert client.conn.state == CLOSED


def test_there_are_so_many_places_and_those_that_leave_make_room(bench: Workbench) -> None:
    clients = [watching(bench) for _ in range(MOST_STREAMS)]
    refused = bench.client()
    assert statuses(bench.ask(refused, GET)) == [503]
    bench.delivery.abandon(clients[3].conn)
    watching(bench)


def test_a_client_that_takes_nothing_gets_no_more_and_is_dropped(bench: Workbench) -> None:
    slow, quick = watching(bench), watching(bench)
    event = document(1, 100_000)
    for _ in range(100):
        later(bench, PERIOD_NS)
        tell(bench, event)
        quick.received()
        if slow.conn.dialogue().out:
            break
    assert slow.conn.dialogue().out
    waiting = sum(map(len, slow.conn.dialogue().out))
    later(bench, PERIOD_NS)
    tell(bench, event)
    assert sum(map(len, slow.conn.dialogue().out)) == waiting
    assert quick.received().endswith(event + b"\n\n")
    later(bench, STUCK_NS - PERIOD_NS)
    assert slow.conn.state == WAIT
    later(bench, 2 * PERIOD_NS)
    assert (slow.conn.state, quick.conn.state) == (CLOSED, WAIT)
    # What it never got was not sent.
    taken = len(slow.received())
    assert bench.count(BYTES_SENT) >= taken


def test_a_client_that_takes_again_goes_on(bench: Workbench) -> None:
    client = watching(bench)
    event = document(1, 100_000)
    while not client.conn.dialogue().out:
        later(bench, PERIOD_NS)
        tell(bench, event)
    later(bench, PERIOD_NS)
    received = client.received()
    for _ in range(20):
        later(bench, STUCK_NS)
        received += client.received()
    tell(bench, event)
    received += client.received()
    assert client.conn.state == WAIT
    # Each event that was begun came whole.
    assert received.count(b'data: {"number"') == received.count(event + b"\n\n") > 1


def test_a_drain_ends_every_stream_at_once_and_begins_none(bench: Workbench) -> None:
    clients = [watching(bench) for _ in range(3)]
    tell(bench, document(1))
    bench.intake.drain()
    for client in clients:
        assert client.received() == b"data: " + document(1) + b"\n\n"
        assert client.is_over()
    assert statuses(bench.ask(bench.client(), GET)) == [503]


def test_a_silent_master_is_said_to_be_silent_and_is_asked_again_when_it_speaks(bench: Workbench) -> None:
    client = watching(bench)
    later(bench, PATIENCE_NS - PERIOD_NS)
    assert client.received() == b""
    later(bench, PERIOD_NS)
    assert client.received() == b"event: silent\ndata: {}\n\n"
    # Its late answer is nobody's.
    tell(bench, document(1))
    assert client.received() == b""
    later(bench, PERIOD_NS)
    questions(bench)
    tell(bench, document(2))
    assert client.received() == b"data: " + document(2) + b"\n\n"


def test_a_dead_master_is_said_to_be_silent(bench: Workbench) -> None:
    client = watching(bench)
    bench.line_end.close()
    bench.intake.told(bench.now_ns)
    assert client.received() == b"event: silent\ndata: {}\n\n"
    later(bench, PERIOD_NS)
    assert client.conn.state == WAIT


def test_streams_and_requests_share_the_line(bench: Workbench) -> None:
    client = watching(bench)
    other = bench.client()
    assert bench.ask(other, GET.replace(b"events", b"stats.json")) == b""
    assert questions(bench) == [LIVE]
    tell(bench, document(1))
    assert questions(bench) == [STATS]
    tell(bench, document(2))
    assert client.received() == b"data: " + document(1) + b"\n\n"
    assert other.received().endswith(document(2) + b"\n")


def test_what_was_asked_before_on_the_same_connection_is_answered_first(bench: Workbench) -> None:
    client = bench.client()
    got = bench.ask(client, b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    assert statuses(got) == [200, 200]
    assert got.index(b"alpha") < got.index(b"retry: ")


def test_head_is_answered_and_the_connection_goes_on(bench: Workbench) -> None:
    client = bench.client()
    assert statuses(bench.ask(client, b"HEAD" + GET[3:])) == [200]
    assert statuses(bench.ask(client, b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n")) == [200]


@pytest.mark.parametrize("field", [b"Host: evil.example", b"Host: localhost\r\nVia: 1.1 proxy"])
def test_nobody_watches_who_may_not_see(bench: Workbench, field: bytes) -> None:
    assert statuses(bench.ask(bench.client(), GET.replace(b"Host: localhost", field))) == [403]
    assert questions(bench) == []
