# What is relied on where the master does not dispatch: workers accept for themselves, on what the channel holds.
"""The contract of a transport that does not dispatch."""

import fcntl
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from wsrv.engine.ipc.record import RecordFields
from wsrv.engine.ipc.transport import Channel, ConnectionSource, succeed
from wsrv.testing.processes import BOUND_SECONDS, Child, Gate
from wsrv.testing.tcp import answer_all
from wsrv.testing.transport import TransportContract

Address = tuple[str, int]
SLOTS = 3


def until(source: ConnectionSource, gate: Gate, work: Callable[[ConnectionSource], None]) -> None:
    """Do `work` whenever the source is readable, as a worker's loop does, until the gate is open."""
    with select.epoll() as epoll:
        for fd in source.fds():
            epoll.register(fd, source.events)
        epoll.register(gate.fd, select.EPOLLIN)
        while True:
            ready = {fd for fd, _ in epoll.poll(BOUND_SECONDS)}
            assert ready, "nothing came"
            if not ready.isdisjoint(source.fds()):
                work(source)
            elif gate.fd in ready:
                gate.wait()
                return


def answer_until(channel: Channel, gate: Gate) -> Callable[[], None]:
    """The work of a worker that answers whatever comes, each with its record, until the gate is open."""
    return lambda: until(channel.source(), gate, lambda source: answer_all(source.take()))


def connect(address: Address) -> socket.socket:
    return socket.create_connection(address, timeout=BOUND_SECONDS)


def answered(client: socket.socket) -> bytes:
    """All that the client receives until the end; it is closed then."""
    received = b""
    with client:
        while chunk := client.recv(4096):
            received += chunk
    return received


def record_of(client: socket.socket) -> RecordFields:
    """The record that the client is answered with: the repr of a tuple of numbers and bytes, from our own child."""
    record: RecordFields = eval(answered(client))
    return record


def assert_own(client: socket.socket, address: Address) -> None:
    """The answer is the record of this very client."""
    host, port = client.getsockname()
    record = record_of(client)
    assert record[2:] == (port, 0, int(socket.AF_INET), socket.inet_aton(host) + bytes(12)), address


