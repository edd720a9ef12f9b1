# The master: one thread, one loop.
#
#   epoll ─> listeners       accept and pass on
#         ─> pidfds          a child is gone: settle and replace
#         ─> ready           workers that have come up
#         ─> control         `wsrv stats` and its kind
#         ─> refused         connections that were answered 503
#         ─> signals         SIGINT, SIGTERM: drain; a second one: stop now. SIGHUP: reload
#                             SIGUSR1: the log is opened anew
#
# Life:  STARTING ──all workers ready──> SERVING ──signal──> DRAINING ──workers gone──> the log writer ends ──> over
#                                         └─ a reload: another generation of workers serves, listeners are handed on
#
# Rule 1: nothing waits but the one epoll.
# Rule 2: whatever ends the master, the workers and the log writer end by themselves.
# Rule 3: SIGHUP from a terminal that is gone is the end, as it is for every program that was begun there.
"""The master process: serve() runs a server from its start to the end of its drain."""

import contextlib
import gc
import os
import select
import signal
from array import array
from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Any

from wsrv.engine.master.births import Births
from wsrv.engine.master.confine import Confinement
from wsrv.engine.master.control import Handler, LateHandler
from wsrv.engine.master.front import Front
from wsrv.engine.master.generation import Generations
from wsrv.engine.master.inquiry import Inquiries
from wsrv.engine.master.listen import open_listeners, reach_addresses, server_name
from wsrv.engine.master.livelog import LOOK_SECONDS, LiveLog, place
from wsrv.engine.master.notify import Notifier
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.outfit import (
    Terminal,
    catch_signals,
    claim,
    load_certificates,
    make_cache,
    make_mapping,
    open_control,
    open_log,
    raise_descriptor_limit,
    room_for,
)
from wsrv.engine.master.parts import Parts
from wsrv.engine.master.relay import Relay
from wsrv.engine.master.reload import Reload
from wsrv.engine.master.renewal import Renew
from wsrv.engine.master.report import document
from wsrv.engine.master.slot import NEEDS as SLOT_NEEDS
from wsrv.engine.master.stalls import Stalls
from wsrv.engine.master.statfile import StatFile
from wsrv.engine.master.supervise import Nursery
from wsrv.engine.master.switch import PolicySwitch
from wsrv.engine.master.telling import Telling
from wsrv.engine.settings import Settings
from wsrv.engine.static import openat2
from wsrv.engine.sync.counting import TALLY_WORDS
from wsrv.engine.sync.need import obstacle
from wsrv.engine.worker.pool import NEEDS as POOL_NEEDS

__all__ = ["Master", "Parts", "serve"]

_TICK_SECONDS = 0.25
_NO_OPENAT2 = (
    "openat2 is refused here, by which files are opened: a seccomp filter hides it, as that of RestrictSUIDSGID=yes in "
    "a systemd unit does, or a container's of before 2021; allow it there"
)
_SECOND_NS = 1_000_000_000
# How long the log writer may take for its last lines, when its reader is slow, before it is ended.
_LOG_FAREWELL_NS = 5 * _SECOND_NS
_LOG_FAREWELL_AT_ONCE_NS = _SECOND_NS // 2


def serve(
    settings: Settings,
    parts: Parts,
    voice: Voice,
    serving: Callable[[Sequence[str]], None] | None = None,
    renew: Renew | None = None,
) -> None:
    """Serve until a signal says to stop, and drain. Raises CannotStart; nothing is left behind then either.

    `serving` is called once, with the URLs, when the server answers; it must not wait or raise. `renew` reads the
    settings again, for a reload.
    """
    with contextlib.ExitStack() as undo:
        Master(settings, parts, voice, undo, serving, renew).run()


