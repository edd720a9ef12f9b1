# The inside of a worker without its loop: a test says what time it is, who has sent something, and looks at what
# came out.
"""A worker taken apart, and clients at the other end of its connections."""

import os
import select
import socket
from pathlib import Path
from time import monotonic_ns

from tests.static.conftest import later
from tests.worker.guards import guards, send_home
from wsrv.engine.cache.policy import Policy
from wsrv.engine.log.format import Combined, Format
from wsrv.engine.settings import UNIX, CacheSettings, HostSettings, LimitSettings, SiteSettings, StatusSettings
from wsrv.engine.shm.clients import ClientTables
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import OPENED, STATUS_INDEX, Ledger
from wsrv.engine.static.hosts import Hosts
from wsrv.engine.static.recoding import Bounds
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker.answering import Answering
from wsrv.engine.worker.clock import SECOND_NS, Clock
from wsrv.engine.worker.connection import IDLE, WAIT, WRITE, Connection, Connections, Timeouts
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.doorman import Doorman
from wsrv.engine.worker.gate import Gate
from wsrv.engine.worker.guide import Guide
from wsrv.engine.worker.hot import HotPath
from wsrv.engine.worker.inside import Inside
from wsrv.engine.worker.intake import Intake, bounds_of
from wsrv.engine.worker.limited import kinds
from wsrv.engine.worker.pool import FilePool
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.sharedshelf import SharedMemory, SharedShelf
from wsrv.engine.worker.turns import Turns
from wsrv.plugins.policies.lru import Lru

TIMEOUT_SECONDS = 30.0
BOUND_SECONDS = 20.0
_READ_BYTES = 1 << 20


def statuses(answers: bytes) -> list[int]:
    """The statuses of answers in a row."""
    return [int(piece[:3]) for piece in answers.split(b"HTTP/1.1 ")[1:]]


class Client:
    """The far end of a connection. What it wants is sent at once and read without waiting."""

    def __init__(self, ours: socket.socket, conn: Connection) -> None:
        self.socket = ours
        self.conn = conn

    def send(self, text: bytes) -> "Client":
        """Send all of `text`; itself, for a call in a row."""
        self.socket.sendall(text)
        return self

    def received(self) -> bytes:
        """All that has come, without waiting. Raises ConnectionResetError."""
        parts = []
        while True:
            try:
                part = self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)

    def is_over(self) -> bool:
        """Whether the server sends no more, now that everything was received."""
        try:
            return not self.socket.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def close(self) -> None:
        self.socket.close()


