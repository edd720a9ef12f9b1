# The worker: one process, one loop.
#
#   epoll ─> arrivals      the source's connections, read at once
#         ─> connections   idle ones to the hot path, the others to the slow lane
#         ─> pool          what its threads have fetched
#         ─> questions     what the master asks
#         ─> signals       SIGTERM: drain; SIGUSR2: make way for a successor
#         ─> master        its pidfd: it is gone, drain at once
#
# Rule 1: the loop itself stamps the heartbeat, once a round; a round that hangs is seen from outside.
# Rule 2: nothing in a round waits, but the one epoll at its top.
"""The event loop of a worker process."""

import contextlib
import faulthandler
import gc
import os
import select
import signal
import socket
from itertools import count
from time import monotonic_ns
from typing import TYPE_CHECKING

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.question import Message
from wsrv.engine.ipc.transport import ConnectionSource
from wsrv.engine.log.format import Format
from wsrv.engine.settings import LimitSettings, Settings
from wsrv.engine.shm.row import TROUBLE_INDEX
from wsrv.engine.static.hosts import Hosts
from wsrv.engine.static.recoding import Bounds
from wsrv.engine.static.watch import LONGEST_NS, Watches
from wsrv.engine.worker.answering import Answering
from wsrv.engine.worker.arrivals import Arrivals
from wsrv.engine.worker.change import Change
from wsrv.engine.worker.clock import Clock
from wsrv.engine.worker.connection import ASIDE, GREETING, IDLE, WAIT, WRITE, Connection, Connections, Timeouts
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.doorman import Doorman
from wsrv.engine.worker.guide import Guide
from wsrv.engine.worker.hot import HotPath
from wsrv.engine.worker.hottest import Hottest
from wsrv.engine.worker.inside import Inside
from wsrv.engine.worker.inspection import Inspection
from wsrv.engine.worker.intake import Intake, bounds_of
from wsrv.engine.worker.loading import Loading
from wsrv.engine.worker.pages import Paged
from wsrv.engine.worker.patience import LOOK_SECONDS
from wsrv.engine.worker.pool import FilePool
from wsrv.engine.worker.prepared import OVERHEAD_BYTES, Shelf
from wsrv.engine.worker.questions import Handler, Questions, Steps
from wsrv.engine.worker.station import LEAVING, Station
from wsrv.engine.worker.turns import Turns
from wsrv.engine.worker.warming import Warming

if TYPE_CHECKING:
    from wsrv.engine.worker.gate import Gate
    from wsrv.engine.worker.reception import Reception

# Connections answered in one round. Records of a round become visible together, so this also bounds how long the
# first of them waits for its answer.
_ROUND = 64
# How long a drain waits for a request of a connection that has just been accepted or answered: what a client sends at
# once, and once more when it was lost on the way (RFC 6298: 0.2 s and more). Precedent: Go waits 5 s for the first one.
FAREWELL_NS = 500_000_000
# How long a worker whose master is gone goes on with answers under way.
_ORPHAN_NS = 5_000_000_000
_SECOND_NS = 1_000_000_000
# How long the start may take for what the predecessor held. From memory it is a twentieth of it.
_RECALL_NS = _SECOND_NS // 2
_TICK_NS = _SECOND_NS // 4
# Who makes way waits so long for the next request of an idle client, to say with its answer that the connection ends.
_LONG_FAREWELL_NS = 5 * _SECOND_NS
# So often it still accepts for itself: its successors accept on the same listeners, and there may be no end to it.
_LAST_TAKES = 64


