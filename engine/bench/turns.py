# What most of a run consists of: answers that come whole and as expected, each followed by the next request. Here
# every microsecond counts, for the client must not be what is measured: of a connection a request the kernel takes
# some 85 us of the client's CPU time, so that little is left for Python before ab and wrk are faster.
#
#   again   keep-alive: read, write
#   anew    a connection a request: read, close, socket, connect, epoll_ctl; a round later, when epoll says that the
#           connection stands, write. ab does so too. Sent at once, requests come in other bursts, and percentiles of
#           the same server differ.
#
# Rule 1: no exception, no call and no object that can be had once for all; whoever is not as expected is left over.
# Rule 2: connections of anew are watched by edges: EPOLLOUT says once that one stands, EPOLLIN that an answer has come,
#         and epoll is told nothing in between. Who reads on by pieces goes back to levels first.
"""The two paths that nearly every request takes."""

import select
from abc import ABC, abstractmethod
from collections import deque
from time import monotonic_ns

from wsrv.engine.bench.answers import Reader, Shapes
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.tally import Tally
from wsrv.engine.bench.wire import kind_of, wire_of

EVENTS = 256
# What one read asks for: to ask for much costs, in fresh pages, even where little comes. It grows with the answers.
_READ_BYTES = 16 * 1024
HEAD_END = b"\r\n\r\n"
EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
_STANDS, _ANSWERED = select.EPOLLOUT, select.EPOLLIN | select.EPOLLOUT
# As Unix sockets say it of a server that has closed.
_ANSWERED_LAST = _ANSWERED | select.EPOLLHUP

Events = list[tuple[int, int]]


class Client:
    """One connection, or what will be one.

    `waiting`: requests under way. They were due at `due_ns`, are timed from `began_ns` on, and the last of their bytes
    went at `sent_ns`, which is known of a connection a request only. `unsent`: what the socket has not taken yet of
    them. `reader` is there while an answer is in pieces. `retry_ns`: when to try to connect again.
    """

    __slots__ = ("began_ns", "due_ns", "fd", "reader", "retry_ns", "sent_ns", "unsent", "waiting")

    def __init__(self) -> None:
        self.fd = -1
        self.waiting = 0
        self.due_ns = 0
        self.began_ns = 0
        self.sent_ns = 0
        self.unsent = b""
        self.reader: Reader | None = None
        self.retry_ns = 0


