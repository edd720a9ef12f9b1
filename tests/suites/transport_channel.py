# A channel as a queue: with real TCP connections, taken by a forked process that has closed everything but what the
# channel says a worker must keep. What becomes of a queue whose worker dies or stops is in transport_dispatching.
"""The contract of a channel: what is sent is taken, whole and once, and it holds what it says."""

import fcntl
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

from wsrv.engine.ipc.transport import Channel
from wsrv.testing.processes import Child, Gate, open_fds
from wsrv.testing.tcp import Clients, answer_all, answer_of, close_all, copies, take_at_least
from wsrv.testing.transport import TransportContract

CAPACITY = 128


@contextmanager
def worker_of(channel: Channel, work: Callable[[], None], *gates: Gate) -> Iterator[Child]:
    """A worker of this slot, for as long as the block lasts."""
    with Child(work, [*channel.kept_fds(), *(gate.fd for gate in gates)]) as child:
        yield child
    channel.vacated()


def answer_so_many(channel: Channel, count: int) -> Callable[[], None]:
    """The work of a worker that answers so many connections, and then ends."""
    return lambda: answer_all(take_at_least(channel.source(), count))


class ChannelContract(TransportContract):
    """What the channels of a transport that dispatches do while their workers take. Test with DispatchingContract."""

    dispatches: ClassVar[bool] = True

    @contextmanager
    def opened(self, slots: int, capacity: int) -> Iterator[list[Channel]]:
        """Channels on a listener of their own."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            channels = self.transport.open([listener], slots, capacity)
            yield channels
            for channel in channels:
                channel.close()

    @pytest.fixture
    def channels(self, nothing_left_behind: None) -> Iterator[list[Channel]]:
        with self.opened(2, CAPACITY) as channels:
            yield channels

    @pytest.fixture
    def channel(self, channels: list[Channel]) -> Channel:
        return channels[0]

    @pytest.mark.parametrize("slots", [1, 3])
    def test_there_is_a_channel_for_each_slot(self, nothing_left_behind: None, slots: int) -> None:
        with self.opened(slots, CAPACITY) as channels:
            assert len(channels) == slots
            assert [(channel.depth(), channel.lost) for channel in channels] == [(0, 0)] * slots

    @pytest.mark.parametrize("batch", [1, 8, 32, 100])
    def test_every_client_is_answered_with_its_own_record(self, channel: Channel, clients: Clients, batch: int) -> None:
        arrivals = clients.arrive(100)

        def work() -> None:
            source = channel.source()
            before = open_fds()
            answer_all(take_at_least(source, 100))
            assert open_fds() == before
            assert source.lost == 0
            source.close()

        with worker_of(channel, work):
            for start in range(0, 100, batch):
                part = arrivals[start : start + batch]
                assert channel.send(part) == len(part)
            for arrival in arrivals:
                assert clients.answer(arrival, channel) == answer_of(arrival)
        assert channel.depth() == 0

    def test_what_is_sent_to_one_slot_is_not_taken_by_another(
        self, channels: list[Channel], clients: Clients, gate: Gate
    ) -> None:
        mine, other = channels
        arrivals = clients.arrive(4)

        def work() -> None:
            assert other.source().take() == []
            gate.open()

        assert mine.send(arrivals) == 4
        with worker_of(other, work, gate):
            gate.wait()
        with worker_of(mine, answer_so_many(mine, 4)):
            for arrival in arrivals:
                assert clients.answer(arrival, mine) == answer_of(arrival)

    def test_what_is_sent_in_order_is_taken_in_order(self, channel: Channel, clients: Clients) -> None:
        (only,) = clients.arrive(1)

        def work() -> None:
            taken = take_at_least(channel.source(), 90)
            assert [fields[1] for _, fields in taken] == [*range(30), *range(30), *range(30)]

        with worker_of(channel, work):
            for _ in range(3):
                assert channel.send(copies(only, 30)) == 30
        os.close(only[0])

    def test_a_source_is_readable_while_there_is_something_to_take(
        self, channel: Channel, clients: Clients, gate: Gate
    ) -> None:
        (only,) = clients.arrive(1)

        def work() -> None:
            source = channel.source()
            poll = select.poll()
            poll.register(source.fds()[0], select.POLLIN)
            assert not poll.poll(0)
            assert source.take() == []
            gate.open()
            for _ in range(2):
                close_all(take_at_least(source, 100))
                assert not poll.poll(0)
                assert source.take() == []
                gate.open()

        with worker_of(channel, work, gate):
            gate.wait()
            for _ in range(2):
                assert channel.send(copies(only, 100)) == 100
                gate.wait()
                assert channel.settle() == []
        os.close(only[0])

    def test_taken_descriptors_are_non_blocking_and_close_on_exec(self, channel: Channel, clients: Clients) -> None:
        arrivals = clients.arrive(3)

        def work() -> None:
            taken = take_at_least(channel.source(), 3)
            for fd, _ in taken:
                assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
                assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
            answer_all(taken)

        with worker_of(channel, work):
            assert channel.send(arrivals) == 3

    def test_depth_is_what_was_sent_and_not_taken(self, channel: Channel, clients: Clients, gate: Gate) -> None:
        (only,) = clients.arrive(1)
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
            assert channel.settle() == []
            assert channel.depth() == 41 - taken
            gate.open()
        channel.vacated()
        assert channel.depth() == 41 - taken
        for fd in (only[0], pipe, report):
            os.close(fd)

    def test_an_empty_batch_is_sent(self, channel: Channel) -> None:
        assert channel.send([]) == 0
        assert channel.depth() == 0

    @pytest.mark.parametrize("capacity", [1, 64, 512])
    def test_a_channel_holds_its_capacity_one_by_one(
        self, nothing_left_behind: None, clients: Clients, capacity: int
    ) -> None:
        (only,) = clients.arrive(1)
        with self.opened(1, capacity) as (channel,):
            for number in range(capacity):
                assert channel.send(copies(only, 1)) == 1, f"full at {number} of {capacity}"
            assert channel.depth() == capacity
        os.close(only[0])

    def test_a_channel_holds_its_capacity_as_soon_as_its_worker_has_taken(
        self, nothing_left_behind: None, clients: Clients, gate: Gate
    ) -> None:
        (only,) = clients.arrive(1)
        with self.opened(1, 8) as (channel,):

            def work() -> None:
                source = channel.source()
                for _ in range(20):
                    close_all(take_at_least(source, 8))
                    gate.open()

            with worker_of(channel, work, gate):
                for _ in range(20):
                    assert channel.send(copies(only, 8)) == 8
                    gate.wait()
        os.close(only[0])

    def test_close_ends_the_connections_that_lie_in_the_channel(
        self, nothing_left_behind: None, clients: Clients
    ) -> None:
        arrivals = clients.arrive(3)
        with self.opened(1, CAPACITY) as (channel,):
            assert channel.send(arrivals) == 3
        for arrival in arrivals:
            assert clients.answer(arrival) == b""