class Master:
    """The server's one parent. What it takes from the system, `undo` gives back."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        voice: Voice,
        undo: contextlib.ExitStack,
        serving: Callable[[Sequence[str]], None] | None = None,
        renew: Renew | None = None,
    ) -> None:
        self._when_serving = serving
        self._settings = settings
        self._parts = parts
        self._voice = voice
        self._started_ns = monotonic_ns()
        self._is_init = os.getpid() == 1
        if (reason := obstacle(parts.primitive, (*SLOT_NEEDS, *POOL_NEEDS), parts.primitives)) is not None:
            raise CannotStart(reason)
        if not openat2.is_there():
            raise CannotStart(_NO_OPENAT2)
        raise_descriptor_limit()
        self._confinement = Confinement.plan(settings, parts.transport, voice)
        log = open_log(settings.log, voice, undo)
        listeners = open_listeners(settings.listen, voice, undo)
        certificates = load_certificates(settings, voice)
        self._name = name = settings.runtime.name or server_name(listeners)
        self._folder = claim(settings.runtime, name, voice, undo)
        self._signals = catch_signals(self._is_init, undo)
        self._terminal = Terminal()
        self._epoll = undo.enter_context(select.epoll())
        self._commands: dict[str, Handler] = {"stats": self._stats, "log": self._log_place}
        self._late: dict[str, LateHandler] = {}
        self._control = open_control(self._folder, self._commands, self._late, self._epoll, voice, undo)
        self._notifier = Notifier(settings.service)
        undo.callback(self._notifier.close)
        room = room_for(settings.process.workers)
        mapping = make_mapping(room, undo)
        # What the master itself does with the queues of all slots: it alone admits.
        self._queue_use = array("Q", [0] * TALLY_WORDS)
        generations = Generations(parts, mapping, room, self._queue_use, voice, self._confinement)
        self._cache = make_cache(settings, parts, mapping, room, undo)
        births = Births(parts, mapping, room, log, self._epoll, voice, self._confinement, self._cache)
        undo.callback(births.close)
        first = generations.first(settings, listeners, certificates)
        self._nursery = Nursery(births, first, self._epoll, voice)
        self._front = Front(self._epoll, self._nursery, generations, parts.transport.DISPATCHES, voice)
        undo.callback(self._front.close)
        undo.callback(self._end_children)
        self._inquiries = Inquiries(self._nursery.respondents)
        self._late["ask"] = Relay(self._inquiries).ask
        told = (self._nursery, self._inquiries, lambda: self._stats()["cache"])
        self._late["policy"] = PolicySwitch(parts.policies, *told).ask
        self._reload = Reload(renew, self._nursery, generations, room, self._front.turn, self._notifier, voice)
        self._late["reload"] = self._reload.ask
        self._live_log = LiveLog(mapping.rows)
        self._late["log lines"] = self._live_log.ask
        self._stalls = Stalls(self._nursery, self._front.take_back, voice, _TICK_SECONDS)
        self._telling = Telling(self._stats, self._obstacle, self._inquiries, self._nursery.succeed)
        self._stat_file = self._open_stat_file()
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
        self._confinement.master(self._settings)
        # What exists now stays: the collector need not look at it again, here or in what is forked, and pages that it
        # does not write to stay shared.
        gc.collect()
        gc.freeze()
        nursery.begin()
        self._epoll.register(self._signals, select.EPOLLIN)
        self._epoll.register(nursery.ready, select.EPOLLIN)
        next_tick_ns = 0
        while not (self._drain_until_ns and not nursery.workers()):
            for fd, events in self._epoll.poll(LOOK_SECONDS if self._live_log else _TICK_SECONDS):
                self._hear(fd, events)
            now_ns = monotonic_ns()
            if self._live_log:
                self._live_log.turn(now_ns)
            if now_ns >= next_tick_ns:
                next_tick_ns = now_ns + int(_TICK_SECONDS * _SECOND_NS)
                self._tick(now_ns)
        self._front.see_refused_off()
        self._live_log.end()
        if self._stat_file is not None:
            self._stat_file.update(self._stats())

    def _hear(self, fd: int, events: int) -> None:
        if self._front.owns(fd):
            self._front.handle(fd)
        elif fd == self._signals.fileno():
            self._heed(self._signals.recv(64))
        elif fd == self._nursery.ready:
            os.eventfd_read(fd)
            self._begin_serving()
            self._reload.look()
        elif self._nursery.owns(fd):
            self._nursery.reap(fd)
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
        self._front.tick(now_ns)
        if self._control is not None:
            self._control.tick(now_ns)
        self._inquiries.tick(now_ns)
        self._telling.tick(now_ns)
        self._stalls.look(now_ns)
        self._renew(now_ns)
        self._notifier.tick(now_ns)
        if self._serving and not self._drain_until_ns:
            self._reload.tick(now_ns)
        if self._stat_file is not None:
            self._stat_file.tick(now_ns, self._stats)
        if self._drain_until_ns and now_ns >= self._drain_until_ns and not self._killed:
            self._killed = True
            self._nursery.kill()

    def _renew(self, now_ns: int) -> None:
        """Have ready for workers to come what the running ones take up themselves, and say what is wrong with it."""
        certificates = self._nursery.current.certificates
        if certificates is None:
            return
        renewed, fault = certificates.refresh(now_ns)
        if renewed:
            self._voice.detail("TLS certificates renewed")
            if self._confinement.settings.user:
                # A key is for root as a rule: successors have it from us.
                self._nursery.signal(signal.SIGTERM)
        for warning in [fault] if fault else certificates.warnings() if renewed else []:
            self._voice.warn(warning)

    def _begin_serving(self) -> None:
        # Asked every time: a worker that has followed another is known to serve from then on.
        if not self._nursery.all_ready() or self._serving or self._drain_until_ns:
            return
        self._serving = True
        self._front.open()
        listeners = self._nursery.current.listeners
        for listener in listeners:
            self._voice.say(f"listening on {listener.url}")
        for listener in listeners:
            for address in reach_addresses(listener.socket, listener.secure):
                if address != listener.url:
                    self._voice.say(f"reachable at {address}")
        self._notifier.ready()
        if self._when_serving is not None:
            self._when_serving([listener.url for listener in listeners])

    def _heed(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self._nursery.reap_strangers()  # those that stand behind a child of ours: at the next tick
            elif number == signal.SIGUSR1:
                self._nursery.reopen_log()
            elif number == signal.SIGHUP and not self._drain_until_ns and not self._terminal.is_gone():
                self._reload.hear()
            elif self._drain_until_ns:
                self._killed = True
                self._nursery.kill()
            else:
                self._drain()

    def _drain(self) -> None:
        """Take in who has connected already, then nobody; let the workers finish."""
        self._voice.detail("draining; a second signal stops at once")
        self._notifier.stopping()
        self._reload.end()
        self._drain_until_ns = monotonic_ns() + self._front.drain()
        self._nursery.drain()

    # The end.

    def _end_children(self) -> None:
        """See to it that no child outlives the master's own end, however it came about."""
        nursery = self._nursery
        nursery.kill()
        nursery.births.end_lifeline()
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

    # Answers.

    def _log_place(self, request: dict[str, Any]) -> dict[str, Any]:
        return place(self._settings.log, self._nursery.current.settings.log.format)

    def _obstacle(self) -> str | None:
        """Why no requests are to be sent here; None where they are answered."""
        if self._drain_until_ns:
            return "the server is stopping"
        if not self._serving:
            return "the workers are starting"
        slots = self._nursery.current.slots
        if not any(slot.process is not None and slot.process.ready and not slot.stalled for slot in slots):
            return "no worker answers"
        return None

    def _stats(self, request: dict[str, Any] | None = None) -> dict[str, Any]:
        parts, current = self._parts, self._nursery.current
        found = document(
            name=self._name,
            listeners=[listener.url for listener in current.listeners],
            parts={"ipc": parts.transport.NAME, "sync": parts.primitive.NAME, "policy": current.policy.NAME},
            capacity_bytes=current.settings.cache.capacity_bytes,
            started_ns=self._started_ns,
            retired=self._nursery.retired,
            slots=current.slots,
            workers=self._nursery.workers(),
            refused=self._front.refuser.reasons,
            troubles={"accept_paused": self._front.pauses, "fork_failed": self._nursery.refused},
            guards={"queue": self._queue_use},
            cache=self._cache,
        )
        return {**found, "reloads": self._reload.figures()}
