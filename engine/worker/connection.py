# One client's connection, and the table of those that stay open.
#
#   IDLE ──bytes──> HEAD ──whole head──> answered at once, or BODY, WAIT, WRITE
#   BODY   the request's body is read past before it is answered     reads
#   WAIT   the file pool works for it                                neither reads nor writes
#   WRITE  the client is slow to take the answer, or it is streamed  writes
#   LINGER answered and half closed; what still comes is read past   reads
#   CLOSED the descriptor is gone
#   ASIDE  as IDLE, for a connection that is none of the hot path's  reads
#   GREETING  before its first request: a PROXY header, a handshake  reads, or writes
#
# Rule 1: IDLE is falsy, and the hot path serves connections in that state only. What rests between requests is in the
#         state REST of its class; while the slow lane answers it, it is IDLE.
# Rule 2: a connection enters the table, epoll and the wheel together in hold(), and leaves them in drop().
# Rule 3: deadlines are lazy. The hot path stamps `active_ns`; the wheel looks at it when its slot comes round, so
#         each connection is visited once a timeout, however many requests it makes.
# Rule 4: a connection waits in one slot. Where a state ends sooner it moves to an earlier one, and what it leaves
#         behind in the later one is passed over.
"""Connections: their state, the table of those held open, and their deadlines."""

import os
import select
import socket
from collections import deque
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ClassVar, NamedTuple

from wsrv.engine.http.body import BodyReader
from wsrv.engine.http.bounds import MAX_HEAD_BYTES
from wsrv.engine.http.fields import Fields
from wsrv.engine.ipc.closing import half_close
from wsrv.engine.settings import LimitSettings
from wsrv.engine.shm.row import CLOSED as CLOSED_COUNT
from wsrv.engine.shm.row import Ledger
from wsrv.engine.static.rules import Redirection
from wsrv.engine.worker.request import Request, Stream

IDLE, HEAD, BODY, WAIT, WRITE, LINGER, CLOSED, ASIDE, GREETING = range(9)

READ = select.EPOLLIN
WRITABLE = select.EPOLLOUT
# Told once, and then not waited for until it is wanted again.
WRITABLE_ONCE = select.EPOLLOUT | select.EPOLLONESHOT
NOTHING = 0

# After an early answer, what the client still sends is read past for this long and this much (nginx: 5 s, 30 s in all).
LINGER_NS = 2_000_000_000
LINGER_BYTES = 64 * 1024 * 1024
# The wheel's slots are 2^28 ns, 0.27 s, wide.
_SLOT_SHIFT = 28
# In no slot: every one is earlier.
_NOWHERE = 1 << 62
_SECOND_NS = 1_000_000_000


class Timeouts(NamedTuple):
    """How long a client may take: between requests, for a whole head, for more of a body, to take more of an answer."""

    idle_ns: int
    head_ns: int
    body_ns: int
    write_ns: int

    @classmethod
    def of(cls, limits: LimitSettings) -> "Timeouts":
        """As the settings say."""
        seconds = (limits.idle_seconds, limits.head_seconds, limits.body_seconds, limits.write_seconds)
        return cls(*(int(each * _SECOND_NS) for each in seconds))


# What the kernel is given of a file in a turn, which takes it a millisecond or so.
TURN_BYTES = 8 * 1024 * 1024


class Dialogue:
    """What a connection needs beside its state from the first request on that the hot path does not answer.

    `buffer` holds bytes not yet understood, the first `scanned` of them looked at in vain for the end of a head;
    `blank`: an empty line before it was passed over, at `blank_ns`. `out` holds bytes not yet written. `began` are the
    times when the
    requests began whose answers are being written, `began_ns` that of the request being read. `queued_bytes`: see
    fastreaders.py. After the output
    `closing` says to close, `lingers` to read past what still comes; `spent_bytes` bounds that. `body_until_ns` bounds
    the reading of a body, however steadily it comes.
    """

    __slots__ = (
        "began",
        "began_ns",
        "blank",
        "blank_ns",
        "body",
        "body_until_ns",
        "buffer",
        "closing",
        "lingers",
        "out",
        "queued_bytes",
        "request",
        "scanned",
        "spent_bytes",
        "stream",
    )

    def __init__(self) -> None:
        self.buffer = b""
        self.scanned = 0
        self.blank = False
        self.blank_ns = 0
        self.began_ns = 0
        self.began: list[int] = []
        self.out: deque[bytes | memoryview] = deque()
        self.closing = False
        self.lingers = False
        self.queued_bytes = 0
        self.request: Request | None = None
        self.body: BodyReader | None = None
        self.body_until_ns = 0
        self.stream: Stream | None = None
        self.spent_bytes = 0


