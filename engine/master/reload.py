# From the settings of the start to those of now, while the server serves.
#
#   asked ─> read and checked ─> room for new workers ─> they come up ─> all are ready: they serve, the old ones finish
#               │ wrong                                     │ one dies, or takes too long
#               └──────── nothing has changed <─────────────┘
#
# Rule 1: until all new workers are ready the old ones serve, and are replaced when they die.
# Rule 2: whoever asks while a change is under way is answered by the next one, which reads the settings anew.
# Rule 3: whoever asked is told what has become of it, and which settings wait for a restart.
"""Reloading the settings of a running server."""

import traceback
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Protocol

from wsrv.engine.ipc.question import Message
from wsrv.engine.master.control import Reply
from wsrv.engine.master.generation import Generation, Generations
from wsrv.engine.master.outcome import CannotStart, Voice
from wsrv.engine.master.renewal import CannotRenew, Renew, Renewal
from wsrv.engine.master.slot import Slot
from wsrv.engine.master.supervise import Nursery
from wsrv.engine.settings import Settings

_SECOND_NS = 1_000_000_000
# How long new workers may take to come up.
_COME_UP_NS = 30 * _SECOND_NS
_UNABLE = "this server was started without a way to read its settings again"
_ENDS = "the server ends"
# Why there was no change: the settings are wrong; workers do not come up with them; the server ends.
SETTINGS, START, ENDS = "settings", "start", "end"


class Announce(Protocol):
    """Tells a service manager of the beginning and the end of a change."""

    def reloading(self) -> None:
        """It begins."""

    def ready(self) -> None:
        """It is over, one way or the other."""