class Workbench:
    """Everything of a worker that serves `root`, but its loop. `now_ns` is what a round would read off the clock."""

    def __init__(
        self,
        root: Path,
        *,
        cache: CacheSettings | None = None,
        limits: LimitSettings | None = None,
        threads: int = 1,
        places: int = 4,
        site: SiteSettings | None = None,
        hosts: tuple[HostSettings, ...] = (),
        shared: SharedMemory | None = None,
        number: int = 0,
        log_format: Format | None = None,
        policy: type[Policy] = Lru,
    ) -> None:
        cache = cache or CacheSettings()
        limits = limits or LimitSettings()
        log_format = log_format or Combined()
        site = site or SiteSettings(root=root, pages=root / "no-pages")
        self.now_ns = monotonic_ns()
        self.mapping = Mapping(0, CELL_BYTES, 1)
        self.row = self.mapping.rows[0]
        self.ledger = Ledger(self.row, self.mapping.asleep, self.mapping.bell)
        self.clock = Clock(log_format)
        self.hosts = Hosts(site, hosts, cache, clock=later)
        self.site = self.hosts.default.site
        self.doorman = Doorman(self.hosts.password_files())
        self.policy = policy(cache.capacity_bytes)
        shelf_parts = (cache, self.policy, self.hosts, self.clock, log_format, bounds_of(limits))
        if shared is None:
            self.shelf = Shelf(*shelf_parts)
        else:
            self.shelf = SharedShelf(*shelf_parts, shared, number, self.ledger)
        # As in the loop: with a gate where one is needed.
        self.gate: Gate | None = None
        make_connections, make_guide, make_hot = Connections, Guide, HotPath
        if limits.bounds_guests:
            table = ClientTables(1).of(0)
            self.gate, make_connections, make_guide, make_hot = kinds(limits, table, self.ledger)
        self.connections = make_connections(self.ledger, Timeouts.of(limits))
        self.locks = guards(places)
        self.pool = FilePool(threads, self.locks)
        self.connections.epoll.register(self.pool.fileno(), select.EPOLLIN)
        self.delivery = Delivery(self.connections, self.clock, self.ledger, log_format)
        self.line, self.line_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.setblocking(False)
        status = StatusSettings(allow=("127.0.0.0/8", UNIX), probes=(UNIX,))
        inside = Inside(status, self.line, self.connections, self.delivery, self.shelf)
        bounds = Bounds(compressed=cache.capacity_bytes, decoded=cache.max_object_bytes)
        answering = Answering(self.connections, self.delivery, self.shelf, self.pool, self.ledger, self.clock, bounds)
        self.patience = answering.patience
        self.open_files = answering.open_files
        guide = make_guide(answering, self.delivery, self.shelf, inside, self.doorman)
        self.intake = Intake(limits, self.connections, self.delivery, self.shelf, answering, guide, inside, self.ledger)
        ways = (self.intake.feed, self.delivery.stall, log_format.weave)
        self.hot = make_hot(self.connections, self.shelf, self.clock, self.ledger, *ways)
        self.turns = Turns(self.connections, self.intake.writable)
        self._clients: list[Client] = []
        self.advance(0)

    # Clients.

    def client(self, near: socket.socket | None = None, far: socket.socket | None = None) -> Client:
        """A client that has connected: over a pair of Unix sockets, or over the two ends of another kind."""
        if near is None or far is None:
            near, far = socket.socketpair()
        near.setblocking(False)
        self.ledger.counts[OPENED] += 1
        client = Client(far, Connection(near.detach(), b"127.0.0.1 - - [", self.now_ns))
        if self.gate is not None:
            self.gate.enter(client.conn.fd, socket.AF_INET, b"\x7f\0\0\1" + bytes(12), relayed=False)
        self._clients.append(client)
        return client

    def tcp_client(self) -> Client:
        """A client that has connected over TCP."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname())
            near, _ = listener.accept()
        return self.client(near, far)

    def ask(self, client: Client, text: bytes) -> bytes:
        """What `client` has received one round after it sent `text`."""
        client.send(text)
        self.arrive(client)
        return client.received()

    def answers(self, client: Client, text: bytes) -> bytes:
        """All that `client` receives when it sends `text`, the pool's part included."""
        client.send(text)
        self.arrive(client)
        return self.hear_all(client)

    def warm(self, request: bytes) -> bytes:
        """Let the hot path know the answer to `request` from now on; that answer."""
        client = self.client()
        answer = self.ask(client, request)
        client.close()
        self.arrive(client)
        return answer

    # Rounds.

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += int(seconds * SECOND_NS)
        self.clock.turn(self.now_ns)

    def catch_up(self) -> None:
        """Let the time be what it is."""
        self.advance(max(0, monotonic_ns() - self.now_ns) / SECOND_NS)

    def arrive(self, *clients: Client) -> None:
        """A round of the hot path for the connections of `clients` that still stand."""
        batch = [client.conn for client in clients if client.conn.state == IDLE]
        self.hot.turn(batch, self.now_ns)

    def hear(self, wait_seconds: float = 0.0) -> int:
        """A round for whatever epoll says, as the loop makes it; how many events and turns there were."""
        events = self.connections.epoll.poll(0.0 if self.turns else wait_seconds)
        for fd, flags in events:
            conn = self.connections.table.get(fd)
            if fd == self.pool.fileno():
                for done in self.pool.take():
                    self.intake.finished(done, self.now_ns)
            elif conn is None:
                continue
            elif conn.state == IDLE:
                self.hot.turn([conn], self.now_ns)
            elif flags & select.EPOLLOUT:
                self.turns.add(conn)
            elif conn.state in (WAIT, WRITE):
                self.delivery.abandon(conn)
            else:
                self.intake.readable(conn, self.now_ns)
        in_line = len(self.turns)
        self.turns.turn(self.now_ns)
        return len(events) + in_line

    def hear_all(self, *clients: Client) -> bytes:
        """Rounds until nobody waits for the pool and epoll is silent; what `clients` have received meanwhile."""
        got = b"".join(client.received() for client in clients)
        while True:
            waits = any(client.conn.state == WAIT for client in self._clients)
            heard = self.hear(BOUND_SECONDS if waits else 0.0)
            got += b"".join(client.received() for client in clients)
            if not heard:
                assert not waits, "the pool says nothing"
                return got

    def look_at_deadlines(self) -> None:
        """The part of a tick that ends what took too long."""
        for conn in self.connections.overdue(self.now_ns):
            self.intake.overdue(conn, self.now_ns)

    # What came of it.

    def log(self) -> list[str]:
        """The lines that are visible to the log writer."""
        return self.row.text(0, self.row.covered()).decode().splitlines()

    def responses(self) -> dict[int, int]:
        """The answers by status that are visible to everybody."""
        counts = self.row.counters()
        return {status: counts[at] for status, at in STATUS_INDEX.items() if counts[at]}

    def count(self, number: int) -> int:
        """One count, as it will be published at the end of a round."""
        return self.ledger.counts[number]

    def close(self) -> None:
        send_home(self.locks)
        self.open_files.close()
        for key in list(self.shelf.store.held()):
            self.shelf.store.drop(key)
        for client in self._clients:
            client.close()
            self.connections.drop(client.conn)
        self.connections.epoll.close()
        self.line.close()
        self.line_end.close()
        os.close(self.pool.fileno())
        self.hosts.close()
        self.mapping.close()
