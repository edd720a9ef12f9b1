# Connections without sockets would do, but for epoll: it wants real descriptors, so each has an eventfd.
"""Deadlines: nobody is ended before his time, nobody long after it, and nobody is looked at more than he must be."""

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import CLOSED as CLOSED_COUNT
from wsrv.engine.shm.row import Ledger
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.connection import (
    CLOSED,
    HEAD,
    IDLE,
    LINGER,
    LINGER_NS,
    NOTHING,
    READ,
    WAIT,
    WRITABLE,
    WRITE,
    Connection,
    Connections,
    Timeouts,
)

TIMEOUT_NS = 5 * SECOND_NS
ALIKE = Timeouts(*(TIMEOUT_NS,) * 4)
# A slot of the wheel, and the tick of the loop.
LATE_NS = 600_000_000
TICK_NS = 250_000_000
BEGIN_NS = 1_000_000 * SECOND_NS


class Wheel:
    """Connections, and a clock that the test turns in ticks of the loop."""

    def __init__(self, timeouts: Timeouts = ALIKE) -> None:
        self.mapping = Mapping(0, 64, 1)
        self.ledger = Ledger(self.mapping.rows[0], self.mapping.asleep, self.mapping.bell)
        self.connections = Connections(self.ledger, timeouts)
        self.now_ns = BEGIN_NS
        self._made: list[Connection] = []
        self.connections.overdue(self.now_ns)

    def hold(self) -> Connection:
        """A connection that has been taken in now."""
        conn = Connection(os.eventfd(0), b"", self.now_ns)
        self._made.append(conn)
        self.connections.hold(conn, self.now_ns)
        return conn

    def tick(self, by_ns: int = TICK_NS) -> list[Connection]:
        """The next tick; who is overdue."""
        self.now_ns += by_ns
        return self.connections.overdue(self.now_ns)

    def close(self) -> None:
        for conn in self._made:
            self.connections.drop(conn)
        self.connections.epoll.close()
        self.mapping.close()


@pytest.fixture
def wheel(_no_descriptor_left: None) -> Iterator[Wheel]:
    made = Wheel()
    yield made
    made.close()


def until_overdue(wheel: Wheel, conn: Connection) -> int:
    """How long after now `conn` is overdue."""
    began_ns = wheel.now_ns
    for _ in range(100):
        if conn in wheel.tick():
            return wheel.now_ns - began_ns
    raise AssertionError("never overdue")


# When each connection comes, when it speaks last, in ticks; and how much late each tick is.
lives = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), min_size=1, max_size=12)
lags = st.lists(st.integers(0, 80_000_000), min_size=80, max_size=80)


@given(lives=lives, lags=lags)
@settings(deadline=None)
def test_everybody_is_overdue_in_time_and_nobody_before(lives: list[tuple[int, int]], lags: list[int]) -> None:
    wheel = Wheel()
    try:
        held: dict[Connection, int] = {}
        overdue_ns: dict[Connection, int] = {}
        for round_number, lag_ns in enumerate(lags):
            for conn in wheel.tick(TICK_NS + lag_ns):
                assert conn not in overdue_ns, "overdue twice"
                overdue_ns[conn] = wheel.now_ns
            for comes, speaks in lives:
                if comes == round_number:
                    held[wheel.hold()] = comes + speaks
            for conn, last in held.items():
                if conn not in overdue_ns and round_number <= last:
                    conn.active_ns = wheel.now_ns
        assert overdue_ns.keys() == held.keys()
        for conn, seen_ns in overdue_ns.items():
            assert conn.active_ns + TIMEOUT_NS <= seen_ns <= conn.active_ns + TIMEOUT_NS + LATE_NS
    finally:
        wheel.close()


