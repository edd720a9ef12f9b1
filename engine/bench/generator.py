# The load generator: one process, one loop, its share of the connections.
#
#   epoll ─> an answer has come whole: count it, and send the next request on the same connection
#         ─> a part of it has come: read on
#         ─> connected: send what is due
#
# Rule 1: a request is timed from just before its first byte is written (a connection a request: before it is connected)
#         to just after the last byte of its answer was read. Of a connection a request it is known besides how much of
#         that comes after the request was sent.
# Rule 2: what fails is counted by its kind, and the connection made anew; a run ends for no fault of the server's.
# Rule 3: with a rate, requests are due at even distances, whatever the server does. One that is due while every
#         connection waits is sent by the first that is free, and counts from when it was due.
"""One process of the load generator."""

import gc
import select
from collections.abc import Callable
from time import monotonic_ns, process_time_ns

from wsrv.engine.bench.answers import Malformed, Reader
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.schedule import Schedule
from wsrv.engine.bench.tally import Tally
from wsrv.engine.bench.turns import EDGES, EVENTS, HEAD_END, Client, Events, Turns
from wsrv.engine.bench.wire import kind_of
from wsrv.engine.shm.histogram import UNIT_SHIFT, bucket_of

_MOST_READ_BYTES = 1024 * 1024
_SECOND_NS = 1_000_000_000
_SWEEP_NS = _SECOND_NS // 10
# How long epoll is asked to wait in whole milliseconds; what is less is waited for by select, which takes microseconds.
_COARSE_NS = 2_000_000
# A connection that could not be had is asked for again after this long.
_RETRY_NS = _SECOND_NS // 100
_ENDLESS = 1 << 62

# The words that a process and its parent share: what is done so far, and whether to stop now.
ANSWERS, FAILURES, STOP, WORDS = 0, 1, 2, 3


