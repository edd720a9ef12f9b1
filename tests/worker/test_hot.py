# Connections are pairs of Unix sockets, so that a client can be gone, or full, at the moment the test says.
"""The hot path: right bytes, recorded before they are written, and a place for everybody who cannot take them."""

import os
from pathlib import Path

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Client, Workbench
from wsrv.engine.settings import CacheSettings
from wsrv.engine.shm.histogram import BUCKETS
from wsrv.engine.shm.row import BYTES_SENT, HITS, MISSES, OPENED, RING_BYTES, STATUS_INDEX
from wsrv.engine.shm.row import CLOSED as CLOSED_COUNT
from wsrv.engine.worker.connection import CLOSED, IDLE, WRITE, Connection

GET = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = b"GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OLD = b"GET /a.txt HTTP/1.0\r\n\r\n"
# Read without the pool, and more than a Unix socket takes at once.
BIG_BYTES = 250_000


def refuse_slow_lane(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a request that the hot path does not answer fails the test."""

    def slow(conn: Connection, seen: bytes, now_ns: int) -> None:
        raise AssertionError(f"not answered by the hot path: {seen!r}")

    monkeypatch.setattr(bench.hot, "_slow", slow)


@pytest.fixture
def warm(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A workbench whose hot path knows the answers to GET, CLOSING and OLD."""
    for request in (GET, CLOSING, OLD):
        assert bench.warm(request).endswith(b"\r\n\r\nalpha")
    refuse_slow_lane(bench, monkeypatch)
    return bench


def talkers(bench: Workbench, count: int, request: bytes = GET) -> list[Client]:
    """Clients that have sent `request`."""
    return [bench.client().send(request) for _ in range(count)]


def test_everybody_in_a_batch_gets_the_whole_answer(warm: Workbench) -> None:
    clients = talkers(warm, 64)
    expected = warm.responses()[200] + 64
    warm.arrive(*clients)
    answers = {client.received() for client in clients}
    (answer,) = answers
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nalpha")
    assert warm.responses() == {200: expected}
    assert len(warm.log()) == expected
    assert {client.conn.state for client in clients} == {IDLE}


def test_the_slow_lane_and_the_hot_path_give_the_same_bytes(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    for request in (GET, CLOSING, OLD, GET.replace(b"GET", b"HEAD")):
        slow = bench.warm(request)
        assert bench.ask(bench.client(), request) == slow
    lines = bench.log()
    assert lines[0::2] == lines[1::2]


def test_a_connection_is_served_again_and_again(warm: Workbench) -> None:
    client = warm.client()
    answers = {warm.ask(client, GET) for _ in range(5)}
    assert len(answers) == 1
    assert client.conn.held


@pytest.mark.parametrize("request_", [CLOSING, OLD], ids=["close", "HTTP/1.0"])
def test_who_asks_for_the_end_gets_it_after_the_answer(warm: Workbench, request_: bytes) -> None:
    (client,) = talkers(warm, 1, request_)
    warm.arrive(client)
    assert client.received().endswith(b"alpha")
    assert client.is_over()
    assert client.conn.state == CLOSED
    assert not warm.connections.table


def test_who_has_not_asked_yet_is_held(warm: Workbench) -> None:
    client = warm.client()
    warm.arrive(client)
    assert warm.connections.table == {client.conn.fd: client.conn}
    assert warm.hear() == 0
    client.send(GET)
    assert warm.hear() == 1
    assert client.received().endswith(b"alpha")


# Records.


def test_a_batch_is_recorded_by_one_store_before_the_first_byte_is_written(
    warm: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = talkers(warm, 5)
    before = (warm.responses()[200], len(warm.log()))
    seen: list[tuple[list[bytes], int, int]] = []
    commit = warm.ledger.commit

    def observed(text: bytes, lines: int) -> None:
        commit(text, lines)
        seen.append(([client.received() for client in clients], warm.responses()[200], len(warm.log())))

    monkeypatch.setattr(warm.ledger, "commit", observed)
    warm.arrive(*clients)
    assert seen == [([b""] * 5, before[0] + 5, before[1] + 5)]
    assert all(client.received().endswith(b"alpha") for client in clients)


def test_a_client_who_is_gone_is_counted_logged_and_dropped(warm: Workbench) -> None:
    gone, there = talkers(warm, 2)
    before, sent = warm.responses()[200], warm.count(BYTES_SENT)
    gone.close()
    warm.arrive(gone, there)
    answer = there.received()
    assert answer.endswith(b"alpha")
    assert gone.conn.state == CLOSED
    assert warm.responses() == {200: before + 2}
    assert len(warm.log()) == before + 2
    assert warm.count(BYTES_SENT) == sent + len(answer), "what nobody got was counted as sent"


def test_a_line_names_client_request_status_and_bytes(warm: Workbench) -> None:
    warm.ask(warm.client(), GET)
    line = warm.log()[-1]
    assert line.startswith("127.0.0.1 - - [")
    assert line.endswith('] "GET /a.txt HTTP/1.1" 200 5 "-" "-"')
    assert warm.clock.stamp.decode() in line


def test_what_was_counted_adds_up(warm: Workbench) -> None:
    hits, sent = warm.count(HITS), warm.count(BYTES_SENT)
    clients = talkers(warm, 7)
    warm.arrive(*clients)
    received = sum(len(client.received()) for client in clients)
    assert (warm.count(HITS) - hits, warm.count(BYTES_SENT) - sent) == (7, received)
    assert warm.count(MISSES) == 1
    assert warm.count(OPENED) - warm.count(CLOSED_COUNT) == 7
    assert sum(warm.row.histogram()) == sum(warm.responses().values())
    assert len(warm.row.histogram()) == BUCKETS


def test_a_full_log_costs_lines_and_no_answers(warm: Workbench) -> None:
    warm.ledger.commit(b"x" * (RING_BYTES - warm.row.covered() - 10), 0)
    clients = talkers(warm, 3)
    before = warm.responses()[200]
    warm.arrive(*clients)
    assert all(client.received().endswith(b"alpha") for client in clients)
    assert warm.responses() == {200: before + 3}


def test_the_policy_hears_of_every_hit(make_bench: MakeBench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench()
    told: list[bytes] = []
    monkeypatch.setattr(bench.policy, "hit", told.append)
    bench.warm(GET)
    assert told == []
    bench.arrive(*talkers(bench, 3))
    assert told == [b"a.txt"] * 3


# Who cannot take it all.


def test_an_answer_that_is_taken_in_part_is_stalled_and_comes_whole(
    make_bench: MakeBench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(BIG_BYTES)
    (root / "big").write_bytes(content)
    bench = make_bench()
    request = GET.replace(b"a.txt", b"big")
    bench.warm(request)
    client = bench.client()
    refuse_slow_lane(bench, monkeypatch)
    client.send(request)
    bench.arrive(client)
    assert client.conn.state == WRITE
    got = client.received()
    assert 0 < len(got) < len(content)
    while bench.hear():
        got += client.received()
    assert got.partition(b"\r\n\r\n")[2] == content
    assert client.conn.state == IDLE
    assert bench.log()[-1] == bench.log()[-2]
    assert bench.responses()[200] == 2


@pytest.mark.not_linted("the test itself fills the connection with what is no response")
def test_an_answer_that_is_not_taken_at_all_is_stalled_and_comes_whole(warm: Workbench) -> None:
    client = warm.client()
    warm.ask(client, GET)
    filled = 0
    while True:
        try:
            filled += os.write(client.conn.fd, b"f" * 4096)
        except BlockingIOError:
            break
    before = warm.responses()[200]
    client.send(CLOSING)
    warm.arrive(client)
    assert client.conn.state == WRITE
    assert warm.responses()[200] == before + 1
    got = client.received()
    while warm.hear():
        got += client.received()
    assert got[:filled] == b"f" * filled
    assert got[filled:].endswith(b"alpha")
    assert client.conn.state == CLOSED


def test_a_stalled_client_who_leaves_is_not_counted_as_served_in_full(make_bench: MakeBench, root: Path) -> None:
    (root / "big").write_bytes(os.urandom(BIG_BYTES))
    bench = make_bench()
    bench.warm(GET.replace(b"a.txt", b"big"))
    bench.hear_all()
    client = bench.client().send(GET.replace(b"a.txt", b"big"))
    sent = bench.count(BYTES_SENT)
    bench.arrive(client)
    got = len(client.received())
    client.close()
    bench.hear_all()
    assert client.conn.state == CLOSED
    assert bench.count(BYTES_SENT) - sent == got


# Who is not for the hot path.


def test_what_is_not_known_goes_to_the_slow_lane_after_the_others_were_written(
    warm: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger, known = warm.client().send(b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n"), warm.client().send(GET)
    seen: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(warm.hot, "_slow", lambda conn, text, now_ns: seen.append((text, known.received())))
    warm.arrive(stranger, known)
    (found,) = seen
    assert found[0] == b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n"
    assert found[1].endswith(b"alpha")


def test_several_requests_in_one_read_are_not_mistaken_for_one(bench: Workbench) -> None:
    bench.warm(GET)
    assert bench.ask(bench.client(), GET + GET).count(b"alpha") == 2


def test_an_entity_that_is_looked_at_anew_in_the_middle_of_a_batch_is_served_to_all(
    make_bench: MakeBench, root: Path
) -> None:
    bench = make_bench(cache=CacheSettings(revalidate_seconds=0))
    bench.warm(GET)
    clients = talkers(bench, 3)
    bench.arrive(*clients)
    assert all(client.received().endswith(b"alpha") for client in clients)
    (root / "a.txt").write_bytes(b"beta!")
    clients = talkers(bench, 3)
    bench.arrive(*clients)
    assert all(client.received().endswith(b"beta!") for client in clients)


def test_a_file_that_changed_is_read_again(warm: Workbench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.txt").write_bytes(b"beta")
    assert warm.ask(warm.client(), GET).endswith(b"alpha")
    monkeypatch.setattr(warm.hot, "_slow", warm.intake.feed)
    warm.advance(1)
    assert warm.ask(warm.client(), GET).endswith(b"beta")
    assert set(STATUS_INDEX) >= set(warm.responses())
