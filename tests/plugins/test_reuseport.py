# What only this transport promises; the rest is in the contract suite.
"""Reuseport: a listener a slot, alike, and nobody else's among them."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from tests.support.refusing import refusing
from wsrv.engine.ipc.transport import Channel
from wsrv.engine.master.listen import open_listener
from wsrv.engine.master.outcome import CannotStart
from wsrv.engine.settings import ListenSettings
from wsrv.plugins.transports.reuseport import Reuseport

SLOTS = 4
OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT),
)


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def listener(request: pytest.FixtureRequest, nothing_left_behind: None) -> Iterator[socket.socket]:
    """As the engine opens it."""
    with open_listener(ListenSettings(host=request.param, port=0)) as made:
        yield made


@pytest.fixture
def channels(listener: socket.socket) -> Iterator[list[Channel]]:
    made = Reuseport.open([listener], SLOTS, 1)
    yield made
    for channel in made:
        channel.close()


def test_connections_spread_over_the_slots_and_each_is_in_one_of_them(
    listener: socket.socket, channels: list[Channel]
) -> None:
    sources = [channel.source() for channel in channels]
    address = listener.getsockname()
    host = "::1" if address[0] == "::" else address[0]
    clients = []
    for _ in range(200):
        client = socket.create_connection((host, address[1]))
        client.sendall(b"x")  # for TCP_DEFER_ACCEPT
        clients.append(client)
    # Not a set: a client of IPv4 and one of IPv6 may have the same port.
    ports = [client.getsockname()[1] for client in clients]
    taken: list[list[int]] = []
    for source in sources:
        mine: list[int] = []
        while arrivals := source.take():
            for fd, fields in arrivals:
                mine.append(fields[2])
                socket.close(fd)
        taken.append(mine)
    for client in clients:
        client.close()
    assert sorted(port for mine in taken for port in mine) == sorted(ports)
    assert min(map(len, taken)) > 10, "a hash shares them out, 50 each"


def test_every_listener_has_the_options_of_the_first(listener: socket.socket, channels: list[Channel]) -> None:
    for channel in channels:
        (fd,) = channel.kept_fds()
        with socket.socket(fileno=fd) as sibling:
            assert sibling.getsockname() == listener.getsockname()
            assert not os.get_blocking(fd)
            for level, option in OPTIONS:
                assert sibling.getsockopt(level, option) == (
                    1 if option == socket.SO_REUSEPORT else listener.getsockopt(level, option)
                )
            assert not sibling.get_inheritable()
            sibling.detach()


def test_a_second_server_is_refused(listener: socket.socket, channels: list[Channel]) -> None:
    host, port = listener.getsockname()[:2]
    with pytest.raises(CannotStart, match="in use"):
        open_listener(ListenSettings(host=host, port=port))


def test_of_a_sibling_that_cannot_listen_nothing_is_left(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 2

    def listen(self: socket.socket, backlog: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(socket.socket, "listen", listen)
    with pytest.raises(OSError, match="No buffer space"):
        Reuseport.open([listener], SLOTS, 1)


def test_a_kernel_without_the_option_makes_it_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Reuseport.available() is None
    monkeypatch.setattr(socket.socket, "setsockopt", refusing(errno.ENOPROTOOPT))
    reason = Reuseport.available()
    assert reason is not None
    assert "Protocol not available" in reason
    assert "--ipc" in reason
