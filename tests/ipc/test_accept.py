# A real listener and real clients.
"""Accepting in batches: who came from where, how many at once, and what happens when nothing can be had."""

import errno
import os
import resource
import select
import socket
import struct
from collections.abc import Iterator
from time import monotonic_ns

import pytest

from wsrv.engine.ipc.accept import AcceptingSource, Acceptor
from wsrv.engine.ipc.record import Arrival, peer_text
from wsrv.testing.processes import leave_free, open_fds


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def listener(request: pytest.FixtureRequest, _no_descriptor_left: None) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    both = request.param == "::"
    with socket.create_server((request.param, 0), family=family, backlog=128, dualstack_ipv6=both) as made:
        made.setblocking(False)
        yield made


def connect(listener: socket.socket, count: int = 1) -> list[socket.socket]:
    host, port = listener.getsockname()[:2]
    return [socket.create_connection(("127.0.0.1" if host == "::" else host, port), 10) for _ in range(count)]


def close(clients: list[socket.socket], arrivals: list[Arrival]) -> None:
    for client in clients:
        client.close()
    for fd, _ in arrivals:
        os.close(fd)


def test_each_comes_with_a_record_of_its_own(listener: socket.socket) -> None:
    acceptor = Acceptor(listener, 5)
    before = monotonic_ns()
    clients = connect(listener, 5)
    arrivals = acceptor.take(10)
    assert [record[2] for _, record in arrivals] == [client.getsockname()[1] for client in clients]
    assert [record[1] for _, record in arrivals] == [1, 2, 3, 4, 5]
    for fd, (accept_ns, _, port, number, family, address) in arrivals:
        assert before <= accept_ns <= monotonic_ns()
        assert (number, family) == (5, listener.family)
        assert peer_text(family, address) == clients[0].getsockname()[0].encode()
        with socket.socket(fileno=os.dup(fd)) as connection:
            assert connection.getpeername()[1] == port
    close(clients, arrivals)


def test_no_more_than_the_limit_and_the_rest_the_next_time(listener: socket.socket) -> None:
    acceptor = Acceptor(listener, 0)
    clients = connect(listener, 7)
    rounds = [acceptor.take(3) for _ in range(4)]
    assert [len(taken) for taken in rounds] == [3, 3, 1, 0]
    assert [record[1] for taken in rounds for _, record in taken] == [1, 2, 3, 4, 5, 6, 7]
    close(clients, [arrival for taken in rounds for arrival in taken])


def test_accepted_descriptors_are_non_blocking_and_close_on_exec(listener: socket.socket) -> None:
    clients = connect(listener, 2)
    arrivals = Acceptor(listener, 0).take(10)
    for fd, _ in arrivals:
        assert not os.get_blocking(fd)
        assert not os.get_inheritable(fd)
    close(clients, arrivals)


def test_without_descriptors_it_says_so_and_takes_nobody(listener: socket.socket) -> None:
    source = AcceptingSource([listener.dup()])
    clients = connect(listener, 3)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            source.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    arrivals = source.take()
    assert len(arrivals) == 3
    source.close()
    close(clients, arrivals)


def test_when_descriptors_end_in_the_middle_those_before_are_taken(listener: socket.socket) -> None:
    acceptor = Acceptor(listener, 0)
    clients = connect(listener, 5)
    restore = leave_free(2)
    first = acceptor.take(10)
    restore()
    later = acceptor.take(10)
    assert (len(first), len(later)) == (2, 3)
    close(clients, first + later)


def test_a_client_that_reset_before_it_was_accepted_holds_nobody_up(listener: socket.socket) -> None:
    gone, stays = connect(listener, 2)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    port = stays.getsockname()[1]
    gone.close()
    arrivals = Acceptor(listener, 0).take(10)
    assert port in [record[2] for _, record in arrivals]
    close([stays], arrivals)


def test_a_source_is_readable_while_somebody_waits(listener: socket.socket) -> None:
    source = AcceptingSource([listener.dup()])
    with select.epoll() as epoll:
        epoll.register(source.fds()[0], source.events)
        assert not epoll.poll(0)
        clients = connect(listener, 20)
        arrivals = source.take()
        assert 0 < len(arrivals) < 20, "the others are for workers that are free"
        assert epoll.poll(0)
        while found := source.take():
            arrivals += found
        assert len(arrivals) == 20
        assert not epoll.poll(0)
    source.close()
    close(clients, arrivals)
