# Slots of every transport that dispatches, and the permits of their queues.
"""Taking back, settling and draining: nobody is forgotten, and the permits add up."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.master.slots import open_slots, taken
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.master.dispatch import Dispatcher
from wsrv.engine.master.slot import Slot
from wsrv.plugins.registry import load
from wsrv.testing.processes import leave_free, open_fds

DISPATCHING = [transport for transport in load().transports.values() if transport.DISPATCHES]
CAPACITY = 200


class Master:
    """A dispatcher before two slots, and what it has refused."""

    def __init__(self, undo: ExitStack, slots: list[Slot]) -> None:
        self.listener = undo.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
        self.listener.setblocking(False)
        self.slots = slots
        self.refused: list[str] = []
        self.dispatcher = Dispatcher([self.listener], slots, self._refuse)
        self._undo = undo

    def _refuse(self, fd: int, reason: str, listener: int) -> None:
        self.refused.append(reason)
        os.close(fd)

    def connect(self, count: int) -> None:
        """So many clients, accepted and passed on."""
        for number in range(count):
            self._undo.enter_context(socket.create_connection(self.listener.getsockname(), 10))
            if number % 50 == 49 or number == count - 1:
                while self.dispatcher.accept(self.listener.fileno()):
                    pass

    def depths(self) -> list[int | None]:
        return [slot.channel.depth() for slot in self.slots]

    def assert_permits(self) -> None:
        """Each queue has as many permits as there is room."""
        for slot in self.slots:
            assert slot.queue.value() + (slot.channel.depth() or 0) == slot.capacity


def take(slot: Slot, count: int) -> list[Arrival]:
    """What a worker does that takes at least so many: the permits go back."""
    found: list[Arrival] = []
    source = slot.channel.source()
    while len(found) < count:
        found += source.take()
    slot.queue.release(len(found))
    for fd, _ in found:
        os.close(fd)
    return found


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


@pytest.fixture(params=DISPATCHING, ids=lambda transport: transport.NAME)
def master(request: pytest.FixtureRequest, _no_descriptor_left: None) -> Iterator[Master]:
    with ExitStack() as undo, open_slots(CAPACITY, CAPACITY) as slots, socket.create_server(("127.0.0.1", 0)) as own:
        for slot, channel in zip(slots, request.param.open([own], 2, CAPACITY), strict=True):
            slot.channel.close()
            slot.channel = channel
        yield Master(undo, slots)


def test_the_queue_of_a_slot_that_stands_still_goes_to_the_others(master: Master) -> None:
    first, _ = master.slots
    master.connect(100)
    waiting = first.channel.depth()
    assert waiting
    first.stalled = True
    assert master.dispatcher.take_back(first) == waiting
    assert master.depths() == [0, 100]
    assert master.refused == []
    master.assert_permits()


def test_what_nobody_has_room_for_is_refused_by_its_reason(master: Master) -> None:
    first, second = master.slots
    master.connect(2 * CAPACITY)
    first.stalled = True
    take(second, 50)
    assert master.dispatcher.take_back(first) == CAPACITY
    room = CAPACITY - len(master.refused)
    assert room >= 50
    assert master.refused == ["worker_stalled"] * (CAPACITY - room)
    assert master.depths() == [0, CAPACITY]
    master.assert_permits()


def test_a_slot_that_stands_still_is_passed_by_until_it_goes_on(master: Master) -> None:
    first, _ = master.slots
    first.stalled = True
    master.connect(20)
    assert master.depths() == [0, 20]
    first.stalled = False
    master.connect(20)
    assert master.depths()[0] != 0
    master.assert_permits()


def test_while_workers_drain_what_comes_back_is_refused(master: Master) -> None:
    first, _ = master.slots
    master.connect(30)
    waiting = first.channel.depth()
    first.stalled = True
    master.dispatcher.drains = True
    assert master.dispatcher.take_back(first) == waiting
    assert master.refused == ["worker_stalled"] * (waiting or 0)
    master.assert_permits()


def test_a_worker_that_takes_and_one_that_cannot_leave_the_permits_right(master: Master) -> None:
    first, _ = master.slots
    first.stalled = True
    master.connect(10)
    second = master.slots[1]
    restore = leave_free(4)
    found: list[Arrival] = []
    try:
        source = second.channel.source()
        while batch := source.take():
            found += batch
    finally:
        restore()
    assert len(found) == 4
    second.queue.release(len(found) + source.lost)
    for fd, _ in found:
        os.close(fd)
    master.dispatcher.settle(second)
    assert len(master.refused) + source.lost == 6
    assert set(master.refused) <= {"worker_declined"}
    master.assert_permits()


def test_at_the_masters_own_limit_taking_back_leaves_the_permits_right(master: Master) -> None:
    first, second = master.slots
    master.connect(100)
    waiting = first.channel.depth() or 0
    first.stalled = True
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        back = master.dispatcher.take_back(first)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert back + first.channel.lost == waiting
    assert master.depths() == [0, 100 - waiting + back]
    master.assert_permits()
    taken(second)
    second.channel.settle()


def test_a_connection_for_which_the_master_has_no_descriptor_to_spare_is_refused(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = 30
    taken_now = open_fds()
    free = [number for number in range(len(taken_now) + 2 * clients) if number not in taken_now]
    reserve = free[clients + 10]
    monkeypatch.setattr("wsrv.engine.master.dispatch.first_reserved", lambda: reserve)
    dispatcher = Dispatcher([master.listener], master.slots, master._refuse)
    with ExitStack() as undo:
        for _ in range(clients):
            undo.enter_context(socket.create_connection(master.listener.getsockname(), 10))
        assert dispatcher.accept(master.listener.fileno()) == clients
    assert sum(slot.channel.depth() or 0 for slot in master.slots) == 10
    assert master.refused == ["master_full"] * 20
    master.assert_permits()
