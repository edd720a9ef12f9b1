# A generation: the slots whose workers serve by one reading of the settings.
#
#   coming ──all its workers are ready──> current ──the next one is──> leaving ──its last worker is gone──> closed
#
# Rule 1: everything that can fail is done while it is made. A generation that cannot be made has changed nothing.
# Rule 2: a listener whose place stays is handed on as it is. What is new is opened, what is no more is closed once the
#         next generation serves.
"""Making generations of worker slots."""

import contextlib
import socket
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import succeed
from wsrv.engine.master.births import queues_for
from wsrv.engine.master.confine import Confinement
from wsrv.engine.master.listen import Listener, open_listeners, redirect_port
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.outfit import load_certificates
from wsrv.engine.master.parts import Parts
from wsrv.engine.master.slot import Slot
from wsrv.engine.settings import ListenSettings, Settings
from wsrv.engine.shm.clients import ClientTables
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.sync.counting import CountedSemaphore, Tally
from wsrv.engine.sync.primitive import CELL_BYTES

if TYPE_CHECKING:
    from wsrv.engine.tls.certificates import Certificates


@dataclass(slots=True, eq=False)
class Generation:
    """Slots, and what their workers are told. `listeners` are in the order of the settings."""

    number: int
    settings: Settings
    listeners: list[Listener]
    certificates: "Certificates | None"
    clients: ClientTables | None
    # That of workers to come; the master may change it.
    policy: type[Policy]
    slots: list[Slot] = field(default_factory=list)

    @property
    def secure_port(self) -> int:
        """Where listeners without TLS send their clients; 0 when they answer."""
        return redirect_port(self.settings.tls, self.listeners)

    @property
    def sockets(self) -> list[socket.socket]:
        """What connections come in by."""
        return [listener.socket for listener in self.listeners]

    @property
    def secure(self) -> frozenset[int]:
        """The numbers of the listeners that speak TLS."""
        return frozenset(number for number, listener in enumerate(self.listeners) if listener.secure)


class Generations:
    """Makes generations. `queue_use` counts how the queues of all slots are used; `room` bounds the workers."""

    def __init__(
        self,
        parts: Parts,
        mapping: Mapping,
        room: int,
        queue_use: "array[int]",
        voice: Voice,
        confinement: Confinement,
    ) -> None:
        self._parts = parts
        self._confinement = confinement
        self._mapping = mapping
        self._tally = Tally(queue_use, 0)
        self._voice = voice
        self._rows = len(mapping.rows)
        self._cells = list(range(queues_for(room)))
        self._number = 0

    def first(self, settings: Settings, listeners: list[Listener], certificates: "Certificates | None") -> Generation:
        """The generation of the start, on listeners that are open. Raises OSError."""
        clients = ClientTables(self._rows) if settings.limits.bounds_guests else None
        made = Generation(self._number, settings, listeners, certificates, clients, self._parts.policy)
        self._furnish(made, None)
        return made

    def next(self, settings: Settings, before: Generation, policy: type[Policy]) -> Generation:
        """The generation that is to follow `before`. Raises CannotStart."""
        self._confinement.check(settings, self._voice)
        with contextlib.ExitStack() as undo:
            listeners = self._listeners(settings.listen, before, undo)
            clients = before.clients
            if settings.limits.bounds_guests and clients is None:
                clients = ClientTables(self._rows)
            if not settings.limits.bounds_guests:
                clients = None
            certificates = _certificates(settings, before, self._voice)
            made = Generation(self._number + 1, settings, listeners, certificates, clients, policy)
            try:
                self._furnish(made, before)
            except OSError as error:
                raise CannotStart(f"cannot have what new workers need: {error.strerror}") from error
            undo.pop_all()
        self._number += 1
        return made

    def _listeners(
        self, wanted: Sequence[ListenSettings], before: Generation, undo: contextlib.ExitStack
    ) -> list[Listener]:
        there = dict(zip(map(_place, before.settings.listen), before.listeners, strict=True))
        found: list[Listener] = []
        for one in wanted:
            kept = there.pop(_place(one), None)
            found += [kept.with_secure(one.secure)] if kept is not None else open_listeners([one], self._voice, undo)
        return found

    def _furnish(self, made: Generation, before: Generation | None) -> None:
        """Give it slots. Raises OSError."""
        process, transport = made.settings.process, self._parts.transport
        if before is None:
            channels = transport.open(made.sockets, process.workers, process.queue)
        else:
            held = [slot.channel for slot in before.slots]
            channels = succeed(transport, held, made.sockets, process.workers, process.queue)
        for number, channel in enumerate(channels):
            cell = self._cells.pop(0)
            memory = self._mapping.cell(cell)
            memory[:] = bytes(CELL_BYTES)
            queue = CountedSemaphore(self._parts.primitive.semaphore("queue", memory, process.queue), self._tally)
            made.slots.append(Slot(number, channel, queue, process.queue, made, cell))

    def close(self, slot: Slot) -> None:
        """Give back what a slot is made of, when it has no worker any more."""
        slot.channel.close()
        slot.queue.close()
        self._cells.append(slot.cell)

    @staticmethod
    def renumber(slot: Slot, after: Generation) -> list[int | None]:
        """What the listeners of `slot` are called in the generation `after`; None for those that are no more."""
        now = {listener.socket: number for number, listener in enumerate(after.listeners)}
        return [now.get(listener.socket) for listener in slot.generation.listeners]


def _place(settings: ListenSettings) -> ListenSettings:
    """What tells a listener from others: not whether it speaks TLS, nor who may connect."""
    return replace(settings, secure=False, mode=0, backlog=0)


def _certificates(settings: Settings, before: Generation, voice: Voice) -> "Certificates | None":
    """The certificates in use, where the files are what they were: those who resume a session may go on. Else others.

    Raises CannotStart.
    """
    held = before.certificates
    if held is not None and settings.tls.certificates == before.settings.tls.certificates and held.is_current():
        return held if any(one.secure for one in settings.listen) else None
    return load_certificates(settings, voice)
