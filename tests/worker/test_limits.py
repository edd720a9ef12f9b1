# Every bound with a setting: what is within passes, what is past it is refused and counted by its name, at values that
# are not the defaults.
"""Limits of requests and of time, in the slow lane."""

import select
from pathlib import Path

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import BOUND_SECONDS, Client, Workbench, statuses
from wsrv.engine.http.bounds import DEFAULT_BOUNDS
from wsrv.engine.settings import LimitSettings
from wsrv.engine.shm.row import LIMIT_INDEX
from wsrv.engine.worker.connection import BODY, CLOSED, HEAD, IDLE, WRITE, Timeouts
from wsrv.engine.worker.intake import bounds_of

LATE_SECONDS = 0.6


def fired(bench: Workbench) -> dict[str, int]:
    """The limits that fired, as they would be published."""
    return {name: bench.count(at) for name, at in LIMIT_INDEX.items() if bench.count(at)}


def get(*fields: bytes, target: bytes = b"/a.txt") -> bytes:
    return b"".join(line + b"\r\n" for line in (b"GET " + target + b" HTTP/1.1", b"Host: x", *fields, b""))


def pass_time(bench: Workbench, seconds: float) -> None:
    """Let time pass, in ticks of the loop."""
    for _ in range(round(seconds * 4)):
        bench.advance(0.25)
        bench.look_at_deadlines()


def test_the_defaults_of_settings_and_parser_are_the_same() -> None:
    assert bounds_of(LimitSettings()) == DEFAULT_BOUNDS


