# A source that gives what the test puts in; clients at the other end.
"""Taking connections in: permits, waiting times, the beginning of a line, and what happens without descriptors."""

import fcntl
import os
import resource
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.worker.guards import Guard
from tests.worker.workbench import Workbench
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.log.format import Combined
from wsrv.engine.shm.histogram import UNIT_SHIFT, bucket_of
from wsrv.engine.shm.row import CLOSED, LOST, OPENED, REFUSED
from wsrv.engine.worker.arrivals import Arrivals
from wsrv.engine.worker.connection import LINGER, Connection

LIMIT = 400
RESERVE = LIMIT - 128


class Source:
    """What has arrived."""

    def __init__(self) -> None:
        self.lost = 0
        self.events = select.EPOLLIN
        self.waiting: list[Arrival] = []

    def fds(self) -> list[int]:
        raise NotImplementedError

    def take(self) -> list[Arrival]:
        taken, self.waiting = self.waiting, []
        return taken

    def close(self) -> None: ...


class Entrance:
    """Arrivals of a worker's bench, and the clients that came."""

    def __init__(self, bench: Workbench, *, dispatched: bool = True) -> None:
        self.bench = bench
        self.source = Source()
        self.queue = Guard("queue", 0)
        queue = self.queue if dispatched else None
        self.arrivals = Arrivals(self.source, queue, bench.connections, bench.ledger, Combined(), self._refuse)
        self.clients: list[socket.socket] = []
        self.taken: list[Connection] = []

    def _refuse(self, conn: Connection, now_ns: int) -> None:
        self.bench.delivery.turn_away(conn, self.bench.shelf.error(503, now_ns), now_ns)

    def come(self, *ages_ns: int, above: int = 0) -> None:
        """A client for each time ago that one was accepted; from descriptor `above` on."""
        for age_ns in ages_ns:
            ours, theirs = socket.socketpair()
            fd = theirs.detach()
            if above:
                fd, low = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above), fd
                os.close(low)
            os.set_blocking(fd, False)
            address = socket.inet_aton("192.0.2.7") + bytes(12)
            record = (self.bench.now_ns - age_ns, 1, 1234, 0, int(socket.AF_INET), address)
            self.source.waiting.append((fd, record))
            self.clients.append(ours)

    def take(self) -> list[Connection]:
        """A round's arrivals."""
        found = self.arrivals.take(self.bench.now_ns)
        self.taken += found
        return found

    def close(self) -> None:
        for conn in [*self.taken, *self.bench.connections.table.values()]:
            self.bench.connections.drop(conn)
        for client in self.clients:
            client.close()


@pytest.fixture
def make_entrance(make_bench: Callable[[], Workbench]) -> Iterator[Callable[..., Entrance]]:
    made: list[Entrance] = []

    def make(**how: bool) -> Entrance:
        made.append(Entrance(make_bench(), **how))
        return made[-1]

    yield make
    for entrance in made:
        entrance.close()


@pytest.fixture
def entrance(make_entrance: Callable[..., Entrance]) -> Entrance:
    return make_entrance()


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of descriptors that can be reached."""
    monkeypatch.setattr(resource, "getrlimit", lambda what: (LIMIT, LIMIT))


def waits(entrance: Entrance) -> dict[int, int]:
    """Connections by the bucket of their waiting time."""
    return {bucket: count for bucket, count in enumerate(entrance.bench.ledger.wait_histogram) if count}


def test_what_has_arrived_gives_its_permits_back_and_is_counted(entrance: Entrance) -> None:
    assert entrance.take() == []
    entrance.come(0, 0, 0)
    taken = entrance.take()
    assert [conn.opening for conn in taken] == [b"192.0.2.7 - - ["] * 3
    assert entrance.queue.value() == 3
    assert entrance.bench.count(OPENED) == 3


def test_what_was_lost_on_the_way_gives_its_permits_back_and_is_counted_apart(entrance: Entrance) -> None:
    entrance.source.lost = 5
    assert entrance.take() == []
    entrance.source.lost = 7
    entrance.come(0)
    assert len(entrance.take()) == 1
    assert entrance.queue.value() == 8
    assert entrance.bench.count(LOST) == 7
    assert entrance.bench.count(OPENED) == 1


def test_the_waiting_time_is_counted_for_each_connection(entrance: Entrance) -> None:
    old, new = 5_000_000, 300_000
    entrance.come(new, new)
    entrance.take()
    entrance.come(old, old, new)
    entrance.take()
    assert waits(entrance) == {bucket_of(old >> UNIT_SHIFT): 2, bucket_of(new >> UNIT_SHIFT): 3}
    assert entrance.bench.row.longest_wait_ns() == old


def test_a_connection_accepted_after_the_round_began_has_not_waited(entrance: Entrance) -> None:
    entrance.come(1_000, -2_000_000)
    entrance.take()
    assert max(waits(entrance)) <= bucket_of(2_001_000 >> UNIT_SHIFT)
    assert entrance.bench.row.longest_wait_ns() == 2_001_000


def test_where_nobody_dispatches_there_are_no_permits_and_no_waiting_times(
    make_entrance: Callable[..., Entrance],
) -> None:
    entrance = make_entrance(dispatched=False)
    entrance.come(5_000_000)
    assert len(entrance.take()) == 1
    assert waits(entrance) == {}


def test_a_connection_whose_descriptor_lies_in_the_reserve_is_answered_503(
    limited: None, make_entrance: Callable[..., Entrance]
) -> None:
    entrance = make_entrance()
    entrance.come(0)
    entrance.come(0, 0, above=RESERVE)
    entrance.come(0)
    assert len(entrance.take()) == 2
    _, refused, also, _ = entrance.clients
    for client in (refused, also):
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # what it had still to say is read past
    bench = entrance.bench
    assert bench.count(REFUSED) == 2
    assert bench.count(OPENED) == 4
    assert entrance.queue.value() == 4
    assert bench.log() == []
    assert bench.responses() == {}
    assert {conn.state for conn in bench.connections.table.values()} == {LINGER}
    for client in (refused, also):
        client.close()
    while bench.hear():
        pass
    assert bench.connections.table == {}
    assert bench.count(CLOSED) == 2


def test_those_that_are_refused_do_not_use_up_the_reserve(
    limited: None, make_entrance: Callable[..., Entrance]
) -> None:
    entrance = make_entrance()
    entrance.come(*[0] * 50, above=RESERVE)
    assert entrance.take() == []
    assert len(entrance.bench.connections.table) == 32
    answers = [client.recv(100)[:13] for client in entrance.clients]
    assert answers == [b"HTTP/1.1 503 "] * 50
    assert entrance.bench.count(REFUSED) == 50


def test_of_a_small_limit_half_is_kept(monkeypatch: pytest.MonkeyPatch, make_entrance: Callable[..., Entrance]) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (150, 150))
    entrance = make_entrance()
    entrance.come(0, above=75)
    entrance.come(0)
    assert len(entrance.take()) == 1
