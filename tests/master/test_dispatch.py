# A real listener, real channels, no workers.
"""Accepting and passing on: fair shares, permits that add up, refusal when nobody has room, and the right peers."""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic_ns

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.master.slots import open_slots, taken
from tests.static.conftest import no_descriptor_to_be_had
from wsrv.engine.ipc.record import peer_text
from wsrv.engine.master.dispatch import Dispatcher
from wsrv.engine.master.slot import Slot
from wsrv.testing.processes import open_fds

LISTENER_NUMBER = 1


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


class Gate:
    """A listener, its dispatcher, and what was refused; clients are closed at the end."""

    def __init__(self, slots: list[Slot], undo: ExitStack, listener: socket.socket | None = None) -> None:
        self.listener = undo.enter_context(listener or socket.create_server(("127.0.0.1", 0), backlog=256))
        self.listener.setblocking(False)
        self.refused: list[str] = []
        idle = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.dispatcher = Dispatcher([idle, self.listener], slots, self._refuse)
        self._undo = undo

    def _refuse(self, fd: int, reason: str, listener: int) -> None:
        self.refused.append(reason)
        os.close(fd)

    def connect(self, count: int = 1) -> list[socket.socket]:
        """So many clients that have connected."""
        address = self.listener.getsockname()
        return [self._undo.enter_context(socket.create_connection(address[:2])) for _ in range(count)]

    def accept(self) -> int:
        """A round; how many were accepted."""
        return self.dispatcher.accept(self.listener.fileno())

    def accept_all(self) -> int:
        """Rounds until nobody waits; how many were accepted."""
        total = 0
        while accepted := self.accept():
            total += accepted
        return total


@contextmanager
def gate(*capacities: int, listener: socket.socket | None = None) -> Iterator[tuple[Gate, list[Slot]]]:
    """A gate before slots of these capacities."""
    with open_slots(*capacities) as slots, ExitStack() as undo:
        yield Gate(slots, undo, listener), slots


def test_nobody_waiting_is_no_trouble() -> None:
    with gate(4) as (master, _):
        assert master.accept() == 0


def test_a_connection_arrives_with_its_record() -> None:
    with gate(4) as (master, slots):
        (client,) = master.connect()
        before = monotonic_ns()
        assert master.accept() == 1
        ((_, record),) = taken(slots[0])
        accept_ns, _, port, listener, family, address = record
        assert before <= accept_ns <= monotonic_ns()
        assert (port, listener, family) == (client.getsockname()[1], LISTENER_NUMBER, socket.AF_INET)
        assert peer_text(family, address) == b"127.0.0.1"


def test_the_address_is_the_clients_own() -> None:
    with gate(4) as (master, slots), socket.socket() as client:
        client.bind(("127.0.0.77", 0))
        client.connect(master.listener.getsockname())
        master.accept_all()
        ((_, record),) = taken(slots[0])
        assert peer_text(*record[4:]) == b"127.0.0.77"


def test_an_ipv6_client_arrives_with_its_address() -> None:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with gate(4, listener=listener) as (master, slots):
        (client,) = master.connect()
        master.accept_all()
        ((_, record),) = taken(slots[0])
        assert peer_text(*record[4:]) == b"::1"
        assert record[2] == client.getsockname()[1]


def test_what_was_passed_on_is_non_blocking_and_close_on_exec_and_the_masters_copy_is_closed() -> None:
    with gate(4) as (master, slots):
        (client,) = master.connect()
        before = open_fds()
        master.accept_all()
        assert open_fds() == before
        ((fd, _),) = slots[0].channel.source().take()
        assert not os.get_blocking(fd)
        assert not os.get_inheritable(fd)
        os.write(fd, b"hello")
        os.close(fd)
        assert client.recv(10) == b"hello"
        assert client.recv(10) == b""


def test_one_at_a_time_everybody_has_his_turn() -> None:
    with gate(8, 8, 8) as (master, slots):
        for _ in range(9):
            master.connect()
            assert master.accept() == 1
        assert [slot.channel.depth() for slot in slots] == [3, 3, 3]


def test_a_crowd_is_shared_out_evenly() -> None:
    with gate(128, 128) as (master, slots):
        master.connect(64)
        assert master.accept_all() == 64
        assert [slot.channel.depth() for slot in slots] == [32, 32]


