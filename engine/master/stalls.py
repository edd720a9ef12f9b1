# Workers whose loop does not turn: stopped, or caught in a call that does not return. And slots that have no worker,
# as no process can be had.
#
#   heartbeat old ─> others take its queue ─> old for long: its threads are shown on stderr ─> killed, and replaced
#
# Rule 1: how long is counted in looks of the master, not on the clock: after a pause of the whole machine a worker has
#         as much time to go on as the master had.
"""Noticing workers that stand still."""

import signal
from collections.abc import Callable

from wsrv.engine.master.outcome import Voice
from wsrv.engine.master.slot import Slot
from wsrv.engine.master.supervise import Nursery

# A worker's loop turns once a second at least; one that has not for this long is stopped, or caught in a call.
STALLED_NS = 3_000_000_000


class Stalls:
    """Looks at all workers, once in `period_seconds`; `take_back` dispatches elsewhere what waits in a slot."""

    def __init__(
        self, nursery: Nursery, take_back: Callable[[Slot], object], voice: Voice, period_seconds: float
    ) -> None:
        self._nursery = nursery
        self._take_back = take_back
        self._voice = voice
        self._period_seconds = period_seconds

    def look(self, now_ns: int) -> None:
        """Pass by those who stand still, and end those who do for too long."""
        slots = self._nursery.slots()
        for slot in slots:
            process = slot.process
            if process is None:
                self._pass_by(slot, slots)
                continue
            was = slot.stalled
            slot.stalled = process.ready and now_ns - process.row.heartbeat_ns() > STALLED_NS
            if not slot.stalled:
                slot.looks = 0
                continue
            slot.looks += 1
            if not was:
                self._voice.warn(f"worker {slot.number} stands still; others take its queue")
            self._take_back(slot)
            self._judge(slot, process.pidfd)

    def _pass_by(self, slot: Slot, slots: list[Slot]) -> None:
        """A slot whose worker cannot be replaced yet: others take its queue, if there are others."""
        slot.looks = 0
        slot.stalled = any(
            other.process is not None and other.process.ready and not other.stalled
            for other in slots
            if other.generation is slot.generation
        )
        if slot.stalled:
            self._take_back(slot)

    def _judge(self, slot: Slot, pidfd: int) -> None:
        seconds = slot.generation.settings.process.stall_seconds
        stood_seconds = STALLED_NS / 1e9 + (slot.looks - 1) * self._period_seconds
        if not seconds or stood_seconds < seconds:
            return
        # The one shows where it stands, the other ends it, a look later.
        if stood_seconds < seconds + self._period_seconds:
            self._voice.warn(f"worker {slot.number} has stood still for {seconds:g} s; it is ended")
            signal.pidfd_send_signal(pidfd, signal.SIGQUIT)
        else:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
