# A worker with a gate, taken apart: exact counts, whichever way a request goes.
"""Requests of a connection and of a client address."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Client, Workbench, statuses
from wsrv.engine.settings import LimitSettings
from wsrv.engine.shm.row import LIMIT_INDEX
from wsrv.engine.worker.connection import CLOSED, IDLE

GET = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"
# The slow lane's.
ODD = b'GET /a.txt HTTP/1.1\r\nHost: x\r\nIf-None-Match: "x"\r\n\r\n'
CLOSING = GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n")


def fired(bench: Workbench, name: str) -> int:
    return bench.count(LIMIT_INDEX[name])


def ask(bench: Workbench, client: Client, text: bytes) -> bytes:
    """What comes of `text`, on a connection that may have been closed."""
    if client.conn.state == CLOSED:
        return b""
    return bench.answers(client, text)


@pytest.mark.parametrize("request_", [GET, ODD])
def test_the_last_request_of_a_connection_closes_it(make_bench: MakeBench, request_: bytes) -> None:
    bench = make_bench(limits=LimitSettings(requests=3))
    for _ in range(3):
        client = bench.client()
        got = [ask(bench, client, request_) for _ in range(5)]
        assert [statuses(answer) for answer in got] == [[200], [200], [200], [], []]
        assert [b"\r\nConnection: close\r\n" in answer for answer in got[:3]] == [False, False, True]
        assert client.conn.state == CLOSED
    assert fired(bench, "requests") == 3
    assert bench.responses() == {200: 9}


def test_pipelined_requests_count_each(make_bench: MakeBench) -> None:
    bench = make_bench(limits=LimitSettings(requests=3))
    client = bench.client()
    assert statuses(bench.answers(client, GET * 5)) == [200, 200, 200]
    assert client.is_over()


def test_one_request_a_connection(make_bench: MakeBench) -> None:
    bench = make_bench(limits=LimitSettings(requests=1))
    for _ in range(3):
        client = bench.client()
        assert b"\r\nConnection: close\r\n" in ask(bench, client, GET)
        assert client.conn.state == CLOSED


ways = st.lists(st.sampled_from(("new", "old", "odd", "two", "close", "nothing", "leave")), max_size=40)


@given(ways, st.integers(1, 12))
@settings(max_examples=60)
def test_however_it_asks_a_client_gets_its_burst_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, taken: list[str], burst: int
) -> None:
    root = tmp_path_factory.mktemp("site")
    (root / "a.txt").write_bytes(b"alpha")
    # The bench's clock stands still: all that is asked falls into one window.
    bench = Workbench(root, limits=LimitSettings(rate_per_client=1, burst_per_client=burst))
    try:
        client = bench.client()
        answered = refused = 0
        for way in taken:
            if way == "new" or client.conn.state != IDLE:
                client = bench.client()
            text = {"odd": ODD, "two": GET + GET, "close": CLOSING, "nothing": b"", "leave": b""}.get(way, GET)
            if way == "leave":
                client.close()
            elif text:
                client.send(text)
            bench.arrive(client)
            got = statuses(b"" if way == "leave" else bench.hear_all(client))
            answered += got.count(200)
            refused += got.count(429)
            assert len(got) == {"two": 2, "nothing": 0, "leave": 0}.get(way, 1)
        asked = answered + refused
        assert answered == min(asked, burst)
        assert fired(bench, "rate_per_client") == refused
    finally:
        bench.close()


def test_too_many_requests_are_told_when_to_come_again_and_the_connection_stays(make_bench: MakeBench) -> None:
    bench = make_bench(limits=LimitSettings(rate_per_client=1, burst_per_client=3600))
    gate = bench.gate
    assert gate is not None
    client = bench.client()
    places = gate.guests[client.conn.fd].places
    assert places is not None
    while gate._table.charge(places, bench.now_ns, 1, 3600):
        pass
    for request_ in (GET, ODD, GET.replace(b"GET", b"HEAD")):
        got = bench.answers(client, request_)
        assert statuses(got) == [429]
        assert b"\r\nRetry-After: 1\r\n" in got
        assert b"\r\nConnection: close\r\n" not in got
    assert client.conn.state == IDLE
    assert bench.responses() == {429: 3}
    assert len(bench.log()) == 3


def test_a_guest_is_forgotten_with_its_connection(make_bench: MakeBench) -> None:
    bench = make_bench(limits=LimitSettings(connections_per_client=5))
    gate = bench.gate
    assert gate is not None
    for request_ in (GET, GET, CLOSING, CLOSING, CLOSING, ODD):
        client = bench.client()
        ask(bench, client, request_)
        if client.conn.state != CLOSED:
            client.close()
            bench.arrive(client)
        assert client.conn.state == CLOSED
        assert gate.guests == {}
    clients = [bench.client() for _ in range(7)]
    assert len(gate.guests) == 5
    assert fired(bench, "connections_per_client") == 2
    assert len(clients) == 7


def test_the_answer_that_closes_is_nobody_elses(make_bench: MakeBench) -> None:
    bench = make_bench(limits=LimitSettings(requests=2))
    other = GET.replace(b"a.txt", b"a.txt?other")
    first, second = bench.client(), bench.client()
    ask(bench, first, GET)
    assert b"\r\nConnection: close\r\n" in ask(bench, first, other)
    assert b"\r\nConnection: close\r\n" not in ask(bench, second, other)
    assert second.conn.state == IDLE


def test_without_such_bounds_nothing_of_a_gate_is_even_imported() -> None:
    program = (
        "import sys, wsrv.engine.worker.loop; print([m for m in sys.modules if m.endswith(('.gate', '.limited'))])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert found.stdout == "[]\n"
