# Sessions that take a step and say what the test wants; real connections, and the epoll of a worker's bench.
"""Greetings in line: a bounded time of them a round, one deadline each, and nobody forgotten."""

import os
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.worker.workbench import Workbench
from wsrv.engine.log.format import Combined
from wsrv.engine.settings import ListenSettings, ProxySettings
from wsrv.engine.shm.row import PROXY_MALFORMED, TLS_FAILURES, TLS_HANDSHAKES
from wsrv.engine.tls.step import NotTls, Step
from wsrv.engine.worker import reception as room
from wsrv.engine.worker.aside import Aside
from wsrv.engine.worker.connection import ASIDE, CLOSED, GREETING
from wsrv.engine.worker.proxies import Proxies
from wsrv.engine.worker.reception import Reception


class Stub:
    """A session whose steps are told."""

    def __init__(self, steps: list[Step | OSError]) -> None:
        self.steps = steps
        self.begun = True
        self.ended = False
        self.made = 0

    def handshake(self, fd: int) -> Step:
        self.made += 1
        os.read(fd, 1)
        step = self.steps.pop(0)
        if isinstance(step, OSError):
            raise step
        return step

    def read(self, fd: int) -> bytes:
        raise BlockingIOError

    def end(self, fd: int) -> None: ...


class Door:
    """A reception of a bench, as its loop has it."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        listeners = (ListenSettings(), ListenSettings(secure=True))
        proxies = Proxies(ProxySettings(("10.0.0.0/8",), protocol=True), Combined())
        parts = (bench.connections, bench.intake, bench.ledger)
        self.reception = Reception(listeners, None, 0, proxies, *parts)
        bench.connections.epoll.register(self.reception.fileno(), select.EPOLLIN)
        self.clients: list[socket.socket] = []

    def come(self, *steps: Step | OSError) -> tuple[Aside, Stub]:
        """A client of the secure listener, whose session will take these steps."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.clients.append(ours)
        conn = Aside(theirs.detach(), b"", self.bench.now_ns, None)
        stub = Stub(list(steps))
        conn.tls = stub  # type: ignore[assignment]
        self.reception.begin(conn, self.bench.now_ns)
        return conn, stub

    def round(self) -> int:
        """A round of the loop, as far as greetings go; how many events there were."""
        events = self.bench.connections.epoll.poll(0)
        for fd, _ in events:
            conn = self.bench.connections.table.get(fd)
            if conn is not None and conn.state == GREETING:
                self.reception.go_on(conn)
        self.reception.turn(self.bench.now_ns)
        return len(events)

    def say(self, *clients: int) -> None:
        """These clients say a byte."""
        for number in clients:
            self.clients[number].send(b"x")

    def close(self) -> None:
        os.close(self.reception.fileno())
        for client in self.clients:
            client.close()
        for conn in list(self.bench.connections.table.values()):
            self.bench.connections.drop(conn)


@pytest.fixture
def door(make_bench: Callable[[], Workbench]) -> Iterator[Door]:
    made = Door(make_bench())
    yield made
    made.close()


def test_a_round_takes_steps_for_its_time_and_the_others_have_theirs_in_turn(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_TURN_NS", 0)
    stubs = [door.come(Step.READS, Step.DONE)[1] for _ in range(5)]
    door.say(*range(5))
    made = []
    for _ in range(5):
        assert door.round() > 0, "somebody waits, so the loop must not sleep"
        made.append([stub.made for stub in stubs])
    assert [sum(each) for each in made] == [1, 2, 3, 4, 5], "one step a round"
    assert sorted(made[-1]) == [1] * 5, "and nobody twice before all had one"
    assert door.round() == 0, "nobody is in line any more"
    door.say(*range(5))
    while door.round():
        pass
    assert [stub.made for stub in stubs] == [2] * 5
    assert door.bench.count(TLS_HANDSHAKES) == 5


def test_within_its_time_a_round_takes_all_steps(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_TURN_NS", 60_000_000_000)
    stubs = [door.come(Step.READS)[1] for _ in range(20)]
    door.say(*range(20))
    door.round()
    assert [stub.made for stub in stubs] == [1] * 20
    assert door.round() == 0


def test_who_waits_in_line_wakes_the_loop_no_more_by_what_is_said(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_TURN_NS", 0)
    for _ in range(3):
        door.come(Step.READS, Step.READS)
    door.say(0, 1, 2)
    assert door.round() == 3
    door.say(0, 1, 2)
    assert door.round() == 2, "the bell, and the one that is not in line"


def test_who_left_while_in_line_is_not_greeted(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_TURN_NS", 0)
    conns = [door.come(Step.READS) for _ in range(3)]
    door.say(0, 1, 2)
    door.round()
    waiting = [(conn, stub) for conn, stub in conns if not stub.made]
    door.reception.overdue(waiting[0][0])
    assert waiting[0][0].state == CLOSED
    while door.round():
        pass
    assert [stub.made for _, stub in waiting] == [0, 1]


def test_the_deadline_is_that_of_the_beginning_whatever_is_said(door: Door) -> None:
    conn, stub = door.come(*[Step.READS] * 100)
    for _ in range(29):
        door.say(0)
        door.round()
        door.bench.advance(1)
    assert door.bench.connections.overdue(door.bench.now_ns) == []
    door.bench.advance(2)
    assert door.bench.connections.overdue(door.bench.now_ns) == [conn]
    assert stub.made == 29


def test_a_client_that_takes_nothing_is_waited_for(door: Door) -> None:
    conn, _ = door.come(Step.WRITES, Step.DONE)
    door.say(0)
    assert door.round() == 1
    door.say(0)
    assert door.round() == 1, "it can be written to"
    assert conn.state == ASIDE


@pytest.mark.parametrize(
    ("error", "state", "answered"),
    [
        (ConnectionResetError(), CLOSED, b""),
        (NotTls(b"\x00"), CLOSED, b""),
        (NotTls(b"GET / HTTP/1.1\r\n\r\n"), None, b"HTTP/1.1 400 Bad Request\r\n"),
    ],
)
def test_what_fails_is_counted_and_answered_where_it_would_be_understood(
    door: Door, error: OSError, state: int | None, answered: bytes
) -> None:
    conn, _ = door.come(error)
    door.say(0)
    door.round()
    assert door.bench.count(TLS_FAILURES) == 1
    assert door.clients[0].recv(65536).startswith(answered)
    assert state is None or conn.state == state


def test_who_never_began_has_not_failed(door: Door) -> None:
    conn, stub = door.come()
    stub.begun = False
    door.reception.overdue(conn)
    assert (door.bench.count(TLS_FAILURES), door.bench.count(PROXY_MALFORMED)) == (0, 0)