@pytest.mark.parametrize(
    ("limits", "within", "past", "status", "name"),
    [
        (LimitSettings(fields=3), get(b"A: b", b"C: d"), get(b"A: b", b"C: d", b"E: f"), 431, "fields"),
        (LimitSettings(fields=150), get(*(b"A: b",) * 149), get(*(b"A: b",) * 150), 431, "fields"),
        (LimitSettings(head_bytes=300), get(b"A: " + b"b" * 263), get(b"A: " + b"b" * 264), 431, "head_size"),
        (LimitSettings(head_bytes=20_000), get(b"A: " + b"b" * 19_000), get(b"A: " + b"b" * 20_000), 431, "head_size"),
        (
            LimitSettings(target_bytes=50),
            get(target=b"/a.txt?" + b"q" * 43),
            get(target=b"/a.txt?" + b"q" * 44),
            414,
            "target_size",
        ),
        (
            LimitSettings(target_bytes=12_000),
            get(target=b"/a.txt?" + b"q" * 11_993),
            get(target=b"/a.txt?" + b"q" * 11_994),
            414,
            "target_size",
        ),
        (
            LimitSettings(body_bytes=10),
            get(b"Content-Length: 10") + b"0123456789",
            get(b"Content-Length: 11") + b"0123456789a",
            413,
            "body_size",
        ),
        (
            LimitSettings(body_bytes=15),
            get(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
            get(b"Transfer-Encoding: chunked") + b"6\r\nhello!\r\n0\r\n\r\n",
            413,
            "body_size",
        ),
    ],
)
def test_past_a_bound_is_refused_and_counted(
    make_bench: MakeBench, limits: LimitSettings, within: bytes, past: bytes, status: int, name: str
) -> None:
    for cut in (None, 7, 100):
        bench = make_bench(limits=limits)
        for raw, expected, counted in ((within, 200, {}), (past, status, {name: 1})):
            client = bench.client()
            got = b""
            for begin in range(0, len(raw), cut or len(raw)):
                if client.conn.state != CLOSED and not got:
                    client.send(raw[begin : begin + (cut or len(raw))])
                    bench.arrive(client)
                    got += bench.hear_all(client)
            assert statuses(got) == [expected]
            assert fired(bench) == counted


def test_head_size_is_that_of_the_whole_head(make_bench: MakeBench) -> None:
    head = get(b"A: b")
    for head_bytes, status in ((len(head), 200), (len(head) - 1, 431)):
        bench = make_bench(limits=LimitSettings(head_bytes=head_bytes))
        assert statuses(bench.ask(bench.client(), head)) == [status]


# Time.

APART = LimitSettings(head_seconds=2, body_seconds=4, idle_seconds=8, write_seconds=16)


def begun(bench: Workbench, text: bytes) -> Client:
    client = bench.client()
    assert bench.ask(client, text) == b""
    return client


@pytest.fixture
def timed(make_bench: MakeBench) -> Workbench:
    return make_bench(limits=APART)


def test_each_state_has_its_own_time(timed: Workbench) -> None:
    head = begun(timed, b"GET /a.t")
    body = begun(timed, get(b"Content-Length: 5"))
    idle = timed.client()
    timed.ask(idle, get())
    silent = begun_silent(timed)
    assert [c.conn.state for c in (head, body, idle, silent)] == [HEAD, BODY, IDLE, IDLE]
    pass_time(timed, 1.75)
    assert fired(timed) == {}
    pass_time(timed, LATE_SECONDS + 0.25)
    assert fired(timed) == {"head_timeout": 1}
    assert statuses(head.received()) == [408]
    pass_time(timed, 2)
    assert fired(timed) == {"head_timeout": 1, "body_timeout": 1}
    got = body.received()
    assert statuses(got) == [408]
    assert b"<p>The body of the request did not arrive in time.</p>" in got
    assert idle.conn.state == silent.conn.state == IDLE
    pass_time(timed, 4)
    assert fired(timed) == {"head_timeout": 1, "body_timeout": 1, "idle_timeout": 2}
    # Without a word.
    assert idle.received() == silent.received() == b""
    assert idle.conn.state == silent.conn.state == CLOSED


def begun_silent(bench: Workbench) -> Client:
    """A client that has connected and says nothing."""
    client = bench.client()
    bench.arrive(client)
    return client


def test_a_head_that_drips_is_late_all_the_same(timed: Workbench) -> None:
    client = begun(timed, b"GET /a.txt HTTP/1.1\r\n")
    for _ in range(10):
        if client.conn.state == HEAD:
            client.send(b"A: b\r\n")
            timed.hear()
            pass_time(timed, 0.25)
    assert statuses(client.received()) == [408]
    assert fired(timed) == {"head_timeout": 1}


def test_a_body_that_comes_steadily_is_waited_for_up_to_ten_times_its_time(timed: Workbench) -> None:
    client = begun(timed, get(b"Content-Length: 1000"))
    for second in range(39):
        assert client.conn.state == BODY, f"after {second} s"
        client.send(b"x")
        timed.hear()
        pass_time(timed, 1)
    assert fired(timed) == {}
    for _ in range(3):
        if client.conn.state == BODY:
            client.send(b"x")
            timed.hear()
            pass_time(timed, 1)
    assert statuses(client.received()) == [408]
    assert fired(timed) == {"body_timeout": 1}


def test_a_head_time_that_is_shorter_than_the_idle_time_holds_for_every_request(timed: Workbench) -> None:
    client = timed.client()
    # The bench's clock is ahead of the true one, which the hot path reads; conditions keep a request out of it.
    for _ in range(3):
        timed.ask(client, get(b'If-None-Match: "x"'))
        pass_time(timed, 7)
        assert client.conn.state == IDLE
        client.send(b"GET /a.txt ")
        timed.hear()
        assert client.conn.state == HEAD
        pass_time(timed, 1.5)
        client.send(b"HTTP/1.1\r\nHost: x\r\n\r\n")
        timed.hear()
        assert statuses(client.received()) == [200]
    client.send(b"GET /a.txt ")
    timed.hear()
    pass_time(timed, 2 + LATE_SECONDS)
    assert statuses(client.received()) == [408]


def test_who_takes_nothing_is_given_up_and_who_takes_something_is_not(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(limits=LimitSettings(write_seconds=2, idle_seconds=100))
    (root / "big").write_bytes(bytes(8_000_000))
    taking, refusing = bench.tcp_client(), bench.tcp_client()
    for client in (taking, refusing):
        client.send(get(target=b"/big"))
    bench.arrive(taking, refusing)
    bench.hear()
    assert taking.conn.state == refusing.conn.state == WRITE
    for _ in range(8):
        if taking.conn.state == WRITE:
            # What is on its way is waited for: on a busy machine the kernel takes its time even here.
            assert select.select([taking.socket], [], [], BOUND_SECONDS)[0]
            taking.received()
            assert bench.hear(BOUND_SECONDS)
        pass_time(bench, 1)
    assert refusing.conn.state == CLOSED
    assert taking.conn.state in (WRITE, IDLE)
    assert fired(bench) == {"write_timeout": 1}


def test_timeouts_of_settings() -> None:
    assert Timeouts.of(APART) == Timeouts(8 * 10**9, 2 * 10**9, 4 * 10**9, 16 * 10**9)