class Connection:
    """A client's connection. `opening` is how each of its log lines begins; `active_ns` starts its deadline.

    `slot` of the wheel, once it is held. The slow lane reads and writes through its methods, which raise OSError as the
    system calls do.
    """

    __slots__ = ("_dialogue", "active_ns", "fd", "held", "opening", "slot", "state")

    slot: int

    REST: ClassVar[int] = IDLE

    def __init__(self, fd: int, opening: bytes, now_ns: int) -> None:
        self.fd = fd
        self.opening = opening
        self.state = IDLE
        self.held = False
        self.active_ns = now_ns
        self._dialogue: Dialogue | None = None

    @property
    def turn_bytes(self) -> int:
        """How much of a stream it gets before the others have their turn."""
        return TURN_BYTES

    def dialogue(self) -> Dialogue:
        """Its dialogue, begun now if there was none."""
        if self._dialogue is None:
            self._dialogue = Dialogue()
        return self._dialogue

    def end_dialogue(self) -> Dialogue | None:
        """Forget the dialogue, if there was one; what it was."""
        ended, self._dialogue = self._dialogue, None
        return ended

    @property
    def is_secure(self) -> bool:
        """Whether nobody on the way can read what is said."""
        return False

    @property
    def secured_by(self) -> bytes:
        """The version of TLS, empty where it is plain."""
        return b""

    @property
    def ended(self) -> bool:
        """Whether the client has said that it sends no more, apart from what `read` tells."""
        return False

    def read(self) -> bytes:
        """What the client has sent; empty when it sends no more."""
        return os.read(self.fd, MAX_HEAD_BYTES)

    def write(self, parts: Sequence[bytes | memoryview]) -> int:
        """Send from the front of `parts`; how many bytes are gone."""
        return os.writev(self.fd, parts)

    def send_file(self, file: int, offset: int, count: int) -> int:
        """Send bytes of an open file; how many are gone, none at its end."""
        return os.sendfile(self.fd, file, offset, count)

    def half_close(self) -> None:
        """Send no more."""
        half_close(self.fd)

    def refuse_curtly(self) -> bool:
        """Refuse a client that would not understand an answer; False when it would."""
        return False

    def take_leave(self) -> None:
        """Say that nothing follows, before the connection is closed with all of its answers sent."""

    def moved(self, request: Request) -> Redirection | None:
        """Where the client is to ask instead; None when it may ask here."""
        return None

    def hear(self, fields: Fields) -> None:
        """Take note of what the fields of a request say of who asks."""

    def is_told(self) -> bool:
        """Whether a named proxy has said who asks."""
        return False

    def client_address(self) -> IPv4Address | IPv6Address | None:
        """The address of the client; None for a Unix socket."""
        with socket.socket(fileno=self.fd) as borrowed:
            try:
                peer = borrowed.getpeername()
            finally:
                borrowed.detach()
        return ip_address(peer[0].partition("%")[0]) if isinstance(peer, tuple) else None


class Connections:
    """The connections that stay open after their first answer, or have not asked yet."""

    def __init__(self, ledger: Ledger, timeouts: Timeouts) -> None:
        self.epoll = select.epoll()
        self.table: dict[int, Connection] = {}
        # Those that can take more of their answers, in the state WRITE: see turns.py.
        self.line: deque[Connection] = deque()
        # How many are to be answered in this round of the loop, or in this batch of it.
        self.crowd = 0
        self._ledger = ledger
        self._idle_ns = timeouts.idle_ns
        # Other states wait as long as an idle connection does.
        self._allowed_ns = {
            GREETING: timeouts.head_ns,
            HEAD: timeouts.head_ns,
            BODY: timeouts.body_ns,
            WRITE: timeouts.write_ns,
            LINGER: LINGER_NS,
        }
        self._slots: dict[int, list[Connection]] = {}
        self._next_slot = 0

    def hold(self, conn: Connection, now_ns: int, events: int = READ) -> None:
        """Keep `conn` open and wait for `events`: what it says next."""
        conn.held = True
        conn.active_ns = now_ns
        self.table[conn.fd] = conn
        self.epoll.register(conn.fd, events)
        self._expect(conn, now_ns + self._allowed_ns.get(conn.state, self._idle_ns))

    def want(self, conn: Connection, state: int, events: int, now_ns: int) -> None:
        """Put `conn` into `state`, waiting for `events`."""
        conn.state = state
        conn.active_ns = now_ns
        if not conn.held:
            self.hold(conn, now_ns, events)
            return
        self.epoll.modify(conn.fd, events)
        deadline_ns = now_ns + self._allowed_ns.get(state, self._idle_ns)
        if deadline_ns >> _SLOT_SHIFT < conn.slot:
            self._expect(conn, deadline_ns)

    def line_up(self, conn: Connection, now_ns: int) -> None:
        """Put `conn`, which can take more of its answer, into the line. epoll does not wait for it meanwhile."""
        if conn.state != WRITE:
            self.want(conn, WRITE, NOTHING, now_ns)
        conn.active_ns = now_ns
        self.line.append(conn)

    def drop(self, conn: Connection) -> None:
        """Close `conn` and forget it."""
        if conn.state == CLOSED:
            return
        dialogue = conn.end_dialogue()
        if dialogue is not None and dialogue.stream is None and not dialogue.out:
            conn.take_leave()
        if conn.held:
            del self.table[conn.fd]
        conn.state = CLOSED
        os.close(conn.fd)
        conn.fd = -1
        self._ledger.counts[CLOSED_COUNT] += 1

    def overdue(self, now_ns: int) -> list[Connection]:
        """The connections whose client has let its time go by."""
        late: list[Connection] = []
        slot = now_ns >> _SLOT_SHIFT
        while self._slots and self._next_slot < slot:
            for conn in self._slots.pop(self._next_slot, ()):
                if conn.state == CLOSED or conn.slot != self._next_slot:
                    continue
                allowed_ns = self._allowed_ns.get(conn.state, self._idle_ns)
                deadline = conn.active_ns + allowed_ns
                # A job of the pool has no client to wait for.
                if conn.state == WAIT:
                    deadline = now_ns + allowed_ns
                if deadline <= now_ns:
                    conn.slot = _NOWHERE
                    late.append(conn)
                else:
                    self._expect(conn, deadline)
            self._next_slot += 1
        self._next_slot = max(self._next_slot, slot)
        return late

    def wait_seconds(self) -> float:
        """How long the loop may sleep before a deadline could pass."""
        return (1 << _SLOT_SHIFT) / 1e9 if self._slots else 1.0

    def _expect(self, conn: Connection, deadline_ns: int) -> None:
        slot = conn.slot = max(deadline_ns >> _SLOT_SHIFT, self._next_slot)
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [conn]
        else:
            waiting.append(conn)
