# What only this transport promises; the rest is in tests/contracts.
"""Socketpair: how much a message holds, what is lost at limits and what counts as full."""

import errno
import os
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.refusing import refusing
from wsrv.engine.ipc.record import Arrival
from wsrv.plugins.transports.socketpair import MESSAGE_RECORDS, Socketpair, SocketpairChannel, SocketpairSource
from wsrv.testing.processes import Child, open_fds, wait_readable
from wsrv.testing.tcp import Clients, answer_all, answer_of, close_all, copies

NOBODY = 65534
CAP_NET_ADMIN = 12


@pytest.fixture
def channel(nothing_left_behind: None) -> Iterator[SocketpairChannel]:
    made = SocketpairChannel(1024)
    yield made
    made.close()


def refuse_sendmsg(channel: SocketpairChannel, monkeypatch: pytest.MonkeyPatch, code: int, after: int) -> None:
    """Let so many messages pass, and then fail with this errno."""
    sendmsg, passed = channel._sendmsg, 0

    def refusing(buffers: tuple[bytes], ancillary: tuple[tuple[int, int, object]]) -> int:
        nonlocal passed
        if passed == after:
            raise OSError(code, os.strerror(code))
        passed += 1
        return sendmsg(buffers, ancillary)  # type: ignore[arg-type]  # an array is a buffer

    monkeypatch.setattr(channel, "_sendmsg", refusing)


def be_nobody() -> None:
    """Become a user without rights, unless this is one."""
    if os.geteuid() == 0:
        os.setresuid(NOBODY, NOBODY, NOBODY)


def may_administer_the_network() -> bool:
    """Whether this process has CAP_NET_ADMIN."""
    status = Path("/proc/self/status").read_text()
    (effective,) = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")]
    return bool(int(effective, 16) & (1 << CAP_NET_ADMIN))


def wmem_max() -> int:
    """The largest SO_SNDBUF that anybody may ask for; what is in force then is twice that."""
    return int(Path("/proc/sys/net/core/wmem_max").read_text())


def room_of(channel: SocketpairChannel) -> int:
    """What may be charged to the sender, in bytes."""
    return channel._sender.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_one_take_returns_one_message_and_no_more_than_its_bound(channel: SocketpairChannel, only: Arrival) -> None:
    source = channel.source()
    assert channel.send(copies(only, 150)) == 150
    sizes = []
    while taken := source.take():
        sizes.append(len(taken))
        close_all(taken)
    assert sizes == [MESSAGE_RECORDS, MESSAGE_RECORDS, 150 - 2 * MESSAGE_RECORDS]


def test_at_the_limit_the_first_of_a_message_come_and_the_others_are_counted_as_lost(
    channel: SocketpairChannel, clients: Clients
) -> None:
    arrivals = clients.arrive(8)

    def work() -> None:
        source = SocketpairSource(channel._receiver)
        before = open_fds()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = [number for number in range(len(before) + 4) if number not in before]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[3], hard))
        taken = source.take()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [fields for _, fields in taken] == [fields for _, fields in arrivals[:3]]
        assert source.lost == 5
        answer_all(taken)

    assert channel.send(arrivals) == 8
    with Child(work, channel.kept_fds()):
        answers = [clients.answer(arrival) for arrival in arrivals]
    assert answers == [*map(answer_of, arrivals[:3]), b"", b"", b"", b"", b""]


def test_a_message_of_which_nothing_could_be_had_is_an_empty_take(channel: SocketpairChannel, only: Arrival) -> None:
    def work() -> None:
        source = SocketpairSource(channel._receiver)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        assert source.take() == []
        assert source.lost == 4
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert len(source.take()) == 2
        assert source.lost == 4

    assert channel.send(copies(only, 4)) == 4
    assert channel.send(copies(only, 2)) == 2
    with Child(work, channel.kept_fds()):
        pass


def test_what_is_lost_while_the_master_reclaims_is_counted_too(channel: SocketpairChannel, only: Arrival) -> None:
    assert channel.send(copies(only, 4)) == 4
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        assert channel.reclaim() == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert channel.lost == 4


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS])
def test_a_kernel_that_takes_no_more_makes_the_channel_full(
    channel: SocketpairChannel, only: Arrival, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    refuse_sendmsg(channel, monkeypatch, code, after=1)
    batch = copies(only, 100)
    assert channel.send(batch) == MESSAGE_RECORDS
    close_all(batch[MESSAGE_RECORDS:])
    assert channel.depth() == MESSAGE_RECORDS


def test_too_many_descriptors_in_flight_make_the_channel_full(only: Arrival) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        be_nobody()
        channel = SocketpairChannel(1024)
        sent = 0
        while channel.send(copies(only, 1)):
            sent += 1
        assert 0 < sent <= 45
        assert channel.depth() == sent

    with Child(work, [only[0]]):
        pass


def test_a_descriptor_that_is_not_open_is_an_error_of_the_caller(channel: SocketpairChannel, only: Arrival) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        channel.send([(1 << 20, only[1])])


def test_the_end_of_every_sender_is_an_empty_take(channel: SocketpairChannel) -> None:
    def work() -> None:
        source = channel.source()
        wait_readable(*source.fds())
        assert source.take() == []

    with Child(work, channel.kept_fds()):
        channel._sender.close()


def test_without_rights_a_channel_has_the_most_room_that_may_be_had(only: Arrival) -> None:
    def work() -> None:
        be_nobody()
        assert room_of(SocketpairChannel(1 << 20)) == 2 * wmem_max()

    with Child(work):
        pass


def test_with_rights_a_channel_has_all_the_room_it_needs() -> None:
    channel = SocketpairChannel(wmem_max() // 256)
    room = room_of(channel)
    channel.close()
    assert room > 2 * wmem_max() if may_administer_the_network() else room == 2 * wmem_max()


def test_a_kernel_without_such_pairs_makes_socketpair_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socketpair", refusing(errno.EPROTONOSUPPORT))
    reason = Socketpair.available()
    assert reason is not None
    assert "Protocol not supported" in reason
    assert "--ipc" in reason


def test_a_message_is_the_records_joined(channel: SocketpairChannel, only: Arrival) -> None:
    batch = copies(only, 3)
    assert channel.send(batch) == 3
    data, ancillary, _, _ = channel._receiver.recvmsg(4096, 4096)
    assert data == b"".join(struct.pack("=QIHBB16s", *fields) for _, fields in batch)
    ((level, kind, packed),) = ancillary
    assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
    for (fd,) in struct.iter_unpack("i", packed):
        os.close(fd)
