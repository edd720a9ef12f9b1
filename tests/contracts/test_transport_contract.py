# What master and worker rely on, whatever the transport: with real TCP connections, taken by a forked process that
# has closed everything but what the channel says a worker must keep.
"""Every registered transport that dispatches does what the protocol says."""

import fcntl
import os
import resource
import select
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.contracts.processes import Child, Gate, open_fds
from tests.contracts.tcp import Clients, answer_all, answer_of, close_all, copies, take_at_least
from wsrv.engine.ipc.transport import Channel, Transport
from wsrv.plugins.registry import load

TRANSPORTS = load().transports
DISPATCHING = [name for name, transport in TRANSPORTS.items() if transport.DISPATCHES]
CAPACITY = 128


@pytest.fixture(params=DISPATCHING)
def transport(request: pytest.FixtureRequest) -> type[Transport]:
    found = TRANSPORTS[request.param]
    reason = found.available()
    if reason is not None:
        pytest.skip(reason)
    return found


@pytest.fixture
def channel(transport: type[Transport], nothing_left_behind: None) -> Iterator[Channel]:
    made = transport.channel(CAPACITY)
    yield made
    made.close()


@pytest.fixture
def gate(nothing_left_behind: None) -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


def worker_of(channel: Channel, work: Callable[[], None], *gates: Gate) -> Child:
    """A worker of this slot."""
    return Child(work, [*channel.kept_fds(), *(gate.fd for gate in gates)])


@pytest.mark.parametrize("name", TRANSPORTS)
def test_the_class_says_its_name_and_whether_it_is_available(name: str) -> None:
    transport = TRANSPORTS[name]
    assert name == transport.NAME
    assert transport.__doc__
    reason = transport.available()
    assert reason is None or " " in reason


@pytest.mark.parametrize("batch", [1, 8, 32, 100])
def test_every_client_is_answered_with_its_own_record(channel: Channel, clients: Clients, batch: int) -> None:
    arrivals = clients.arrive(100)

    def work() -> None:
        source = channel.source()
        before = open_fds()
        answer_all(take_at_least(source, 100))
        assert open_fds() == before
        source.close()

    with worker_of(channel, work):
        for start in range(0, 100, batch):
            part = arrivals[start : start + batch]
            assert channel.send(part) == len(part)
        for arrival in arrivals:
            assert clients.answer(arrival) == answer_of(arrival)
    assert channel.depth() == 0


def test_what_is_sent_in_order_is_taken_in_order(channel: Channel, clients: Clients) -> None:
    (only,) = clients.arrive(1)

    def work() -> None:
        taken = take_at_least(channel.source(), 90)
        assert [fields[1] for _, fields in taken] == [*range(30), *range(30), *range(30)]

    with worker_of(channel, work):
        for _ in range(3):
            assert channel.send(copies(only, 30)) == 30
    os.close(only[0])


def test_a_source_is_readable_while_there_is_something_to_take(channel: Channel, clients: Clients, gate: Gate) -> None:
    arrivals = clients.arrive(3)

    def work() -> None:
        source = channel.source()
        poll = select.poll()
        poll.register(source.fileno(), select.POLLIN)
        assert not poll.poll(0)
        assert source.take() == []
        gate.open()
        answer_all(take_at_least(source, 3))
        assert not poll.poll(0)
        assert source.take() == []
        gate.open()

    with worker_of(channel, work, gate):
        gate.wait()
        assert channel.send(arrivals) == 3
        gate.wait()


def test_taken_descriptors_are_non_blocking_and_close_on_exec(channel: Channel, clients: Clients) -> None:
    arrivals = clients.arrive(3)

    def work() -> None:
        taken = take_at_least(channel.source(), 3)
        for fd, _ in taken:
            assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
            assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        answer_all(taken)

    with worker_of(channel, work):
        assert channel.send(arrivals) == 3


def test_depth_is_what_was_sent_and_not_taken(channel: Channel, clients: Clients, gate: Gate) -> None:
    (only,) = clients.arrive(1)
    assert channel.depth() == 0
    for count in (1, 8, 32):
        assert channel.send(copies(only, count)) == count
    assert channel.depth() == 41
    pipe, report = os.pipe()

    def work() -> None:
        taken = channel.source().take()
        os.write(report, bytes([len(taken)]))
        gate.wait()

    with Child(work, [*channel.kept_fds(), gate.fd, report]):
        (taken,) = os.read(pipe, 1)
        assert taken > 0
        assert channel.depth() == 41 - taken
        gate.open()
    assert channel.depth() == 41 - taken
    for fd in (only[0], pipe, report):
        os.close(fd)


