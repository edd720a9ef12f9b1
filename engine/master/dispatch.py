# From the listeners to the workers.
#
# Rule 1: admission first. A connection is sent only on a permit of its slot's queue; a slot without permits, or whose
#         worker stands still, is passed by, and when no slot is left the connection is refused.
# Rule 2: a permit taken and not used goes back at once; a permit used comes back from the worker that takes, or from
#         the master that takes back.
# Rule 3: one round accepts a bounded number, so that the loop's other work has its turn.
# Rule 4: a connection for which the master has no descriptor to spare is refused; what is in the queues, and whom the
#         refusal keeps, leave it enough to start a worker or answer `wsrv stats`.
"""Accepting connections and passing them on."""

import socket
from collections.abc import Callable, Sequence

from wsrv.engine.ipc.accept import Acceptor
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.ipc.reserve import first_reserved
from wsrv.engine.master.moderation import Moderation
from wsrv.engine.master.slot import Slot

# Connections accepted in one round (nginx multi_accept takes all there are).
_ROUND = 64


class Dispatcher:
    """Accepts on `listeners` and shares the connections out between `slots`; `refuse` takes those nobody can take.

    It is told the descriptor, the reason, and the number of the listener.
    """

    def __init__(
        self, listeners: Sequence[socket.socket], slots: Sequence[Slot], refuse: Callable[[int, str, int], None]
    ) -> None:
        self._acceptors: dict[int, Acceptor] = {}
        self._refuse = refuse
        self.turn_to(listeners, slots)
        self._reserve = first_reserved()
        self._moderation = Moderation()
        # Workers that drain take nothing more: what comes back from a slot now is refused.
        self.drains = False

    def turn_to(self, listeners: Sequence[socket.socket], slots: Sequence[Slot]) -> None:
        """Accept on these listeners from now on, numbered as they stand, and share out between these slots."""
        before, self._acceptors = self._acceptors, {}
        for number, listener in enumerate(listeners):
            acceptor = self._acceptors[listener.fileno()] = before.get(listener.fileno()) or Acceptor(listener, number)
            acceptor.number = number
        self._slots = slots
        self._turn = 0

    def accept(self, listener: int) -> int:
        """Take in what is waiting on the descriptor `listener`, up to a round's worth, and pass it on; how many.

        Raises OSError when exhausted.
        """
        busy = self._moderation.gather()
        batch = self._acceptors[listener].take(_ROUND)
        accepted = len(batch)
        self._moderation.note(accepted, _ROUND)
        if batch:
            if batch[-1][0] >= self._reserve:
                batch = self._turn_away(batch)
            # While they come fast, they are not split between workers: a message costs more than a moment's wait.
            self.pass_on(batch, "queue_full", _ROUND if busy else 1)
        return accepted

    def _turn_away(self, batch: list[Arrival]) -> list[Arrival]:
        """Refuse those whose descriptors lie in the reserve; the others."""
        for fd, record in batch:
            if fd >= self._reserve:
                self._refuse(fd, "master_full", record[3])
        return [arrival for arrival in batch if arrival[0] < self._reserve]

    def pass_on(self, batch: list[Arrival], reason: str, least: int = 1) -> None:
        """Share `batch` out in parts of `least` and more; `reason` is why what is left is refused."""
        slots = self._slots
        number = len(slots)
        share = -(-len(batch) // min(number, -(-len(batch) // least))) if batch else 0
        passed_by = number + 1 if self.drains else 0
        # After a choice that could take nothing, every slot has its turn.
        while batch and passed_by <= number:
            slot = slots[self._turn] if passed_by else self._choose()
            self._turn = (self._turn + 1) % number
            sent = 0 if slot.stalled else self._send(slot, batch[:share])
            passed_by = 0 if sent else passed_by + 1
            del batch[:sent]
        for fd, record in batch:
            self._refuse(fd, reason, record[3])

    def _choose(self) -> Slot:
        """Of the slot whose turn it is and the next one, the one that has less to do (Mitzenmacher 2001, "The Power of
        Two Choices in Randomized Load Balancing")."""
        slots, turn = self._slots, self._turn
        slot, other = slots[turn], slots[turn + 1 - len(slots)]
        return other if other.load() < slot.load() and not other.stalled else slot

    @staticmethod
    def _send(slot: Slot, part: list[Arrival]) -> int:
        had = slot.queue.try_acquire(len(part))
        sent = slot.channel.send(part[:had]) if had else 0
        if sent < had:
            slot.queue.release(had - sent)
        slot.sent += sent
        return sent

    def take_back(self, slot: Slot, numbers: Sequence[int | None] | None = None) -> int:
        """Dispatch elsewhere what waits for a worker that stands still, or is gone for good; how many connections.

        `numbers` are what the listeners of that slot are called now, None one that is no more; None when they are
        called what they were.
        """
        channel = slot.channel
        before = channel.lost
        count = 0
        while back := channel.reclaim():
            slot.queue.release(len(back))
            slot.sent -= len(back)
            count += len(back)
            self.pass_on(back if numbers is None else self._renumber(back, numbers), "worker_stalled")
        if channel.lost != before:
            slot.queue.release(channel.lost - before)
            slot.sent -= channel.lost - before
        return count

    def _renumber(self, batch: list[Arrival], numbers: Sequence[int | None]) -> list[Arrival]:
        """`batch` with the numbers that its listeners have now; who came by one that is no more is refused."""
        found = []
        for fd, record in batch:
            number = numbers[record[3]]
            if number is None:
                self._refuse(fd, "listener_closed", 0)
            else:
                found.append((fd, (*record[:3], number, *record[4:])))
        return found

    def settle(self, slot: Slot) -> None:
        """Finish what the worker of `slot` has taken, and refuse what it could not take."""
        declined = slot.channel.settle()
        if declined:
            slot.queue.release(len(declined))
            slot.sent -= len(declined)
            for fd, record in declined:
                self._refuse(fd, "worker_declined", record[3])