class Reload:
    """Changes the server to what `renew` reads. `turn` makes the next generation the one that serves."""

    def __init__(
        self,
        renew: Renew | None,
        nursery: Nursery,
        generations: Generations,
        room: int,
        turn: Callable[[], list[Slot]],
        announce: Announce,
        voice: Voice,
    ) -> None:
        self._renew = renew
        self._nursery = nursery
        self._generations = generations
        self._room = room
        self._turn = turn
        self._announce = announce
        # The policy that the settings named last.
        self._named = nursery.current.policy
        self._voice = voice
        # Whoever waits for the change that is under way, and for the next one.
        self._told: list[Reply] = []
        self._waiting: list[Reply] = []
        self._wanted = False
        self._renewal: Renewal | None = None
        self._until_ns = 0
        self._began_ns = 0
        self.done = 0
        self.failed = 0
        nursery.when_stillborn = self._fail_to_come_up

    def figures(self) -> dict[str, Any]:
        """What the document says of it."""
        nursery = self._nursery
        return {
            "generation": nursery.current.number,
            "done": self.done,
            "failed": self.failed,
            "under_way": self._renewal is not None,
            "leaving": sum(slot.process is not None for slot in nursery.leaving),
        }

    def ask(self, request: Message, reply: Reply) -> None:
        """Answer the control command."""
        if self._renew is None:
            reply.end({"fault": _UNABLE, "kind": START})
            return
        self._waiting.append(reply)
        self._wanted = True
        self._begin()

    def hear(self) -> None:
        """A signal asks for it."""
        if self._renew is None:
            self._voice.warn(f"cannot reload: {_UNABLE}")
            return
        self._wanted = True
        self._begin()

    def tick(self, now_ns: int) -> None:
        """Begin what waits for its turn, or for room; give up on workers that do not come up."""
        if self._renewal is None:
            self._begin()
        elif self._nursery.coming is None:
            self._make(self._renewal)
        elif now_ns >= self._until_ns:
            self._fail("the new workers do not come up in time", START)

    def end(self) -> None:
        """The server ends."""
        replies, self._waiting, self._wanted = self._waiting, [], False
        self._told += replies
        if self._renewal is not None:
            self._fail(_ENDS, ENDS)

    def _begin(self) -> None:
        if not self._wanted or self._renewal is not None or self._renew is None or not self._nursery.all_ready():
            return
        self._wanted = False
        self._told, self._waiting = self._waiting, []
        self._began_ns = monotonic_ns()
        self._announce.reloading()
        try:
            renewal = self._renew()
        except CannotRenew as error:
            self._fail(str(error))
            return
        except Exception as error:  # ours, or a plugin's: no reason for the server to end
            traceback.print_exc()
            self._fail(f"reading the settings failed: {type(error).__name__}: {error}")
            return
        if (workers := renewal.settings.process.workers) > self._room:
            self._fail(f"{workers} workers: this server has room for {self._room}; more need a restart")
            return
        self._renewal = renewal
        self._make(renewal)

    def _make(self, renewal: Renewal) -> None:
        """Have the next generation come up, once those of before have left it room."""
        nursery = self._nursery
        if nursery.births.rows_left < renewal.settings.process.workers:
            return
        before = nursery.current
        try:
            # One that was chosen since the start stays, until the settings name another.
            policy = before.policy if renewal.policy is self._named else renewal.policy
            generation = self._generations.next(renewal.settings, before, policy)
        except CannotStart as error:
            self._fail(str(error), START)
            return
        for slot in generation.slots:
            slot.legacy = nursery.warmth(before.slots[slot.number % len(before.slots)])
        nursery.coming = generation
        self._until_ns = monotonic_ns() + _COME_UP_NS
        for slot in generation.slots:
            nursery.start_worker(slot)

    def look(self) -> None:
        """A worker has come up: if all of the next generation have, it serves from now on."""
        renewal = self._renewal
        if renewal is None or not self._nursery.next_is_ready():
            return
        before = self._nursery.current.settings
        left = self._turn()
        self._tell_keeper(renewal, before)
        self._renewal = None
        self.done += 1
        current = self._nursery.current
        seconds = (monotonic_ns() - self._began_ns) / _SECOND_NS
        self._voice.say(f"reloaded in {seconds:.2f} s: {len(current.slots)} workers of generation {current.number}")
        for line in renewal.pending:
            self._voice.warn(line)
        self._answer(
            {
                "generation": current.number,
                "workers": len(current.slots),
                "left": len(left),
                "seconds": round(seconds, 3),
                "pending": list(renewal.pending),
                "listeners": [listener.url for listener in current.listeners],
            }
        )

    def _tell_keeper(self, renewal: Renewal, before: Settings) -> None:
        """Let another keeper of a shared cache begin, where it would follow or say something else."""
        named, self._named = self._named, renewal.policy
        cache, after = self._nursery.births.cache, renewal.settings
        if cache is None:
            return
        if (named, before.hosts, before.cache) != (renewal.policy, after.hosts, after.cache):
            cache.learn(after.cache, after.hosts)
            self._nursery.renew_keeper()

    def _fail_to_come_up(self, slot: Slot, how: str) -> None:
        self._fail(f"the new workers do not come up: {how}", START)

    def _fail(self, why: str, kind: str = SETTINGS) -> None:
        """Everything stays as it was."""
        abandoned, self._nursery.coming, self._renewal = self._nursery.coming, None, None
        if abandoned is not None:
            self._abandon(abandoned)
        self.failed += 1
        for line in why.splitlines():
            self._voice.warn(f"not reloaded: {line}")
        self._answer({"fault": why, "kind": kind})

    def _abandon(self, generation: Generation) -> None:
        """End a generation that will not serve; where workers accept for themselves, some may have begun."""
        held = self._nursery.current.sockets
        self._nursery.leave(generation, monotonic_ns() + _COME_UP_NS)
        for listener in generation.listeners:
            if listener.socket not in held:
                listener.close()

    def _answer(self, message: dict[str, Any]) -> None:
        replies, self._told = self._told, []
        self._announce.ready()
        for reply in replies:
            reply.end(message)