class Worker:
    """Answers until it is told to drain, or its master is gone."""

    def __init__(self, settings: Settings, policy: Policy, log_format: Format, station: Station) -> None:
        self._station = station
        self._ledger = ledger = station.ledger
        self._clock = Clock(log_format)
        self._hosts = Hosts(settings.site, settings.hosts, settings.cache)
        self._doorman = Doorman(self._hosts.password_files())
        gate, make_connections, make_guide, make_hot = self._kinds(settings.limits)
        self._connections = connections = make_connections(ledger, Timeouts.of(settings.limits))
        self._shelf = self._make_shelf(settings, policy, log_format)
        self._watches = self._shelf.watches = self._make_watches(settings.cache.revalidate_seconds)
        self._pool = FilePool(settings.process.threads, station.pool)
        share = self._share(settings)
        self._shelf.paged = Paged(share)
        delivery = Delivery(connections, self._clock, ledger, log_format)
        self._delivery = delivery
        inside = Inside(settings.status, station.line, connections, delivery, self._shelf)
        self._hottest = Hottest(self._shelf, station.hottest)
        bounds = Bounds(compressed=self._most_kept(settings), decoded=settings.cache.max_object_bytes)
        answering = Answering(connections, delivery, self._shelf, self._pool, ledger, self._clock, bounds)
        self._errands = answering.errands
        self._patience = answering.patience
        self._loading = Loading(self._shelf, answering.errands, self._pool, bounds, share)
        guide = make_guide(answering, delivery, self._shelf, inside, self._doorman)
        self._intake = Intake(settings.limits, connections, delivery, self._shelf, answering, guide, inside, ledger)
        ways = (self._intake.feed, delivery.stall, log_format.weave)
        self._hot = make_hot(connections, self._shelf, self._clock, ledger, *ways)
        self._turns = Turns(connections, self._intake.writable)
        self._questions = Questions(station.asked, connections.epoll, self._answerable(settings))
        self._reception = self._make_reception(settings, log_format)
        source = station.source if gate is None else self._admission(gate)
        self._arrivals = Arrivals(
            source, station.queue, connections, ledger, log_format, self._turn_away, self._reception
        )
        self._signals, self._alarm = socket.socketpair()
        for end in (self._signals, self._alarm):
            end.setblocking(False)
        self._drain_until_ns = 0
        self._dismiss_from_ns = 0
        self._wears_out_at = self._requests_allowed(settings.process.requests)
        self._listening = False
        self._sources = frozenset(station.source.fds())
        self._grace_ns = int(settings.limits.longest_seconds * _SECOND_NS)
        self._next_tick_ns = 0
        self._root_is_missing = False

    def _make_shelf(self, settings: Settings, policy: Policy, log_format: Format) -> Shelf:
        station, bounds = self._station, bounds_of(settings.limits)
        if station.shared is None:
            return Shelf(settings.cache, policy, self._hosts, self._clock, log_format, bounds)
        from wsrv.engine.worker.sharedshelf import SharedShelf

        memory = (station.shared, station.row, station.ledger)
        return SharedShelf(settings.cache, policy, self._hosts, self._clock, log_format, bounds, *memory)

    @staticmethod
    def _make_watches(revalidate_seconds: float) -> Watches | None:
        """None where they would spare no look, where each request is to have one, or where there can be none."""
        if not 0 < revalidate_seconds < LONGEST_NS / _SECOND_NS:
            return None
        with contextlib.suppress(OSError):
            return Watches()
        return None

    def _most_kept(self, settings: Settings) -> int:
        """The longest body that can be kept: to compress a longer one would be to compress it for every client."""
        if self._station.shared is not None:
            return self._station.shared.most_bytes
        return self._share(settings) - OVERHEAD_BYTES

    def _share(self, settings: Settings) -> int:
        """The bytes that this worker has for itself."""
        shared = self._station.shared
        return settings.cache.capacity_bytes // settings.process.workers if shared is None else shared.front_bytes

    def _make_reception(self, settings: Settings, log_format: Format) -> "Reception | None":
        """None where all connections are the hot path's: then nothing of it is even imported."""
        station = self._station
        if station.certificates is None and not settings.proxy.named:
            return None
        from wsrv.engine.worker.proxies import Proxies
        from wsrv.engine.worker.reception import Reception

        tls = (station.certificates, station.secure_port)
        proxies = Proxies(settings.proxy, log_format)
        reception = Reception(settings.listen, *tls, proxies, self._connections, self._intake, self._ledger)
        self._connections.epoll.register(reception.fileno(), select.EPOLLIN)
        return reception

    def _answerable(self, settings: Settings) -> dict[str, Handler]:
        """What the master can ask, and by what it is answered."""
        warming = Warming(self._hosts, self._loading, self._errands, lambda: self._questions.wake())
        change = Change(self._shelf.store, self._station.policies, self._share(settings))
        return {
            **Inspection(self._shelf, self._hottest).handlers(),
            "errors": self._delivery.mishaps.errors,
            "policy": change.policy,
            "sample": self._sample,
            "sampled": self._sample,
            "warm": warming.warm,
        }

    def _sample(self, question: Message, now_ns: int) -> Steps:
        """Of what is asked for; few servers ever take one."""
        from wsrv.engine.worker.sampling import Sampling

        sampling = Sampling(self._shelf, self._ledger.counts)
        return (sampling.sample if question["ask"] == "sample" else sampling.sampled)(question, now_ns)

    def _kinds(self, limits: LimitSettings) -> "tuple[Gate | None, type[Connections], type[Guide], type[HotPath]]":
        """The classes that a worker is made of; a gate only where something of connections or clients is bounded."""
        if self._station.clients is None:
            return None, Connections, Guide, HotPath
        from wsrv.engine.worker.limited import kinds

        return kinds(limits, self._station.clients, self._ledger)

    def _admission(self, gate: "Gate") -> ConnectionSource:
        """The source behind the gate."""
        from wsrv.engine.worker.gate import Admission

        station = self._station
        parts = (station.source, station.queue, gate, self._reception, self._ledger)
        return Admission(*parts, self._turn_away_from_gate, self._connections.drop)

    def run(self) -> None:
        """Serve. Returns when a drain is over."""
        epoll = self._connections.epoll
        self._listen(True)
        epoll.register(self._pool.fileno(), select.EPOLLIN)
        epoll.register(self._signals, select.EPOLLIN)
        epoll.register(self._station.line, select.EPOLLIN)
        self._questions.listen()
        epoll.register(self._station.master, select.EPOLLIN)
        if self._watches is not None:
            epoll.register(self._watches, select.EPOLLIN)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        # Whoever ends a worker that stands still wants to see first where.
        with contextlib.suppress(AttributeError, OSError, ValueError):  # no stderr
            faulthandler.register(signal.SIGQUIT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGUSR2})
        # What exists now lives as long as the process: the collector need not look at it again, and what a request
        # leaves behind has no cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        self._loading.recall(self._station.legacy, _RECALL_NS)
        self._tick(monotonic_ns())
        self._ledger.beat(monotonic_ns())
        os.eventfd_write(self._station.ready, 1)
        while not self._drained():
            self._round(epoll)

    def _round(self, epoll: select.epoll) -> None:
        connections = self._connections
        table = connections.table
        sleep_seconds = connections.wait_seconds()
        if self._patience:
            sleep_seconds = min(sleep_seconds, LOOK_SECONDS)
        events = epoll.poll(0.0 if self._turns else sleep_seconds, _ROUND)
        now_ns = monotonic_ns()
        self._clock.turn(now_ns)
        connections.crowd = len(events)
        batch: list[Connection] = []
        others: list[tuple[int, int]] = []
        for fd, flags in events:
            conn = table.get(fd)
            if conn is None or conn.state != IDLE:
                others.append((fd, flags))
            else:
                batch.append(conn)
        for fd, flags in others:
            conn = table.get(fd)
            if conn is not None:
                self._go_on(conn, flags, now_ns)
            elif fd in self._sources:
                batch += self._take(now_ns)
            else:
                self._call(fd, now_ns)
        if batch:
            connections.crowd = len(batch)
            self._hot.turn(batch, now_ns)
        if self._patience:
            self._intake.look_again(now_ns)
        if self._turns:
            self._turns.turn(now_ns)
        if self._reception is not None:
            self._reception.turn(now_ns)
        if now_ns >= self._next_tick_ns:
            self._tick(now_ns)
        if self._drain_until_ns and now_ns >= self._dismiss_from_ns:
            self._dismiss(now_ns)
        self._ledger.beat(now_ns)
        self._ledger.publish()

    def _take(self, now_ns: int) -> list[Connection]:
        """Take what has arrived. With no descriptor to be had, look no further until the next tick."""
        try:
            return self._arrivals.take(now_ns)
        except OSError:
            self._ledger.counts[TROUBLE_INDEX["accept_paused"]] += self._listening
            self._listen(False)
            return []

    def _listen(self, wanted: bool) -> None:
        """Wait for arrivals, or do not."""
        if wanted == self._listening:
            return
        self._listening = wanted
        for fd in self._sources:
            if wanted:
                self._connections.epoll.register(fd, self._station.source.events)
            else:
                self._connections.epoll.unregister(fd)

    def _turn_away(self, conn: Connection, now_ns: int, status: int = 503, reason: str = "") -> None:
        """Answer a connection for which there is no descriptor to spare."""
        if conn.refuse_curtly():
            self._connections.drop(conn)
            return
        self._delivery.turn_away(conn, self._shelf.error(status, now_ns, reason), now_ns)

    def _turn_away_from_gate(self, conn: Connection, now_ns: int) -> None:
        """Answer a connection whose client has too many."""
        self._turn_away(conn, now_ns, 429, "This address has too many connections open.")

    def _go_on(self, conn: Connection, flags: int, now_ns: int) -> None:
        """Go on with a connection that is in the middle of something."""
        if conn.state == GREETING:
            self._greet(conn)
        elif flags & select.EPOLLOUT:
            self._turns.add(conn)
        elif conn.state in (WAIT, WRITE):
            # Nothing was asked for but to be told that the client is gone.
            self._delivery.abandon(conn)
        else:
            self._intake.readable(conn, now_ns)

    def _greet(self, conn: Connection) -> None:
        assert self._reception is not None, "only a reception has greetings"
        self._reception.go_on(conn)

    def _call(self, fd: int, now_ns: int) -> None:
        """Hear the pool, a signal, or the master's end."""
        if fd == self._pool.fileno():
            for done in self._pool.take():
                self._intake.finished(done, now_ns)
        elif fd == self._station.line.fileno():
            self._intake.told(now_ns)
        elif fd == self._questions.fileno():
            self._questions.turn(now_ns)
        elif self._watches is not None and fd == self._watches.fileno():
            self._watches.turn()
        elif fd == self._signals.fileno():
            makes_way = signal.SIGTERM not in self._signals.recv(64)
            self._drain(now_ns, self._grace_ns, makes_way)
        elif fd == self._station.master:
            # Whoever waits for its word has to hear that there is none.
            self._intake.told(now_ns)
            self._connections.epoll.unregister(fd)
            self._connections.epoll.unregister(self._station.line)
            self._questions.leave()
            self._drain(now_ns, _ORPHAN_NS)

    def _tick(self, now_ns: int) -> None:
        """What is done a few times a second: deadlines, the root, gauges."""
        for conn in self._connections.overdue(now_ns):
            if conn.state == GREETING and self._reception is not None:
                self._reception.overdue(conn)
            else:
                self._intake.overdue(conn, now_ns)
        self._intake.tick(now_ns)
        if self._reception is not None:
            self._reception.refresh(now_ns)
        self._next_tick_ns = now_ns + _TICK_NS
        self._listen(not self._drain_until_ns)
        if self._hosts.check_roots(now_ns, nowait=False):
            self._shelf.distrust(now_ns)
        if self._hosts.is_missing != self._root_is_missing:
            self._root_is_missing = self._hosts.is_missing
            self._ledger.counts[TROUBLE_INDEX["root_missing"]] += self._root_is_missing
        if self._hosts.out_of_reach and not self._drain_until_ns:
            self._drain(now_ns, self._grace_ns)  # whoever is born now may read what this worker may not
        self._doorman.check(now_ns)
        self._shelf.gauge(self._ledger.counts)
        self._hottest.tick(now_ns)
        self._questions.wake()
        if self._wears_out_at and not self._drain_until_ns and self._ledger.requests() >= self._wears_out_at:
            self._drain(now_ns, self._grace_ns, makes_way=True)

    @staticmethod
    def _requests_allowed(requests: int) -> int:
        """After how many requests this worker makes way: not all in the same moment. 0: never."""
        return requests + monotonic_ns() % (requests // 10 + 1) if requests else 0

    def _drain(self, now_ns: int, grace_ns: int, makes_way: bool = False) -> None:
        """Take no more than what is queued, finish what is under way, close what is idle for a while.

        Who makes way waits longer, for the next request of each client, so that none is lost that is on its way.
        """
        if not makes_way:
            self._dismiss_from_ns = now_ns
        if not self._drain_until_ns:
            self._dismiss_from_ns = now_ns + _LONG_FAREWELL_NS if makes_way else now_ns
            self._drain_until_ns = now_ns + grace_ns
            self._shelf.forget()
            self._intake.drain()
            # First: a connection that woke nobody but us would wake nobody after it.
            self._listen(False)
            dispatched = self._station.queue is not None
            for _ in count() if dispatched else range(_LAST_TAKES):
                if not (batch := self._take(now_ns)):
                    break
                self._hot.turn(batch, now_ns)
            # What arrives from now on is the successor's.
            self._station.source.close()
            with contextlib.suppress(OSError):
                self._station.line.send(LEAVING)

    def _dismiss(self, now_ns: int) -> None:
        """In a drain: close what has been idle for a while, and answer what has arrived there meanwhile."""
        since_ns = now_ns - FAREWELL_NS
        resting = [conn for conn in self._connections.table.values() if conn.active_ns <= since_ns]
        idle = [conn for conn in resting if conn.state == IDLE]
        if idle:
            self._hot.turn(idle, now_ns)
        for conn in idle:
            if conn.state == IDLE:
                self._connections.drop(conn)
        for conn in [conn for conn in resting if conn.state == ASIDE]:
            self._intake.readable(conn, now_ns)
            if conn.state == ASIDE:
                self._connections.drop(conn)

    def _drained(self) -> bool:
        if not self._drain_until_ns:
            return False
        if self._connections.table and monotonic_ns() < self._drain_until_ns:
            return False
        for conn in list(self._connections.table.values()):
            self._delivery.abandon(conn)
        self._tick(monotonic_ns())
        self._ledger.publish()
        return True
