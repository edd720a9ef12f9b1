# Interrupt moderation: while connections come fast, the master waits a moment before it accepts, and takes in many.
#
# A round costs a waking of the master, a message and a waking of a worker, whether it brings one connection or thirty.
# Network drivers have the same trouble with packets, and the same cure (Mogul and Ramakrishnan, "Eliminating Receive
# Livelock", 1997; rx-usecs of ethtool(8)).
#
# Whoever comes to a server that is not busy is not kept waiting.
"""When the next round of accepting begins."""

from time import monotonic_ns, sleep

# Busy: more connections than one in this time, 5,000 a second.
_APART_NS = 200_000
# At that rate five come in it. Longer pauses gain little; their length is what a client of a busy server waits longer.
_PAUSE_SECONDS = 0.001


class Moderation:
    """Lengthens the rounds of one loop that accepts."""

    __slots__ = ("_busy_until_ns",)

    def __init__(self) -> None:
        self._busy_until_ns = 0

    def is_busy(self) -> bool:
        """Whether connections come fast, by the last round that brought any."""
        return monotonic_ns() < self._busy_until_ns

    def gather(self) -> bool:
        """Wait until there are some more, if they come fast. Whether they do."""
        if self.is_busy():
            sleep(_PAUSE_SECONDS)
            return True
        return False

    def note(self, accepted: int, limit: int) -> None:
        """A round has brought so many. As many as it may, its `limit`: the next one is full too without a pause."""
        self._busy_until_ns = monotonic_ns() + accepted * _APART_NS if accepted < limit else 0