class AcceptingContract(TransportContract):
    """What a transport does that does not dispatch. A subclass names its class in `transport`."""

    dispatches: ClassVar[bool] = False

    @pytest.fixture
    def listener(self, nothing_left_behind: None) -> Iterator[socket.socket]:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            listener.setblocking(False)
            yield listener

    @pytest.fixture
    def channels(self, listener: socket.socket) -> Iterator[list[Channel]]:
        channels = self.transport.open([listener], SLOTS, 1)
        yield channels
        for channel in channels:
            channel.close()

    @pytest.fixture
    def address(self, listener: socket.socket, channels: list[Channel]) -> Address:
        address: Address = listener.getsockname()
        return address

    @contextmanager
    def workers(self, channels: list[Channel], gate: Gate) -> Iterator[list[Child]]:
        """A worker in each slot, answering, for as long as the block lasts."""
        with ExitStack() as stack:
            children = [
                stack.enter_context(Child(answer_until(channel, gate), [*channel.kept_fds(), gate.fd]))
                for channel in channels
            ]
            yield children
            for _ in children:
                gate.open()

    def test_connections_to_the_listener_are_taken_by_the_workers_with_their_own_records(
        self, channels: list[Channel], address: Address, gate: Gate
    ) -> None:
        with self.workers(channels, gate):
            for _ in range(10):
                for client in [connect(address) for _ in range(10)]:
                    assert_own(client, address)

    def test_taken_descriptors_are_non_blocking_and_close_on_exec(
        self, channels: list[Channel], address: Address, gate: Gate
    ) -> None:
        def look(source: ConnectionSource) -> None:
            for fd, _ in source.take():
                flags = fcntl.fcntl(fd, fcntl.F_GETFL), fcntl.fcntl(fd, fcntl.F_GETFD)
                os.write(fd, b"%d %d" % (bool(flags[0] & os.O_NONBLOCK), bool(flags[1] & fcntl.FD_CLOEXEC)))
                os.close(fd)

        first, *others = channels
        for channel in others:
            channel.close()
        with Child(lambda: until(first.source(), gate, look), [*first.kept_fds(), gate.fd]):
            assert [answered(connect(address)) for _ in range(3)] == [b"1 1"] * 3
            gate.open()

    @pytest.mark.parametrize("slots", [1, SLOTS, SLOTS + 2])
    def test_connections_that_wait_in_the_kernel_are_for_the_workers_of_the_channels_that_follow(
        self, channels: list[Channel], listener: socket.socket, address: Address, gate: Gate, slots: int
    ) -> None:
        waiting = [connect(address) for _ in range(30)]
        following = succeed(self.transport, channels, [listener], slots, 1)
        try:
            for channel in channels:
                channel.close()
            channels.clear()
            with self.workers(following, gate):
                for client in [*waiting, *(connect(address) for _ in range(10))]:
                    assert_own(client, address)
        finally:
            for channel in following:
                channel.close()

    def test_connections_that_wait_in_the_kernel_survive_the_death_of_every_worker(
        self, channels: list[Channel], address: Address, gate: Gate
    ) -> None:
        def stand_still(channel: Channel) -> Callable[[], None]:
            def work() -> None:
                channel.source()
                gate.open()
                signal.pause()

            return work

        with ExitStack() as stack:
            children = [
                stack.enter_context(Child(stand_still(channel), [*channel.kept_fds(), gate.fd])) for channel in channels
            ]
            for _ in children:
                gate.wait()
            waiting = [connect(address) for _ in range(30)]
            for child in children:
                child.kill()
        for channel in channels:
            channel.vacated()
        with self.workers(channels, gate):
            for client in waiting:
                assert_own(client, address)

    def test_a_worker_that_closes_its_source_leaves_the_listening_to_its_successor(
        self, channels: list[Channel], address: Address, gate: Gate
    ) -> None:
        def work(channel: Channel) -> Callable[[], None]:
            return lambda: channel.source().close()

        for channel in channels:
            with Child(work(channel), channel.kept_fds()):
                pass
        client = connect(address)
        with self.workers(channels, gate):
            assert_own(client, address)

    def test_a_second_server_on_the_address_is_refused(
        self, channels: list[Channel], address: Address, gate: Gate
    ) -> None:
        with socket.socket() as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                second.bind(address)

    def test_a_closed_channel_stops_listening_and_closing_it_again_does_no_harm(
        self, listener: socket.socket, channels: list[Channel], address: Address
    ) -> None:
        for channel in channels:
            channel.close()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            connect(address)

    def test_closing_in_the_master_takes_nothing_from_workers_that_listen(
        self, listener: socket.socket, channels: list[Channel], address: Address, gate: Gate
    ) -> None:
        with self.workers(channels, gate):
            for channel in channels:
                channel.close()
            listener.close()
            for client in [connect(address) for _ in range(10)]:
                assert_own(client, address)

    def test_of_several_listeners_each_is_accepted_on_and_named_by_its_place(
        self, listener: socket.socket, gate: Gate, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "socket")
        with (
            socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
            socket.socket(socket.AF_UNIX) as unix,
            ExitStack() as undo,
        ):
            unix.bind(path)
            unix.listen(128)
            for other in (six, unix):
                other.setblocking(False)
            channels = self.transport.open([listener, six, unix], SLOTS, 1)
            for channel in channels:
                undo.callback(channel.close)
            with self.workers(channels, gate):
                for _ in range(10):
                    assert_own(connect(listener.getsockname()), listener.getsockname())
                    client = connect(six.getsockname()[:2])
                    port = client.getsockname()[1]
                    assert record_of(client)[2:] == (port, 1, int(socket.AF_INET6), bytes(15) + b"\1")
                    client = socket.socket(socket.AF_UNIX)
                    client.connect(path)
                    assert record_of(client)[2:] == (0, 2, int(socket.AF_UNIX), bytes(16))

    def test_a_worker_is_enough_for_all_that_share_a_unix_listener(self, gate: Gate, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as unix, ExitStack() as undo:
            unix.bind(path)
            unix.listen(128)
            unix.setblocking(False)
            channels = self.transport.open([unix], SLOTS, 1)
            for channel in channels:
                undo.callback(channel.close)
            last = channels[-1]
            with Child(answer_until(last, gate), [*last.kept_fds(), gate.fd]):
                for _ in range(20):
                    client = socket.socket(socket.AF_UNIX)
                    client.connect(path)
                    assert record_of(client)[4] == int(socket.AF_UNIX)
                gate.open()

    def test_nothing_is_under_way_between_master_and_worker(self, channels: list[Channel]) -> None:
        for channel in channels:
            assert channel.depth() is None
            assert channel.settle_fd() is None
            assert channel.settle() == []
            assert channel.reclaim() == []
            assert channel.lost == 0
