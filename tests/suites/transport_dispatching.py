# What master and worker rely on where the master dispatches: with real TCP connections, taken by a forked process that
# has closed everything but what the channel says a worker must keep.
"""The contract of a transport that dispatches."""

import fcntl
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

from wsrv.engine.ipc.transport import Channel
from wsrv.testing.processes import Child, Gate, open_fds
from wsrv.testing.tcp import REFUSED, Clients, answer_all, answer_of, close_all, copies, take_at_least
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


def leave_free(descriptors: int) -> Callable[[], None]:
    """Lower this process's limit so that it can open so many more; what sets it back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = open_fds()
    free = [number for number in range(len(taken) + descriptors + 1) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[descriptors], limits[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class DispatchingContract(TransportContract):
    """What a transport does that dispatches. A subclass names its class in `transport`."""

    dispatches: ClassVar[bool] = True

    @contextmanager
    def opened(self, slots: int, capacity: int) -> Iterator[list[Channel]]:
        """Channels on a listener of their own."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            channels = self.transport.open(listener, slots, capacity)
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
            poll.register(source.fileno(), select.POLLIN)
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

    def test_what_is_queued_outlives_the_worker_and_is_answered_by_its_successor(
        self, channel: Channel, clients: Clients, gate: Gate
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
        with worker_of(channel, answer_so_many(channel, 15)):
            for arrival in arrivals:
                assert clients.answer(arrival, channel) == answer_of(arrival)
        assert channel.depth() == 0

    def test_a_worker_that_closes_its_source_is_succeeded_while_it_lives(
        self, channel: Channel, clients: Clients, gate: Gate
    ) -> None:
        arrivals = clients.arrive(20)

        def leave() -> None:
            source = channel.source()
            taken = take_at_least(source, 5)
            source.close()
            gate.open()
            signal.pause()
            answer_all(taken)

        assert channel.send(arrivals[:5]) == 5
        with Child(leave, [*channel.kept_fds(), gate.fd]) as leaver:
            gate.wait()
            assert channel.send(arrivals[5:]) == 15
            channel.vacated()
            assert channel.depth() == 15
            with worker_of(channel, answer_so_many(channel, 15)):
                for arrival in arrivals[5:]:
                    assert clients.answer(arrival, channel) == answer_of(arrival)
            assert channel.settle() == []
            leaver.kill()
        for arrival in arrivals[:5]:
            assert clients.answer(arrival) == b""

    def test_what_a_dead_worker_had_taken_has_an_end(self, channel: Channel, clients: Clients, gate: Gate) -> None:
        arrivals = clients.arrive(5)

        def work() -> None:
            take_at_least(channel.source(), 5)
            gate.open()
            signal.pause()

        with worker_of(channel, work, gate) as worker:
            assert channel.send(arrivals) == 5
            gate.wait()
            worker.kill()
        assert channel.depth() == 0
        assert channel.settle() == []
        for arrival in arrivals:
            assert clients.answer(arrival) == b""

    def test_the_queue_of_a_stopped_worker_is_taken_back_and_answered_by_another(
        self, channels: list[Channel], clients: Clients, gate: Gate
    ) -> None:
        arrivals, later = clients.arrive(100), clients.arrive(3)
        channel, other = channels

        def work_and_stop() -> None:
            source = channel.source()
            gate.open()
            os.kill(os.getpid(), signal.SIGSTOP)
            answer_all(take_at_least(source, 3))

        with worker_of(channel, work_and_stop, gate) as stopped, worker_of(other, answer_so_many(other, 100)):
            gate.wait()
            stopped.wait_stopped()
            for start in (0, 7, 20):
                part = arrivals[start : {0: 7, 7: 20, 20: 100}[start]]
                assert channel.send(part) == len(part)
            reclaimed = []
            while back := channel.reclaim():
                reclaimed += back
                for fd, _ in back:
                    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
                assert other.send(back) == len(back)
            assert [fields for _, fields in reclaimed] == [fields for _, fields in arrivals]
            assert channel.depth() == 0
            for arrival in arrivals:
                assert clients.answer(arrival, other) == answer_of(arrival)
            # It goes on: it has what was sent since, and nothing else.
            assert channel.send(later) == 3
            stopped.go_on()
            for arrival in later:
                assert clients.answer(arrival, channel) == answer_of(arrival)
        assert [channel.depth() for channel in channels] == [0, 0]

    def test_after_a_reclaim_there_is_room_again(self, nothing_left_behind: None, clients: Clients) -> None:
        (only,) = clients.arrive(1)
        with self.opened(1, 16) as (channel,):
            for _ in range(3):
                assert channel.send(copies(only, 16)) == 16
                while back := channel.reclaim():
                    close_all(back)
        os.close(only[0])

    def test_there_is_nothing_to_take_back_from_an_empty_channel(self, channel: Channel) -> None:
        assert channel.reclaim() == []
        assert channel.settle() == []

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

    def test_a_full_channel_passes_on_the_front_of_a_batch_and_leaves_the_rest_to_the_caller(
        self, nothing_left_behind: None, clients: Clients
    ) -> None:
        (only,) = clients.arrive(1)
        with self.opened(1, 16) as (channel,):
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
            reclaimed = []
            while back := channel.reclaim():
                reclaimed += back
            assert [fields[1] for _, fields in reclaimed] == [number % 100 for number in range(sent)]
            close_all(reclaimed)
            assert channel.send(copies(only, 1)) == 1, "it is empty, and takes nothing"
        os.close(only[0])

    def test_close_ends_the_connections_that_lie_in_the_channel(
        self, nothing_left_behind: None, clients: Clients
    ) -> None:
        arrivals = clients.arrive(3)
        with self.opened(1, CAPACITY) as (channel,):
            assert channel.send(arrivals) == 3
        for arrival in arrivals:
            assert clients.answer(arrival) == b""

    def test_at_the_limit_of_descriptors_each_is_answered_or_refused_or_counted_as_lost(
        self, channel: Channel, clients: Clients, gate: Gate
    ) -> None:
        first, later = clients.arrive(8), clients.arrive(5)
        pipe, report = os.pipe()

        def work() -> None:
            source = channel.source()
            before = open_fds()
            restore = leave_free(3)
            taken = source.take()
            assert len(taken) <= 3
            answer_all(taken)
            restore()
            gate.open()
            wanted = {fields for _, fields in later}
            while wanted:
                taken = take_at_least(source, 1)
                wanted -= {fields for _, fields in taken}
                answer_all(taken)
            assert open_fds() == before
            os.write(report, bytes([source.lost]))

        assert channel.send(first) == 8
        with Child(work, [*channel.kept_fds(), gate.fd, report]):
            gate.wait()
            assert channel.send(later) == 5
            for arrival in later:
                assert clients.answer(arrival, channel) == answer_of(arrival)
        channel.vacated()
        answers = [clients.answer(arrival, channel) for arrival in first]
        assert all(answer in (b"", REFUSED, answer_of(arrival)) for answer, arrival in zip(answers, first, strict=True))
        assert os.read(pipe, 1) == bytes([answers.count(b"")])
        assert channel.depth() == 0
        for fd in (pipe, report):
            os.close(fd)
