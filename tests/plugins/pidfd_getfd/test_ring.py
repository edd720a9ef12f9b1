# What only this transport promises; the rest is in the contract suite. Stops and kills are in test_steps.
"""pidfd_getfd: how entries go round, what is declined, and who may not pull."""

import ctypes
import errno
import os
import signal
import socket
from collections.abc import Callable

import pytest

from tests.support.refusing import refusing
from wsrv.engine.ipc.record import Arrival
from wsrv.plugins.transports import pidfd_getfd
from wsrv.plugins.transports.pidfd_getfd import PidfdGetfd, PidfdGetfdChannel
from wsrv.testing.processes import Child, Gate, leave_free, open_fds, wait_readable
from wsrv.testing.tcp import REFUSED, Clients, answer_of, close_all, copies, refuse_all, take_at_least
from wsrv.testing.transport_channel import answer_so_many, worker_of

NOBODY = 65534
PR_SET_DUMPABLE = 4


def test_a_round_is_bounded_and_the_rest_stays_to_be_taken_back(only: Arrival) -> None:
    channel = PidfdGetfdChannel(200)
    source = channel.source()
    assert channel.send(copies(only, 150)) == 150
    taken = source.take()
    assert len(taken) == pidfd_getfd.ROUND
    wait_readable(*source.fds())
    back = channel.reclaim()
    assert [fields[1] for _, fields in back] == list(range(pidfd_getfd.ROUND, 150))
    assert source.take() == []
    close_all([*taken, *back])
    channel.close()


def test_the_ring_goes_round_and_every_entry_keeps_its_record(channel: PidfdGetfdChannel, only: Arrival) -> None:
    source = channel.source()
    number = 0
    for count in (5, 8, 3, 7, 8, 1, 8):
        batch = [(os.dup(only[0]), (number + i, *only[1][1:])) for i in range(count)]
        assert channel.send(batch) == count
        taken = source.take()
        assert [fields for _, fields in taken] == [fields for _, fields in batch]
        close_all(taken)
        assert channel.settle() == []
        number += count


def test_the_master_keeps_its_copy_until_the_worker_has_settled(channel: PidfdGetfdChannel, clients: Clients) -> None:
    (arrival,) = clients.arrive(1)
    number = arrival[0]
    assert channel.send([arrival]) == 1
    ((pulled, _),) = channel.source().take()
    os.fstat(number)
    os.close(pulled)
    assert channel.settle() == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    assert clients.answer(arrival) == b""


def test_settling_is_heard_by_its_descriptor(channel: PidfdGetfdChannel, only: Arrival) -> None:
    assert channel.send(copies(only, 2)) == 2
    close_all(channel.source().take())
    wait_readable(channel.settle_fd())
    assert channel.depth() == 0
    wait_readable(channel.settle_fd())
    assert channel.settle() == []
    with pytest.raises(BlockingIOError):
        os.eventfd_read(channel.settle_fd())


def decline_all(channel: PidfdGetfdChannel, gate: Gate) -> Callable[[], None]:
    """The work of a worker without a free descriptor."""

    def work() -> None:
        source = channel.source()
        restore = leave_free(0)
        assert source.take() == []
        restore()
        gate.open()

    return work


def test_what_a_worker_at_its_limit_declines_comes_back_open_and_its_clients_are_answered(
    channel: PidfdGetfdChannel, clients: Clients, gate: Gate
) -> None:
    arrivals = clients.arrive(4)
    assert channel.send(arrivals) == 4
    with worker_of(channel, decline_all(channel, gate), gate):
        gate.wait()
    assert channel.depth() == 4, "until settle() they are the channel's"
    back = channel.settle()
    assert back == arrivals
    assert channel.depth() == 0
    refuse_all(back)
    assert [clients.answer(arrival) for arrival in arrivals] == [REFUSED] * 4


def test_what_was_declined_takes_its_place_until_it_has_come_back(
    channel: PidfdGetfdChannel, only: Arrival, gate: Gate
) -> None:
    assert channel.send(copies(only, 8)) == 8
    with worker_of(channel, decline_all(channel, gate), gate):
        gate.wait()
    more = copies(only, 1)
    assert channel.send(more) == 0
    close_all(channel.settle())
    assert channel.send(more) == 1


