# Streams of no file: what is looked at is what the kernel is told of real connections.
"""More of a long answer may wait in the kernel for who reads it fast."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from wsrv.engine.http.ranges import Span
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.connection import CLOSED, WRITE, Connection
from wsrv.engine.worker.fastreaders import UNSENT_BYTES, FastReaders
from wsrv.engine.worker.request import Stream

MIB = 1024 * 1024
LOWAT = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


class Peer:
    """A client, and the connection of the worker with it."""

    def __init__(self, stack: ExitStack) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = stack.enter_context(socket.create_connection(listener.getsockname()))
            self.sock = stack.enter_context(listener.accept()[0])
        self.sock.setsockopt(*LOWAT, UNSENT_BYTES)
        self.conn = Connection(self.sock.fileno(), b"", 0)

    @property
    def bound_bytes(self) -> int:
        return self.sock.getsockopt(*LOWAT)


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    with ExitStack() as stack:
        yield [Peer(stack) for _ in range(3)]


def stream(sent_bytes: int, left_bytes: int = 8 * MIB) -> Stream:
    """Whose first piece went at 0 ns."""
    made = Stream(None, 200, None, b"", (Span(0, sent_bytes + left_bytes),))  # type: ignore[arg-type]
    made.gone(0)
    made.gone(sent_bytes)
    return made


def test_the_bound_is_lifted_for_who_reads_fast_and_for_his_next_answers(peers: list[Peer]) -> None:
    readers, (peer, other, _) = FastReaders(4), peers
    assert readers.has(peer.conn, stream(MIB), SECOND_NS // 2)
    assert (peer.bound_bytes, other.bound_bytes) == (0, UNSENT_BYTES)
    assert readers.has(peer.conn, stream(1), 3 * SECOND_NS)
    assert not readers.has(other.conn, stream(1), 3 * SECOND_NS)
    assert len(readers) == 1


@pytest.mark.parametrize(
    ("sent_bytes", "left_bytes", "seconds"),
    [(MIB, 8 * MIB, 4.5), (MIB // 4, 8 * MIB, 0.001), (2 * MIB, MIB // 2, 0.001)],
    ids=["who reads slowly", "of whom little is known", "whose answer ends soon"],
)
def test_it_stays_for(peers: list[Peer], sent_bytes: int, left_bytes: int, seconds: float) -> None:
    assert not FastReaders(4).has(peers[0].conn, stream(sent_bytes, left_bytes), int(seconds * SECOND_NS))
    assert peers[0].bound_bytes == UNSENT_BYTES


def read(peer: Peer) -> Stream:
    """What `peer` reads at the moment."""
    peer.conn.dialogue().stream = made = stream(MIB)
    return made


def test_there_are_so_many_places_and_who_has_left_or_reads_nothing_has_none(peers: list[Peer]) -> None:
    readers, answers = FastReaders(2), [read(peer) for peer in peers]
    assert [readers.has(peer.conn, answer, 1) for peer, answer in zip(peers, answers, strict=True)] == [
        True,
        True,
        False,
    ]
    peers[0].conn.state = CLOSED
    assert readers.has(peers[2].conn, answers[2], 1)
    peers[1].conn.dialogue().stream = None
    peers[0].conn.state = WRITE
    assert peers[1].bound_bytes == 0
    assert readers.has(peers[0].conn, answers[0], 1)
    assert peers[1].bound_bytes == UNSENT_BYTES
    assert len(readers) == 2


def test_a_unix_socket_has_no_such_bound() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        readers = FastReaders(2)
        assert not readers.has(Connection(ours.fileno(), b"", 0), stream(MIB), 1)
        assert len(readers) == 0


def test_a_fast_one_whose_time_is_over_goes_on_while_he_takes_something(peers: list[Peer]) -> None:
    peer, readers = peers[0], FastReaders(2)
    assert readers.has(peer.conn, stream(MIB), 1)
    peer.sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            peer.sock.send(bytes(MIB))
    assert readers.has_taken(peer.conn), "he was fast a moment ago"
    assert peer.bound_bytes == UNSENT_BYTES
    assert len(readers) == 0
    taken = 0
    while taken < 2 * MIB:
        taken += len(peer.client.recv(MIB))
    assert readers.has_taken(peer.conn)
    # What is on its way may still arrive; he takes nothing any more.
    while readers.has_taken(peer.conn):
        pass


def test_of_who_was_never_fast_nothing_is_asked(peers: list[Peer]) -> None:
    peers[0].sock.sendall(b"x")
    readers = FastReaders(2)
    assert not readers.has_taken(peers[0].conn)
    assert not readers.has_taken(peers[0].conn)
