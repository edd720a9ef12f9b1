# The line of long answers, with a clock that only the turns themselves move on.
"""engine/worker/turns.py."""

import os
from collections.abc import Iterator

import pytest

from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import Ledger
from wsrv.engine.worker.connection import IDLE, WRITABLE_ONCE, WRITE, Connection, Connections, Timeouts
from wsrv.engine.worker.turns import Turns

MS = 1_000_000


class Line:
    """Connections that are always ready to take more, and the turns they had."""

    def __init__(self) -> None:
        self.mapping = Mapping(0, 64, 1)
        ledger = Ledger(self.mapping.rows[0], self.mapping.asleep, self.mapping.bell)
        self.connections = Connections(ledger, Timeouts(*(10**10,) * 4))
        self.turns = Turns(self.connections, self._go_on, lambda: self.now_ns)
        self.now_ns = 10**12
        self.turn_ns = 0
        self.had: list[Connection] = []
        # Those that can take more when their turn is over.
        self.greedy: set[Connection] = set()

    def writer(self) -> Connection:
        """A connection in the state WRITE. An eventfd can always be written to."""
        conn = Connection(os.eventfd(0), b"", self.now_ns)
        self.connections.want(conn, WRITE, WRITABLE_ONCE, self.now_ns)
        return conn

    def ready(self) -> list[int]:
        """The descriptors that epoll says can be written to."""
        return [fd for fd, _ in self.connections.epoll.poll(0)]

    def round(self) -> list[Connection]:
        """A round as the loop makes it; who had a turn in it."""
        self.had = []
        for fd in self.ready():
            self.turns.add(self.connections.table[fd])
        self.turns.turn(self.now_ns)
        return self.had

    def _go_on(self, conn: Connection, now_ns: int) -> None:
        self.now_ns += self.turn_ns
        self.had.append(conn)
        if conn in self.greedy:
            self.connections.line_up(conn, now_ns)
            return
        self.connections.want(conn, WRITE, WRITABLE_ONCE, now_ns)

    def close(self) -> None:
        for conn in list(self.connections.table.values()):
            self.connections.drop(conn)
        self.connections.epoll.close()
        self.mapping.close()


@pytest.fixture
def line(_no_descriptor_left: None) -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_all_have_their_turn_while_turns_are_short(line: Line) -> None:
    writers = {line.writer() for _ in range(20)}
    assert set(line.round()) == writers
    assert len(line.turns) == 0


def test_a_round_makes_turns_for_two_milliseconds_and_everybody_comes_in_turn(line: Line) -> None:
    writers = [line.writer() for _ in range(7)]
    line.turn_ns = MS
    had = [line.round() for _ in range(14)]
    assert {len(turns) for turns in had} == {2}
    # 28 turns for seven who are always ready: nobody is passed over.
    counts = [sum(turns.count(conn) for turns in had) for conn in writers]
    assert max(counts) - min(counts) <= 1


def test_whose_turn_is_over_stays_in_line_behind_the_others(line: Line) -> None:
    writers = [line.writer() for _ in range(3)]
    line.greedy.update(writers)
    line.turn_ns = MS
    had = [line.round() for _ in range(6)]
    assert {len(turns) for turns in had} == {2}
    counts = [sum(turns.count(conn) for turns in had) for conn in writers]
    assert counts == [4, 4, 4]
    line.greedy.clear()
    line.turn_ns = 0
    assert len(line.round()) == 3
    assert len(line.turns) == 0
    assert sorted(line.ready()) == sorted(conn.fd for conn in writers)


def test_one_turn_is_made_whatever_it_takes(line: Line) -> None:
    for _ in range(3):
        line.writer()
    line.turn_ns = 100 * MS
    assert [len(line.round()) for _ in range(3)] == [1, 1, 1]


def test_who_stands_in_line_is_not_waited_for(line: Line) -> None:
    conn = line.writer()
    assert line.ready() == [conn.fd]
    assert line.ready() == [], "it is told once"
    line.turns.add(conn)
    line.turns.turn(line.now_ns)
    assert line.ready() == [conn.fd]


def test_who_has_left_the_line_or_the_server_has_no_turn(line: Line) -> None:
    gone, idle, stays = line.writer(), line.writer(), line.writer()
    for conn in (gone, idle, stays):
        line.turns.add(conn)
    line.connections.drop(gone)
    idle.state = IDLE
    line.turns.turn(line.now_ns)
    assert line.had == [stays]