def test_what_is_queued_outlives_the_worker_and_is_answered_by_its_successor(
    channel: Channel, clients: Clients, gate: Gate
) -> None:
    arrivals = clients.arrive(20)

    def work_and_hang() -> None:
        answer_all(take_at_least(channel.source(), 5))
        gate.open()
        signal.pause()

    with worker_of(channel, work_and_hang, gate) as worker:
        assert channel.send(arrivals[:5]) == 5
        gate.wait()
        for arrival in arrivals[5:]:
            assert channel.send([arrival]) == 1
        worker.kill()
    assert channel.depth() == 15

    def work() -> None:
        answer_all(take_at_least(channel.source(), 15))

    with worker_of(channel, work):
        for arrival in arrivals:
            assert clients.answer(arrival) == answer_of(arrival)


def test_the_queue_of_a_stopped_worker_is_taken_back_and_answered_by_another(
    transport: type[Transport], channel: Channel, clients: Clients, gate: Gate
) -> None:
    arrivals = clients.arrive(20)
    other = transport.channel(CAPACITY)

    def work_and_stop() -> None:
        channel.source()
        gate.open()
        os.kill(os.getpid(), signal.SIGSTOP)

    def work() -> None:
        answer_all(take_at_least(other.source(), 20))

    with worker_of(channel, work_and_stop, gate) as stopped:
        gate.wait()
        os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
        assert channel.send(arrivals[:7]) == 7
        assert channel.send(arrivals[7:]) == 13
        reclaimed = channel.reclaim()
        assert [fields for _, fields in reclaimed] == [fields for _, fields in arrivals]
        assert channel.depth() == 0
        for fd, _ in reclaimed:
            assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        with worker_of(other, work):
            assert other.send(reclaimed) == 20
            for arrival in arrivals:
                assert clients.answer(arrival) == answer_of(arrival)
        stopped.kill()
    other.close()


def test_there_is_nothing_to_take_back_from_an_empty_channel(channel: Channel) -> None:
    assert channel.reclaim() == []


def test_an_empty_batch_is_sent(channel: Channel) -> None:
    assert channel.send([]) == 0
    assert channel.depth() == 0


@pytest.mark.parametrize("capacity", [1, 64, 512])
def test_a_channel_holds_its_capacity_one_by_one(transport: type[Transport], clients: Clients, capacity: int) -> None:
    (only,) = clients.arrive(1)
    channel = transport.channel(capacity)
    for number in range(capacity):
        assert channel.send(copies(only, 1)) == 1, f"full at {number} of {capacity}"
    assert channel.depth() == capacity
    channel.close()
    os.close(only[0])


def test_a_full_channel_passes_on_the_front_of_a_batch_and_leaves_the_rest_to_the_caller(
    transport: type[Transport], clients: Clients
) -> None:
    (only,) = clients.arrive(1)
    channel = transport.channel(16)
    sent = 0
    while True:
        batch = copies(only, 100)
        passed = channel.send(batch)
        sent += passed
        if passed < 100:
            break
        assert sent < 10_000, "it is never full"
    close_all(batch[passed:])  # OSError when the channel has closed what it did not pass on
    assert sent >= 16
    assert channel.depth() == sent
    reclaimed = channel.reclaim()
    assert [fields[1] for _, fields in reclaimed] == [number % 100 for number in range(sent)]
    close_all(reclaimed)
    assert channel.send(copies(only, 1)) == 1, "it is empty, and takes nothing"
    channel.close()
    os.close(only[0])


def test_close_ends_the_connections_that_lie_in_the_channel(transport: type[Transport], clients: Clients) -> None:
    arrivals = clients.arrive(3)
    channel = transport.channel(CAPACITY)
    assert channel.send(arrivals) == 3
    channel.close()
    for arrival in arrivals:
        assert clients.answer(arrival) == b""


def test_at_the_limit_of_descriptors_no_record_goes_with_anothers_connection(
    channel: Channel, clients: Clients, gate: Gate
) -> None:
    first, later = clients.arrive(8), clients.arrive(5)

    def work() -> None:
        source = channel.source()
        before = open_fds()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = [number for number in range(len(before) + 4) if number not in before]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[3], limits[1]))
        taken = source.take()
        assert len(taken) <= 3
        answer_all(taken)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        gate.open()
        wanted = {fields for _, fields in later}
        while wanted:
            taken = take_at_least(source, 1)
            wanted -= {fields for _, fields in taken}
            answer_all(taken)
        assert open_fds() == before

    assert channel.send(first) == 8
    with worker_of(channel, work, gate):
        gate.wait()
        assert channel.send(later) == 5
        for arrival in later:
            assert clients.answer(arrival) == answer_of(arrival)
    channel.close()
    for arrival in first:
        assert clients.answer(arrival) in (b"", answer_of(arrival))
