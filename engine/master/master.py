# The master: one thread, one loop.
#
#   epoll ─> listeners       accept and pass on
#         ─> pidfds          a child is gone: settle and replace
#         ─> ready           workers that have come up
#         ─> control         `wsrv stats` and its kind
#         ─> refused         connections that were answered 503
#         ─> signals         SIGINT, SIGTERM, SIGHUP: drain; a second one: stop now. SIGUSR1: the log is opened anew
#
# Life:  STARTING ──all workers ready──> SERVING ──signal──> DRAINING ──workers gone──> the log writer ends ──> over
#
# Rule 1: nothing waits but the one epoll.
# Rule 2: whatever ends the master, the workers and the log writer end by themselves.
"""The master process: serve() runs a server from its start to the end of its drain."""

import contextlib
import os
import select
import signal
from array import array
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Any

from wsrv.engine.master.control import Handler, LateHandler
from wsrv.engine.master.dispatch import Dispatcher
from wsrv.engine.master.inquiry import Inquiries
from wsrv.engine.master.listen import open_listeners, reach_addresses, redirect_port, server_name
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.outfit import (
    catch_signals,
    claim,
    load_certificates,
    make_cache,
    make_slots,
    open_control,
    open_log,
    raise_descriptor_limit,
)
from wsrv.engine.master.parts import Parts
from wsrv.engine.master.refusal import Refuser
from wsrv.engine.master.relay import Relay
from wsrv.engine.master.report import document
from wsrv.engine.master.slot import NEEDS as SLOT_NEEDS
from wsrv.engine.master.statfile import StatFile
from wsrv.engine.master.supervise import Nursery
from wsrv.engine.master.switch import PolicySwitch
from wsrv.engine.master.telling import Telling
from wsrv.engine.settings import Settings
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.errors import ErrorPages
from wsrv.engine.static.site import Site
from wsrv.engine.sync.counting import TALLY_WORDS
from wsrv.engine.sync.need import obstacle
from wsrv.engine.worker.pool import NEEDS as POOL_NEEDS

__all__ = ["Master", "Parts", "serve"]

_TICK_SECONDS = 0.25
# A worker that has not finished its answers this long after its own bound is ended.
_MARGIN_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000
# How long the log writer may take for its last lines, when its reader is slow, before it is ended.
_LOG_FAREWELL_NS = 5 * _SECOND_NS
_LOG_FAREWELL_AT_ONCE_NS = _SECOND_NS // 2
_EXHAUSTED_PAUSE_NS = 100_000_000
# A worker's loop turns once a second at least; one that has not for this long is stopped, or caught in a call.
_STALLED_NS = 3 * _SECOND_NS


def serve(
    settings: Settings, parts: Parts, voice: Voice, serving: Callable[[Sequence[str]], None] | None = None
) -> None:
    """Serve until a signal says to stop, and drain. Raises CannotStart; nothing is left behind then either.

    `serving` is called once, with the URLs, when the server answers; it must not wait or raise.
    """
    with contextlib.ExitStack() as undo:
        Master(settings, parts, voice, undo, serving).run()