def test_who_goes_on_talking_is_never_overdue_and_looked_at_once_a_timeout(
    wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Counter[Connection] = Counter()
    expect = wheel.connections._expect

    def counted(conn: Connection, deadline_ns: int) -> None:
        looks[conn] += 1
        expect(conn, deadline_ns)

    monkeypatch.setattr(wheel.connections, "_expect", counted)
    talking = [wheel.hold() for _ in range(50)]
    timeouts = 10
    for _ in range(timeouts * TIMEOUT_NS // TICK_NS):
        assert wheel.tick() == []
        for conn in talking:
            conn.active_ns = wheel.now_ns
    assert set(looks) == set(talking)
    assert max(looks.values()) <= timeouts + 2


def test_whoever_lingers_has_his_own_shorter_time(wheel: Wheel) -> None:
    conn = wheel.hold()
    wheel.connections.want(conn, LINGER, READ, wheel.now_ns)
    assert LINGER_NS <= until_overdue(wheel, conn) <= LINGER_NS + LATE_NS


def test_whoever_lingers_late_in_his_time_lingers_as_long(wheel: Wheel) -> None:
    conn = wheel.hold()
    for _ in range(18):
        assert wheel.tick() == []
    wheel.connections.want(conn, LINGER, READ, wheel.now_ns)
    assert LINGER_NS <= until_overdue(wheel, conn) <= LINGER_NS + LATE_NS


def test_whoever_waits_for_the_pool_is_not_overdue(wheel: Wheel) -> None:
    conn = wheel.hold()
    wheel.connections.want(conn, WAIT, NOTHING, wheel.now_ns)
    for _ in range(4 * TIMEOUT_NS // TICK_NS):
        assert wheel.tick() == []
    wheel.connections.want(conn, WRITE, WRITABLE, wheel.now_ns)
    assert TIMEOUT_NS <= until_overdue(wheel, conn) <= TIMEOUT_NS + LATE_NS


@pytest.mark.parametrize("state", [HEAD, WRITE])
def test_the_time_begins_anew_with_every_state(wheel: Wheel, state: int) -> None:
    conn = wheel.hold()
    for _ in range(10):
        assert wheel.tick() == []
    wheel.connections.want(conn, state, READ, wheel.now_ns)
    assert TIMEOUT_NS <= until_overdue(wheel, conn) <= TIMEOUT_NS + LATE_NS


def test_a_connection_waits_in_one_slot_however_often_its_time_gets_shorter() -> None:
    wheel = Wheel(Timeouts(idle_ns=8 * SECOND_NS, head_ns=SECOND_NS, body_ns=SECOND_NS, write_ns=SECOND_NS))
    try:
        conn = wheel.hold()
        for number in range(400):
            wheel.connections.want(conn, HEAD if number % 2 else IDLE, READ, wheel.now_ns)
            assert wheel.tick() == []
        # What it leaves behind lies in slots that are still to come, and goes with them.
        waiting = [conn for slot in wheel.connections._slots.values() for conn in slot]
        assert len(waiting) <= 8 * SECOND_NS // TICK_NS
    finally:
        wheel.close()


def test_whoever_is_closed_is_forgotten(wheel: Wheel) -> None:
    conn = wheel.hold()
    fd = conn.fd
    wheel.connections.drop(conn)
    wheel.connections.drop(conn)
    assert conn.state == CLOSED
    assert fd not in wheel.connections.table
    assert wheel.ledger.counts[CLOSED_COUNT] == 1
    for _ in range(2 * TIMEOUT_NS // TICK_NS):
        assert wheel.tick() == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_pause_of_the_whole_process_ends_those_who_are_late_and_no_others(wheel: Wheel) -> None:
    silent, talking = wheel.hold(), wheel.hold()
    wheel.now_ns += 1000 * SECOND_NS
    talking.active_ns = wheel.now_ns
    assert wheel.tick() == [silent]
    assert TIMEOUT_NS - TICK_NS <= until_overdue(wheel, talking) <= TIMEOUT_NS + LATE_NS


def test_the_loop_may_sleep_longer_when_nobody_is_there(wheel: Wheel) -> None:
    alone = wheel.connections.wait_seconds()
    conn = wheel.hold()
    assert wheel.connections.wait_seconds() < alone
    assert conn.state == IDLE
    assert wheel.connections.table == {conn.fd: conn}