def test_a_few_who_come_out_of_the_blue_are_shared_out_evenly() -> None:
    with gate(128, 128, 128) as (master, slots):
        master.connect(6)
        assert master.accept() == 6
        assert [slot.channel.depth() for slot in slots] == [2, 2, 2]


def test_while_connections_come_fast_a_few_are_one_message() -> None:
    with gate(128, 128) as (master, slots):
        batch = [(os.open(os.devnull, os.O_RDONLY), (0, 0, 0, 0, int(socket.AF_INET), bytes(16))) for _ in range(20)]
        master.dispatcher.pass_on(batch, "queue_full", least=32)
        assert sorted(slot.channel.depth() or 0 for slot in slots) == [0, 20]


def test_whoever_has_less_to_do_is_given_more() -> None:
    with gate(128, 128) as (master, slots):
        master.connect(20)
        master.accept_all()
        # One of them takes its share and is done with it: its row would say so.
        slots[1].sent = 0
        for _ in range(10):
            master.connect()
            assert master.accept() == 1
        assert [slot.channel.depth() for slot in slots] == [10, 20]


def test_what_is_taken_back_no_longer_counts_as_sent() -> None:
    with gate(128, 128) as (master, slots):
        master.connect(20)
        master.accept_all()
        slots[0].stalled = True
        assert master.dispatcher.take_back(slots[0]) == 10
        assert [slot.sent for slot in slots] == [0, 20]
        assert [slot.load() for slot in slots] == [0, 20]


def test_a_round_is_bounded() -> None:
    with gate(128) as (master, slots):
        master.connect(100)
        assert master.accept() == 64
        assert slots[0].channel.depth() == 64
        assert master.accept_all() == 36


def test_when_all_are_full_the_rest_is_refused() -> None:
    with gate(5, 3) as (master, slots):
        master.connect(20)
        assert master.accept_all() == 20
        assert [slot.channel.depth() for slot in slots] == [5, 3]
        assert [slot.queue.value() for slot in slots] == [0, 0]
        assert master.refused == ["queue_full"] * 12


def test_nobody_is_refused_while_anybody_has_room() -> None:
    with gate(1, 1, 1, 200) as (master, slots):
        master.connect(64)
        assert master.accept_all() == 64
        assert master.refused == []
        assert [slot.channel.depth() for slot in slots] == [1, 1, 1, 61]


def test_a_permit_that_came_back_is_used_again() -> None:
    with gate(2) as (master, slots):
        master.connect(3)
        master.accept_all()
        slots[0].queue.release(len(taken(slots[0])))
        master.connect()
        master.accept_all()
        assert master.refused == ["queue_full"]
        assert slots[0].channel.depth() == 1


def test_a_permit_for_which_the_channel_had_no_room_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with gate(64, 64) as (master, slots):
        send = slots[0].channel.send
        monkeypatch.setattr(slots[0].channel, "send", lambda batch: send(batch[:3]))
        master.connect(20)
        master.accept_all()
        assert master.refused == []
        for slot in slots:
            assert slot.queue.value() + (slot.channel.depth() or 0) == 64


@given(
    capacities=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    crowds=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=15)
def test_permits_and_connections_add_up(capacities: list[int], crowds: list[int]) -> None:
    with gate(*capacities) as (master, slots):
        for crowd in crowds:
            master.connect(crowd)
            assert master.accept_all() == crowd
            for slot in slots:
                assert slot.queue.value() + (slot.channel.depth() or 0) == slot.capacity
        passed_on = sum(slot.channel.depth() or 0 for slot in slots)
        assert passed_on == min(sum(crowds), sum(capacities))
        assert len(master.refused) == sum(crowds) - passed_on


def test_at_the_limit_of_descriptors_the_master_is_told_and_nobody_is_lost() -> None:
    with gate(64) as (master, slots):
        clients = master.connect(5)
        with no_descriptor_to_be_had(), pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            master.accept()
        assert slots[0].queue.value() == 64
        assert master.accept_all() == 5
        assert sorted(record[2] for _, record in taken(slots[0])) == sorted(c.getsockname()[1] for c in clients)
        assert master.refused == []


def test_a_client_who_left_before_he_was_accepted_holds_nobody_up() -> None:
    with gate(8) as (master, slots):
        gone, _ = master.connect(2)
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        master.accept_all()
        assert 1 <= len(taken(slots[0])) <= 2