class Generator(Turns):
    """Carries out a plan; `words` are shared with whoever watches."""

    def __init__(self, plan: Plan, words: "memoryview[int]") -> None:
        super().__init__(plan)
        self._words = words
        # Whether requests wait until epoll says that their connection stands. TLS has a handshake to make first.
        self._by_edges = not plan.keep_alive and plan.tls is None

    def run(self, warm: Callable[[], None] = lambda: None) -> Tally:
        """Carry the plan out; what was counted of it, without the warm-up. `warm` is called when that is over, and
        returns when the run is to begin."""
        gc.disable()
        plan = self._plan
        if plan.warm_up_seconds:
            self._carry_out(_ENDLESS, plan.warm_up_seconds)
            self._tally = Tally(warm_up_answers=self._tally.answers)
            self._words[ANSWERS] = self._words[FAILURES] = 0
        warm()
        began_ns, cpu_ns = monotonic_ns(), process_time_ns()
        self._carry_out(_ENDLESS if plan.number is None else plan.number, plan.seconds)
        tally = self._tally
        tally.elapsed_ns = monotonic_ns() - began_ns
        tally.cpu_ns = tally.cpu_total_ns = process_time_ns() - cpu_ns
        for client in list(self._open.values()):
            self._close(client)
        self._epoll.close()
        return tally

    def _carry_out(self, number: int, seconds: float | None) -> None:
        """Send up to `number` requests for up to `seconds`, and wait for the answers."""
        began_ns = now_ns = monotonic_ns()
        end_ns = began_ns + (_ENDLESS if seconds is None else int(seconds * _SECOND_NS))
        sweep_ns = now_ns + _SWEEP_NS
        self._budget = number
        schedule = Schedule(self._plan.rate, began_ns) if self._plan.rate else None
        turn = None
        if schedule is None and self._plan.pipeline == 1 and (self._plan.keep_alive or self._by_edges):
            turn = self._again if self._plan.keep_alive else self._anew
        while True:
            over = now_ns >= end_ns or self._words[STOP]
            if schedule is not None:
                self._send_due(schedule, min(now_ns, end_ns - 1))
            if over:
                self._budget = 0
            elif schedule is None:
                self._send_at_will(now_ns)
            if not self._under_way and not self._budget:
                break
            events = self._wait(schedule, now_ns, end_ns)
            if turn is not None:
                events = turn(events, min(sweep_ns, end_ns))
            for fd, _ in events:
                client = self._open.get(fd)
                if client is None:
                    continue
                if client.unsent:
                    self._write(client)
                else:
                    self._read(client, schedule is None)
            if self._took_ns:
                self._count()
            now_ns = monotonic_ns()
            if now_ns >= sweep_ns:
                self._sweep(now_ns)
                sweep_ns = now_ns + _SWEEP_NS
        if schedule is not None:
            self._tally.unsent = schedule.unsent(end_ns) if number == _ENDLESS else 0

    def _wait(self, schedule: Schedule | None, now_ns: int, end_ns: int) -> Events:
        """What has happened, or nothing when something is due."""
        pause_ns = min(_SWEEP_NS, max(0, end_ns - now_ns)) if self._budget else _SWEEP_NS
        if self._free and self._budget:
            soonest_ns = self._free[0].retry_ns if schedule is None else schedule.next_ns
            pause_ns = min(pause_ns, max(0, soonest_ns - now_ns))
        if pause_ns >= _COARSE_NS:
            return self._epoll.poll((pause_ns - _COARSE_NS // 2) // 1_000_000 / 1000, EVENTS)
        if pause_ns:
            select.select([self._epoll], [], [], pause_ns / 1e9)
        return self._epoll.poll(0, EVENTS)

    def _send_at_will(self, now_ns: int) -> None:
        """Let every free connection send."""
        free = self._free
        for _ in range(min(len(free), self._budget)):
            client = free.popleft()
            if client.retry_ns > now_ns:
                free.append(client)
            else:
                now_ns = monotonic_ns()
                self._send(client, now_ns, now_ns)

    def _send_due(self, schedule: Schedule, now_ns: int) -> None:
        """Send what is due, as far as there are free connections."""
        free, late = self._free, self._tally.late
        was_free = schedule.was_free
        while free and self._budget and schedule.next_ns <= now_ns and free[0].retry_ns <= now_ns:
            due_ns = schedule.take()
            if was_free:
                units = (now_ns - due_ns) >> UNIT_SHIFT
                late[bucket_of(units)] += 1
            self._send(free.popleft(), due_ns, now_ns)
        schedule.was_free = bool(free)

    def _send(self, client: Client, due_ns: int, now_ns: int) -> None:
        """Send the next request, or as many as are to be in the pipeline."""
        number = min(self._plan.pipeline, self._budget)
        self._budget -= number
        self._under_way += number
        client.waiting = number
        client.due_ns = due_ns
        client.began_ns = now_ns
        request = self._next() if number == 1 else b"".join(self._next() for _ in range(number))
        if client.fd < 0 and not self._connect(client):
            return
        if self._by_edges:
            client.unsent = request
            return
        try:
            gone = self._wire.write(client.fd, request)
        except BlockingIOError:
            gone = 0
        except OSError as error:
            self._fail(client, kind_of(error))
            return
        if gone != len(request):
            client.unsent = request[gone:]
            self._epoll.modify(client.fd, self._wire.awaits(client.fd))

    def _next(self) -> bytes:
        at = self._at
        self._at = at + 1 if at + 1 < len(self._picks) else 0
        return self._requests[self._picks[at]]

    def _connect(self, client: Client) -> bool:
        """Begin a connection; whether that went well."""
        try:
            fd = self._wire.connect()
        except OSError as error:
            self._fail(client, kind_of(error))
            return False
        client.fd = fd
        client.reader = None
        self._open[fd] = client
        self._epoll.register(fd, EDGES if self._by_edges else select.EPOLLIN)
        self._tally.connections += 1
        return True

    def _write(self, client: Client) -> None:
        """Send what waits, or the rest of what the socket did not take."""
        client.sent_ns = monotonic_ns()
        try:
            gone = self._wire.write(client.fd, client.unsent)
        except BlockingIOError:
            if not self._by_edges:
                self._epoll.modify(client.fd, self._wire.awaits(client.fd))
            return
        except OSError as error:
            self._fail(client, kind_of(error))
            return
        client.unsent = client.unsent[gone:]
        if not client.unsent:
            # By level from now on: of what has come before, no edge will tell.
            self._epoll.modify(client.fd, select.EPOLLIN)

    def _read(self, client: Client, at_will: bool) -> None:
        """Read what has come; where that is all that was waited for, the next request may follow at once."""
        try:
            piece = self._wire.read(client.fd, self._read_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(client, kind_of(error))
            return
        self._take(client, piece, monotonic_ns(), at_will)

    def _take(self, client: Client, piece: bytes, now_ns: int, at_will: bool) -> None:
        """Take in what was read: an answer, a part of one, several, or the end of the stream."""
        self._tally.received_bytes += len(piece)
        if len(piece) == self._read_bytes < _MOST_READ_BYTES:
            self._read_bytes *= 2
        if client.reader is None and client.waiting == 1:
            shape = self._shapes.known.get(piece[: piece.find(HEAD_END)])
            if shape is not None and shape.length == len(piece) and shape.status >= 200:
                self._answered(client, shape.status, now_ns)
                self._next_turn(client, shape.close, now_ns, at_will)
                return
        self._read_on(client, piece, now_ns, at_will)

    def _read_on(self, client: Client, piece: bytes, now_ns: int, at_will: bool) -> None:
        reader = client.reader
        is_new = reader is None
        if reader is None:
            reader = client.reader = Reader(self._shapes)
        try:
            if piece:
                done = reader.feed(piece)
            else:
                last = reader.end()
                done = [last] if last else []
        except Malformed:
            self._fail(client, "cut short" if not piece else "malformed")
            return
        if len(done) > client.waiting:
            self._fail(client, "unasked")
            return
        for each in done:
            self._answered(client, each.status, now_ns)
        close = not piece or (bool(done) and done[-1].close)
        if client.waiting and close:
            self._fail(client, "closed")
        elif not client.waiting:
            if reader.is_plain:
                client.reader = None
            if done:
                self._next_turn(client, close, now_ns, at_will)
            elif close:
                self._close(client)
        elif self._by_edges and is_new:
            # What is there already makes no edge.
            self._epoll.modify(client.fd, select.EPOLLIN)

    def _answered(self, client: Client, status: int, now_ns: int) -> None:
        """Note an answer."""
        client.waiting -= 1
        self._under_way -= 1
        self._took_ns.append(now_ns - client.began_ns)
        if not self._plan.keep_alive:
            self._processing_ns.append(now_ns - client.sent_ns)
        self._statuses.append(status)
        if self._plan.rate:
            self._tally.corrected[bucket_of((now_ns - client.due_ns) >> UNIT_SHIFT)] += 1

    def _count(self) -> None:
        """Count the answers since the last time."""
        self._tally.count(self._took_ns, self._statuses, self._processing_ns)
        self._took_ns.clear()
        self._processing_ns.clear()
        self._statuses.clear()
        self._words[ANSWERS] = self._tally.answers

    def _next_turn(self, client: Client, close: bool, now_ns: int, at_will: bool) -> None:
        """The connection is free: close it, or let it send at once."""
        if close or not self._plan.keep_alive:
            self._close(client)
            now_ns = monotonic_ns()
        if at_will and self._budget and not self._free:
            self._send(client, now_ns, now_ns)
        else:
            self._free.append(client)

    def _close(self, client: Client) -> None:
        if client.fd >= 0:
            del self._open[client.fd]
            self._wire.close(client.fd)
            client.fd = -1
        client.reader = None
        client.unsent = b""

    def _fail(self, client: Client, kind: str) -> None:
        """Give up what the connection waits for, and the connection."""
        self._close(client)
        self._tally.errors[kind] += client.waiting
        self._words[FAILURES] += client.waiting
        self._under_way -= client.waiting
        client.waiting = 0
        client.retry_ns = monotonic_ns() + _RETRY_NS
        self._free.append(client)

    def _sweep(self, now_ns: int) -> None:
        """Give up what has waited for too long."""
        oldest_ns = now_ns - int(self._plan.timeout_seconds * _SECOND_NS)
        for client in list(self._open.values()):
            if client.waiting and client.began_ns < oldest_ns:
                self._fail(client, "timeout")