class Master:
    """The server's one parent. What it takes from the system, `undo` gives back."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        voice: Voice,
        undo: contextlib.ExitStack,
        serving: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        self._when_serving = serving
        self._settings = settings
        self._parts = parts
        self._voice = voice
        self._started_ns = monotonic_ns()
        self._is_init = os.getpid() == 1
        if (reason := obstacle(parts.primitive, (*SLOT_NEEDS, *POOL_NEEDS), parts.primitives)) is not None:
            raise CannotStart(reason)
        raise_descriptor_limit()
        log = open_log(settings.log, voice, undo)
        self._listeners = open_listeners(settings.listen, voice, undo)
        self._certificates = load_certificates(settings, voice)
        sockets = [listener.socket for listener in self._listeners]
        name = settings.runtime.name or server_name(self._listeners)
        self._name = name
        self._folder = claim(settings.runtime, name, voice, undo)
        self._signals = catch_signals(self._is_init, undo)
        self._epoll = undo.enter_context(select.epoll())
        self._commands: dict[str, Handler] = {"stats": self._stats}
        self._late: dict[str, LateHandler] = {}
        self._control = open_control(self._folder, self._commands, self._late, self._epoll, voice, undo)
        # What the master itself does with the queues of all slots: it alone admits.
        self._queue_use = array("Q", [0] * TALLY_WORDS)
        self._slots, mapping = make_slots(settings.process, parts, sockets, self._queue_use, undo)
        tls = (self._certificates, redirect_port(settings.tls, self._listeners))
        self._cache = make_cache(settings, parts, mapping, undo)
        self._nursery = Nursery(settings, parts, mapping, self._slots, log, self._epoll, voice, *tls, self._cache)
        self._inquiries = Inquiries(self._nursery.respondents)
        self._late["ask"] = Relay(self._inquiries).ask
        told = (self._nursery, self._inquiries, lambda: self._stats()["cache"])
        self._late["policy"] = PolicySwitch(parts.policies, settings.cache, *told).ask
        self._telling = Telling(self._stats, self._obstacle, self._inquiries, self._nursery.succeed)
        undo.callback(self._nursery.close)
        undo.callback(self._end_children)
        secure = frozenset(number for number, listener in enumerate(self._listeners) if listener.secure)
        self._refuser = Refuser(self._epoll, self._unavailable, secure)
        self._dispatcher = Dispatcher(sockets, self._slots, self._refuser.refuse)
        self._settling = {fd: slot for slot in self._slots if (fd := slot.channel.settle_fd()) is not None}
        self._stat_file = self._open_stat_file()
        # The listeners that are in the loop.
        self._accepting: frozenset[int] = frozenset()
        self._resume_ns = 0
        self._serving = False
        self._drain_until_ns = 0
        self._killed = False

    def _open_stat_file(self) -> StatFile | None:
        if self._settings.status.file is None:
            return None
        stat_file = StatFile(self._settings.status.file, self._voice.warn)
        stat_file.begin(self._stats())
        return stat_file

    # The loop.

    def run(self) -> None:
        """Serve from the first fork to the end of the last child. Raises CannotStart."""
        nursery = self._nursery
        nursery.start_log_writer()
        nursery.start_keeper()
        for slot in self._slots:
            nursery.start_worker(slot)
        self._epoll.register(self._signals, select.EPOLLIN)
        self._epoll.register(nursery.ready, select.EPOLLIN)
        for fd in self._settling:
            self._epoll.register(fd, select.EPOLLIN)
        next_tick_ns = 0
        while not (self._drain_until_ns and not nursery.workers()):
            for fd, events in self._epoll.poll(_TICK_SECONDS):
                self._hear(fd, events)
            now_ns = monotonic_ns()
            if now_ns >= next_tick_ns:
                next_tick_ns = now_ns + int(_TICK_SECONDS * _SECOND_NS)
                self._tick(now_ns)
        self._see_refused_off()
        if self._stat_file is not None:
            self._stat_file.update(self._stats())

    def _hear(self, fd: int, events: int) -> None:
        if fd in self._accepting:
            self._accept(fd)
        elif fd in self._settling:
            self._dispatcher.settle(self._settling[fd])
        elif fd == self._signals.fileno():
            self._heed(self._signals.recv(64))
        elif fd == self._nursery.ready:
            os.eventfd_read(fd)
            self._begin_serving()
        elif self._nursery.owns(fd):
            self._nursery.reap(fd)
        elif self._refuser.owns(fd):
            self._refuser.handle(fd)
        elif self._control is not None and self._control.owns(fd):
            self._control.handle(fd, events)
        elif (line := self._nursery.line(fd)) is not None:
            self._telling.handle(line)
        elif (asked := self._nursery.asked(fd)) is not None:
            self._inquiries.handle(asked)

    def _tick(self, now_ns: int) -> None:
        self._nursery.tick(now_ns)
        if self._is_init:
            self._nursery.reap_strangers()
        self._refuser.tick(now_ns)
        if self._control is not None:
            self._control.tick(now_ns)
        self._inquiries.tick(now_ns)
        self._telling.tick(now_ns)
        self._look_after_stalled(now_ns)
        self._renew(now_ns)
        if self._stat_file is not None:
            self._stat_file.tick(now_ns, self._stats)
        if self._serving and not self._accepting and not self._drain_until_ns and now_ns >= self._resume_ns:
            self._listen()
        if self._drain_until_ns and now_ns >= self._drain_until_ns and not self._killed:
            self._killed = True
            self._nursery.kill()

    def _renew(self, now_ns: int) -> None:
        """Have ready for workers to come what the running ones take up themselves, and say what is wrong with it."""
        if self._certificates is None:
            return
        renewed, fault = self._certificates.refresh(now_ns)
        if renewed:
            self._voice.detail("TLS certificates renewed")
        for warning in [fault] if fault else self._certificates.warnings() if renewed else []:
            self._voice.warn(warning)

    def _look_after_stalled(self, now_ns: int) -> None:
        """Dispatch elsewhere what waits for a worker whose loop does not turn."""
        for slot in self._slots:
            process = slot.process
            was = slot.stalled
            slot.stalled = process is not None and process.ready and now_ns - process.row.heartbeat_ns() > _STALLED_NS
            if slot.stalled and not was:
                self._voice.warn(f"worker {slot.number} stands still; others take its queue")
            if slot.stalled:
                self._dispatcher.take_back(slot)

    def _begin_serving(self) -> None:
        if self._serving or not self._nursery.all_ready():
            return
        self._serving = True
        self._listen()
        for listener in self._listeners:
            self._voice.say(f"listening on {listener.url}")
        for listener in self._listeners:
            for address in reach_addresses(listener.socket, listener.secure):
                if address != listener.url:
                    self._voice.say(f"reachable at {address}")
        if self._when_serving is not None:
            self._when_serving([listener.url for listener in self._listeners])

    def _listen(self) -> None:
        if self._parts.transport.DISPATCHES:
            self._accepting = frozenset(listener.socket.fileno() for listener in self._listeners)
            for fd in self._accepting:
                self._epoll.register(fd, select.EPOLLIN)

    def _deafen(self) -> None:
        for fd in self._accepting:
            self._epoll.unregister(fd)
        self._accepting = frozenset()

    def _accept(self, fd: int) -> int:
        try:
            return self._dispatcher.accept(fd)
        except OSError as e:
            self._voice.warn(f"cannot accept connections for the moment: {e.strerror}")
            self._deafen()
            self._resume_ns = monotonic_ns() + _EXHAUSTED_PAUSE_NS
            return 0

    def _heed(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self._nursery.reap_strangers()  # those that stand behind a child of ours: at the next tick
            elif number == signal.SIGUSR1:
                self._nursery.reopen_log()
            elif self._drain_until_ns:
                self._killed = True
                self._nursery.kill()
            else:
                self._drain()

    def _drain(self) -> None:
        """Take in who has connected already, then nobody; let the workers finish."""
        self._voice.detail("draining; a second signal stops at once")
        if self._serving and self._parts.transport.DISPATCHES:
            for listener in self._listeners:
                while self._accept(listener.socket.fileno()):
                    pass
        self._dispatcher.drains = True
        self._deafen()
        for listener in self._listeners:
            listener.close()
        if not self._parts.transport.DISPATCHES:
            for slot in self._slots:
                slot.channel.close()
        self._drain_until_ns = monotonic_ns() + int(self._settings.limits.longest_seconds * _SECOND_NS) + _MARGIN_NS
        self._nursery.drain()

    # The end.

    def _end_children(self) -> None:
        """See to it that no child outlives the master's own end, however it came about."""
        nursery = self._nursery
        nursery.kill()
        nursery.end_lifeline()
        until_ns = monotonic_ns() + (_LOG_FAREWELL_AT_ONCE_NS if self._killed else _LOG_FAREWELL_NS)
        while pidfds := nursery.pidfds():
            if monotonic_ns() >= until_ns:
                nursery.kill_helpers()
            poll = select.poll()
            for waited_for in (self._signals.fileno(), *pidfds):
                poll.register(waited_for, select.POLLIN)
            for fd, _ in poll.poll(int(_TICK_SECONDS * 1000)):
                if nursery.owns(fd):
                    nursery.reap(fd)
                elif set(self._signals.recv(64)) - {signal.SIGCHLD, signal.SIGUSR1}:
                    until_ns = min(until_ns, monotonic_ns() + _LOG_FAREWELL_AT_ONCE_NS)
        if lost := nursery.retired.dropped + nursery.lines_left():
            self._voice.warn(f"{lost} lines of the access log were lost: what reads it was too slow")

    def _see_refused_off(self) -> None:
        for fd in self._refuser.fds():
            self._refuser.let_go(fd)

    # Answers.

    def _unavailable(self) -> Entity:
        """The page of those who are refused. Raises OSError without a descriptor for it."""
        with contextlib.ExitStack() as undo:
            site = Site(self._settings.site, self._settings.cache)
            undo.callback(site.close)
            pages = ErrorPages(site, self._settings.site, self._settings.cache)
            undo.callback(pages.close)
            return pages.entity(503, nowait=False)

    def _obstacle(self) -> str | None:
        """Why no requests are to be sent here; None where they are answered."""
        if self._drain_until_ns:
            return "the server is stopping"
        if not self._serving:
            return "the workers are starting"
        if not any(slot.process is not None and slot.process.ready and not slot.stalled for slot in self._slots):
            return "no worker answers"
        return None

    def _stats(self, request: dict[str, Any] | None = None) -> dict[str, Any]:
        parts = self._parts
        return document(
            name=self._name,
            listeners=[listener.url for listener in self._listeners],
            parts={"ipc": parts.transport.NAME, "sync": parts.primitive.NAME, "policy": self._nursery.policy.NAME},
            capacity_bytes=self._settings.cache.capacity_bytes,
            started_ns=self._started_ns,
            retired=self._nursery.retired,
            slots=self._slots,
            workers=self._nursery.workers(),
            refused=self._refuser.reasons,
            guards={"queue": self._queue_use},
            cache=self._cache,
        )