class Turns(ABC):
    """The state of a run, and the paths that nearly every request takes through it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._epoll = select.epoll()
        self._shapes = Shapes()
        self._tally = Tally()
        self._open: dict[int, Client] = {}
        self._free: deque[Client] = deque(Client() for _ in range(plan.connections))
        self._under_way = 0
        # Of the answers since they were counted last.
        self._took_ns: list[int] = []
        self._processing_ns: list[int] = []
        self._statuses: list[int] = []
        # Requests that may still be sent.
        self._budget = 0
        self._at = 0
        self._read_bytes = _READ_BYTES
        self._picks = plan.picks
        self._requests = plan.requests
        self._wire = wire_of(plan)
        # The answer that came last, byte for byte, and its status: most are the same until the Date changes.
        self._last: tuple[bytes | None, int] = (None, 0)

    @abstractmethod
    def _take(self, client: Client, piece: bytes, now_ns: int, at_will: bool) -> None:
        """Take in what was read and is not as expected."""

    @abstractmethod
    def _fail(self, client: Client, kind: str) -> None:
        """Give up what the connection waits for, and the connection."""

    def _again(self, events: Events, until_ns: int) -> Events:
        """Take answers and send the next requests on the same connections until `until_ns`; the events left over."""
        clients, known, clock, poll = self._open, self._shapes.known, monotonic_ns, self._epoll.poll
        requests, picks, at, end = self._requests, self._picks, self._at, len(self._picks)
        read, write = self._wire.read, self._wire.write
        took, answered = self._took_ns.append, self._statuses.append
        last, status = self._last
        others: Events = []
        now_ns = received = 0
        budget = self._budget
        while events:
            for event in events:
                fd, what = event
                client = clients[fd]
                if (
                    not (what == select.EPOLLIN and client.reader is None and client.waiting and budget)
                    or client.unsent
                ):
                    others.append(event)
                    continue
                try:
                    piece = read(fd, self._read_bytes)
                except OSError:
                    others.append(event)
                    continue
                now_ns = clock()
                if piece != last:
                    shape = known.get(piece[: piece.find(HEAD_END)])
                    if shape is None or shape.length != len(piece) or shape.close or shape.status < 200:
                        self._budget, self._at = budget, at
                        self._take(client, piece, now_ns, True)
                        budget, at = self._budget, self._at
                        continue
                    last, status = piece, shape.status
                took(now_ns - client.began_ns)
                answered(status)
                received += len(piece)
                client.began_ns = now_ns
                request = requests[picks[at]]
                at = at + 1 if at + 1 < end else 0
                budget -= 1
                try:
                    gone = write(fd, request)
                except OSError:
                    gone = 0
                if gone != len(request):
                    client.unsent = request[gone:]
                    self._epoll.modify(fd, self._wire.awaits(fd))
            if others or not budget or self._free or now_ns >= until_ns:
                break
            events = poll((until_ns - now_ns) / 1e9, EVENTS)
        self._budget, self._at, self._last = budget, at, (last, status)
        self._tally.received_bytes += received
        return others

    def _anew(self, events: Events, until_ns: int) -> Events:
        """Take answers and ask again on new connections until `until_ns`; the events left over."""
        clients, known, clock, poll = self._open, self._shapes.known, monotonic_ns, self._epoll.poll
        requests, picks, at, end = self._requests, self._picks, self._at, len(self._picks)
        read, write, close, connect = self._wire.read, self._wire.write, self._wire.close, self._wire.connect
        took, processing, answered = self._took_ns.append, self._processing_ns.append, self._statuses.append
        last, status = self._last
        register = self._epoll.register
        others: Events = []
        received = made = 0
        budget = self._budget
        now_ns = clock()
        while events:
            for event in events:
                fd, what = event
                client = clients[fd]
                if what == _STANDS:
                    if client.unsent:
                        client.sent_ns = now_ns = clock()
                        try:
                            gone = write(fd, client.unsent)
                        except OSError:
                            others.append(event)
                            continue
                        client.unsent = client.unsent[gone:]
                    continue
                if (what != _ANSWERED and what != _ANSWERED_LAST) or client.unsent or not budget:
                    others.append(event)
                    continue
                try:
                    piece = read(fd, self._read_bytes)
                except OSError:
                    others.append(event)
                    continue
                now_ns = clock()
                if piece != last:
                    shape = known.get(piece[: piece.find(HEAD_END)])
                    if shape is None or shape.length != len(piece) or shape.status < 200:
                        self._budget, self._at = budget, at
                        self._take(client, piece, now_ns, True)
                        budget, at = self._budget, self._at
                        continue
                    last, status = piece, shape.status
                took(now_ns - client.began_ns)
                processing(now_ns - client.sent_ns)
                answered(status)
                received += len(piece)
                close(fd)
                client.unsent = requests[picks[at]]
                at = at + 1 if at + 1 < end else 0
                budget -= 1
                client.began_ns = clock()
                try:
                    new_fd = connect()
                except OSError as error:
                    del clients[fd]
                    client.fd = -1
                    self._fail(client, kind_of(error))
                    continue
                # The lowest that is free, so nearly always that of before.
                if new_fd != fd:
                    del clients[fd]
                    clients[new_fd] = client
                    client.fd = new_fd
                register(new_fd, EDGES)
                made += 1
            if others or not budget or self._free or now_ns >= until_ns:
                break
            events = poll((until_ns - now_ns) / 1e9, EVENTS)
        self._budget, self._at, self._last = budget, at, (last, status)
        self._tally.received_bytes += received
        self._tally.connections += made
        return others
