# Requests in bytes, whole and in pieces; what is asserted are bytes, counts and log lines, never how it came about.
"""The slow lane: requests out of bytes, answers in order, and nobody who can hold a place for ever."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.conftest import MakeBench
from tests.worker.workbench import TIMEOUT_SECONDS, Client, Workbench, statuses
from wsrv.engine.settings import CacheSettings, LimitSettings
from wsrv.engine.shm.row import BYTES_SENT
from wsrv.engine.worker.connection import BODY, CLOSED, HEAD, IDLE, LINGER, LINGER_BYTES

GET = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"
BODY_HEAD = b"GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
PATIENT = b"GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CHUNKED = b"GET /a.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
POST = b"POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"


def wait_out(bench: Workbench, seconds: float) -> None:
    """Let time pass, in ticks of the loop."""
    for _ in range(int(seconds * 4)):
        bench.advance(0.25)
        bench.look_at_deadlines()


# Pieces.

MIXED = (
    GET + b"HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n" + BODY_HEAD + b"12345" + CHUNKED + b"\r\n"
    b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n" + GET
)


@given(cuts=st.lists(st.integers(1, len(MIXED) - 1), max_size=12))
@settings(deadline=None, max_examples=60)
def test_however_they_are_cut_requests_are_answered_alike(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    root = tmp_path_factory.mktemp("site")
    (root / "a.txt").write_bytes(b"alpha")
    bench = Workbench(root)
    try:
        client = bench.client()
        got = b""
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(MIXED)], strict=True):
            client.send(MIXED[begin:end])
            bench.arrive(client)
            got += bench.hear_all(client)
        assert statuses(got) == [200, 200, 200, 200, 404, 200]
        assert got.count(b"alpha") == 4
        assert bench.responses() == {200: 5, 404: 1}
        assert [line.split('"')[1].split()[0] for line in bench.log()] == ["GET", "HEAD", "GET", "GET", "GET", "GET"]
        assert bench.count(BYTES_SENT) == len(got)
        assert client.conn.state == IDLE
    finally:
        bench.close()


def test_nothing_behind_the_end_is_answered(bench: Workbench) -> None:
    client = bench.client()
    got = bench.ask(client, GET.replace(b"x\r\n", b"x\r\nConnection: close\r\n") + GET)
    assert statuses(got) == [200]
    assert client.is_over()
    assert client.conn.state == LINGER
    client.close()
    bench.hear_all()
    assert client.conn.state == CLOSED


def test_a_half_closed_client_gets_its_answers(bench: Workbench) -> None:
    client = bench.client().send(GET + GET)
    client.socket.shutdown(1)
    bench.arrive(client)
    assert statuses(bench.hear_all(client)) == [200, 200]
    assert client.conn.state == CLOSED


@pytest.mark.parametrize("begun", [b"", b"\r\n"])
def test_who_leaves_before_a_request_is_dropped_without_a_trace(bench: Workbench, begun: bytes) -> None:
    client = bench.client()
    assert bench.ask(client, begun) == b""
    client.close()
    bench.arrive(client)
    bench.hear_all()
    assert client.conn.state == CLOSED
    assert (bench.responses(), bench.log()) == ({}, [])


@pytest.mark.parametrize(
    ("begun", "what"), [(b"GET /a.t", "head"), (b"\r\nG", "head"), (BODY_HEAD, "body"), (BODY_HEAD + b"12", "body")]
)
@pytest.mark.parametrize("earlier", [b"", GET])
def test_a_request_that_is_cut_short_is_400(bench: Workbench, begun: bytes, what: str, earlier: bytes) -> None:
    client = bench.client().send(earlier + begun)
    client.socket.shutdown(1)
    bench.arrive(client)
    got = bench.hear_all(client)
    assert statuses(got) == [*([200] if earlier else []), 400]
    assert f"<p>The request ends before its {what} does.</p>".encode() in got
    assert client.conn.state == CLOSED
    line = begun.partition(b"\r\n")[0 if begun[:1] == b"G" else 2].decode()
    assert f'"{line}" 400 ' in bench.log()[-1]


def test_who_leaves_in_the_middle_for_good_harms_nobody(bench: Workbench) -> None:
    client = bench.client()
    assert bench.ask(client, BODY_HEAD) == b""
    client.close()
    bench.arrive(client)
    bench.hear_all()
    assert client.conn.state == CLOSED
    assert statuses(bench.ask(bench.client(), GET)) == [200]


# Bodies.


def test_who_waits_for_100_gets_it_and_then_the_answer(bench: Workbench) -> None:
    client = bench.client()
    assert bench.ask(client, PATIENT) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"12345")
    assert statuses(bench.hear_all(client)) == [200]
    assert bench.responses() == {200: 1}


def test_who_has_sent_the_body_is_not_told_to_go_on(bench: Workbench) -> None:
    assert statuses(bench.ask(bench.client(), PATIENT + b"12345")) == [200]


def test_who_is_gone_when_he_should_be_told_to_go_on_harms_nobody(
    bench: Workbench, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, there = bench.client().send(PATIENT), bench.client().send(GET)
    gone.close()
    bench.arrive(gone, there)
    assert gone.conn.state == CLOSED
    assert statuses(there.received()) == [200]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (POST, 405),
        (POST.replace(b"POST", b"BREW"), 501),
        (BODY_HEAD.replace(b"5", b"9999999"), 413),
        (CHUNKED.replace(b"3\r\nabc", b"q\r\nabc"), 400),
        (b"GET /a.txt HTTP/1.1\r\n\r\n", 400),
        (b"GET  /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a.txt HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 9000), 414),
        (GET.replace(b"x\r\n", b"x\r\nA: %b\r\n" % (b"a" * 16_400)), 431),
        (GET.replace(b"x\r\n", b"x\r\nTransfer-Encoding: gzip, chunked\r\n"), 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_loses_the_framing_is_answered_once_and_read_past(bench: Workbench, request_: bytes, refusal: int) -> None:
    client = bench.tcp_client()
    client.send(request_)
    bench.arrive(client)
    client.send(GET)
    got = bench.hear_all(client)
    assert statuses(got) == [refusal]
    assert b"\r\nConnection: close\r\n" in got
    assert client.conn.state == LINGER
    assert client.is_over()
    client.close()
    bench.hear_all()
    assert client.conn.state == CLOSED
    assert bench.responses() == {refusal: 1}
    (line,) = bench.log()
    assert f'" {refusal} ' in line


def test_a_body_past_its_bound_is_413(make_bench: MakeBench) -> None:
    bench = make_bench(limits=LimitSettings(body_bytes=100))
    head = CHUNKED[: CHUNKED.index(b"3\r\nabc")]
    client = bench.client()
    assert bench.ask(client, head + b"ff\r\n") == b""
    client.send(b"b" * 101)
    assert statuses(bench.hear_all(client)) == [413]
    assert client.conn.state == LINGER


def test_a_line_that_is_no_line_is_logged_escaped(bench: Workbench) -> None:
    bench.ask(bench.client(), b'GET /"\x01\xff HTTP/1.1\r\nHost: x\r\n\r\n')
    assert '"GET /\\x22\\x01\\xFF HTTP/1.1" 400 ' in bench.log()[0]


# Time.


@pytest.mark.parametrize(("begun", "state"), [(b"GET /a.t", HEAD), (BODY_HEAD + b"12", BODY)])
def test_who_does_not_finish_is_408_and_closed(bench: Workbench, begun: bytes, state: int) -> None:
    client = bench.client()
    bench.ask(client, begun)
    assert client.conn.state == state
    wait_out(bench, TIMEOUT_SECONDS - 0.25)
    assert client.received() == b""
    wait_out(bench, 1)
    assert statuses(client.received()) == [408]
    assert client.conn.state == LINGER
    wait_out(bench, 3)
    assert client.conn.state == CLOSED
    assert bench.responses() == {408: 1}


def test_who_sends_a_byte_at_a_time_is_408_all_the_same(bench: Workbench) -> None:
    client = bench.client()
    bench.ask(client, b"GET /")
    for _ in range(int(TIMEOUT_SECONDS) + 1):
        if client.conn.state == HEAD:
            client.send(b"a")
        bench.hear_all()
        wait_out(bench, 1)
    assert statuses(client.received()) == [408]


def test_who_says_nothing_is_closed_without_a_word(bench: Workbench) -> None:
    client, asked = bench.client(), bench.client()
    bench.arrive(client)
    bench.ask(asked, GET)
    wait_out(bench, TIMEOUT_SECONDS + 1)
    assert (client.conn.state, asked.conn.state) == (CLOSED, CLOSED)
    assert client.received() == b""
    assert bench.responses() == {200: 1}


def test_who_takes_nothing_is_closed(make_bench: MakeBench, root: Path) -> None:
    (root / "big").write_bytes(os.urandom(2_000_000))
    bench = make_bench(cache=CacheSettings(max_object_bytes=1000))
    client = bench.client()
    bench.ask(client, GET.replace(b"a.txt", b"big"))
    bench.hear_all()
    wait_out(bench, TIMEOUT_SECONDS + 1)
    assert client.conn.state == CLOSED


def test_who_lingers_and_goes_on_sending_is_closed(bench: Workbench) -> None:
    client = bench.tcp_client()
    bench.ask(client, POST)
    assert client.conn.state == LINGER
    for _ in range(LINGER_BYTES // 65536 + 100):
        if client.conn.state == CLOSED:
            break
        try:
            client.send(b"b" * 65536)
        except OSError:
            break
        bench.hear_all()
    assert client.conn.state == CLOSED


def test_while_it_drains_every_answer_is_the_last_of_its_connection(bench: Workbench) -> None:
    client: Client = bench.client()
    assert b"Connection" not in bench.ask(client, GET)
    bench.shelf.forget()
    bench.intake.draining = True
    client.send(GET)
    assert b"\r\nConnection: close\r\n" in bench.hear_all(client)
    assert client.conn.state == CLOSED


def test_an_empty_line_before_a_request_of_the_hot_path_is_forgotten_with_it(bench: Workbench) -> None:
    request = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    bench.warm(request)
    client = bench.client()
    assert bench.ask(client, b"\r\n") == b""
    bench.advance(0.001)
    assert statuses(bench.ask(client, request)) == [200]
    assert statuses(bench.ask(client, b"\r\n" + request)) == [200]