def test_what_was_declined_and_never_settled_is_the_successors(
    channel: PidfdGetfdChannel, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = clients.arrive(2)
    assert channel.send(arrivals) == 2

    def work() -> None:
        leave_free(0)
        monkeypatch.setattr(os, "eventfd_write", lambda fd, count: os.kill(os.getpid(), signal.SIGKILL))
        channel.source().take()

    with worker_of(channel, work) as worker:
        worker.wait_killed()
    assert channel.depth() == 2
    with worker_of(channel, answer_so_many(channel, 2)):
        for arrival in arrivals:
            assert clients.answer(arrival, channel) == answer_of(arrival)


def test_a_declined_one_among_others_comes_back_alone(
    channel: PidfdGetfdChannel, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = clients.arrive(3)
    pull = pidfd_getfd.pull

    def refuse_the_second(pidfd: int, number: int) -> int:
        if number == arrivals[1][0]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pull(pidfd, number)

    monkeypatch.setattr(pidfd_getfd, "pull", refuse_the_second)
    assert channel.send(arrivals) == 3
    with worker_of(channel, answer_so_many(channel, 2)):
        answers = [clients.answer(arrival, channel) for arrival in arrivals]
    assert answers == [answer_of(arrivals[0]), REFUSED, answer_of(arrivals[2])]


def test_a_take_is_empty_only_when_nothing_more_has_arrived(
    few: None, channel: PidfdGetfdChannel, only: Arrival, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = copies(only, 5)
    wanted = batch[4][0]
    pull = pidfd_getfd.pull

    def refuse_the_first_four(pidfd: int, number: int) -> int:
        if number != wanted:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pull(pidfd, number)

    monkeypatch.setattr(pidfd_getfd, "pull", refuse_the_first_four)
    assert channel.send(batch) == 5
    taken = channel.source().take()
    assert [fields[1] for _, fields in taken] == [4]
    back = channel.settle()
    assert [fields[1] for _, fields in back] == [0, 1, 2, 3]
    close_all([*taken, *back])


def lose_the_right() -> None:
    """Become a process that may not pull from its parent: another user, or the child of one that is not dumpable."""
    if os.geteuid() == 0:
        os.setresuid(NOBODY, NOBODY, NOBODY)


def test_a_worker_without_the_right_declines_everything(
    channel: PidfdGetfdChannel, clients: Clients, gate: Gate
) -> None:
    arrivals = clients.arrive(3)
    libc = ctypes.CDLL(None)

    def work() -> None:
        lose_the_right()
        source = channel.source()
        with pytest.raises(PermissionError):
            pidfd_getfd.pull(channel.kept_fds()[2], arrivals[0][0])
        assert source.take() == []
        gate.open()

    assert channel.send(arrivals) == 3
    libc.prctl(PR_SET_DUMPABLE, 0)
    try:
        with worker_of(channel, work, gate):
            gate.wait()
    finally:
        libc.prctl(PR_SET_DUMPABLE, 1)
    back = channel.settle()
    assert back == arrivals
    refuse_all(back)
    assert [clients.answer(arrival) for arrival in arrivals] == [REFUSED] * 3


def test_a_worker_whose_master_is_gone_takes_nothing_and_does_not_fail(only: Arrival) -> None:
    channel = PidfdGetfdChannel(8)
    with Child(lambda: None) as gone:
        pidfd = os.pidfd_open(gone.pid)
    os.dup2(pidfd, channel.kept_fds()[2], inheritable=False)
    os.close(pidfd)
    source = channel.source()
    assert channel.send(copies(only, 2)) == 2
    with pytest.raises(ProcessLookupError):
        pidfd_getfd.pull(channel.kept_fds()[2], 0)
    assert source.take() == []
    back = channel.settle()
    assert len(back) == 2
    close_all(back)
    channel.close()


def test_a_child_that_may_pull_makes_it_available() -> None:
    assert PidfdGetfd.available() is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EPERM, "the kernel refuses that a worker pulls descriptors out of the master (EPERM)"),
        (errno.ENOSYS, "the kernel has no pidfd_getfd (Linux 5.6), or hides it"),
    ],
)
def test_a_child_that_may_not_pull_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    before = open_fds()
    monkeypatch.setattr(pidfd_getfd, "pull", refusing(code))
    reason = PidfdGetfd.available()
    assert reason is not None
    assert reason.startswith(said)
    assert reason.endswith("use --ipc socketpair")
    assert open_fds() == before


def test_a_probe_that_is_killed_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pidfd_getfd, "pull", lambda pidfd, number: os.kill(os.getpid(), signal.SIGKILL))
    assert "(EIO)" in (PidfdGetfd.available() or "")


def test_availability_can_be_asked_where_sigchld_is_ignored() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert PidfdGetfd.available() is None
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_pulled_descriptor_is_the_same_connection(channel: PidfdGetfdChannel, clients: Clients) -> None:
    (arrival,) = clients.arrive(1)
    assert channel.send([arrival]) == 1
    ((pulled, fields),) = take_at_least(channel.source(), 1)
    assert pulled != arrival[0]
    with socket.socket(fileno=pulled) as connection:
        assert connection.getpeername()[1] == fields[2]
