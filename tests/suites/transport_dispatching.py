# What the master relies on when a worker does not take: it is gone, goes, stands still, or has no descriptors left.
"""The contract of a transport that dispatches."""

import fcntl
import os
import signal

from wsrv.engine.ipc.transport import Channel
from wsrv.testing.processes import Child, Gate, leave_free, open_fds
from wsrv.testing.tcp import REFUSED, Clients, answer_all, answer_of, close_all, copies, take_at_least
from wsrv.testing.transport_channel import ChannelContract, answer_so_many, worker_of


class DispatchingContract(ChannelContract):
    """What a transport does that dispatches. A subclass names its class in `transport`."""

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
