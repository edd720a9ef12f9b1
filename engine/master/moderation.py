# Interrupt moderation: while connections come fast, the master waits a moment before it accepts, and takes in many.
#
# A round costs a waking of the master, a message and a waking of a worker, whether it brings one connection or thirty.
# Network drivers have the same trouble with packets, and the same cure (Mogul and Ramakrishnan, "Eliminating Receive
# Livelock", 1997; rx-usecs of ethtool(8)).
#
# Whoever comes to a server that is not busy is not kept waiting.
"""When the next round of accepting begins."""

from time import monotonic_ns, sleep

# Busy: more connections than one in this time, 5,000 a second,
_APART_NS = 200_000
# in the mean of so long: a crowd of clients that come once, and stay, is not yet busyness.
_WINDOW_NS = 20_000_000
# At that rate ten come in it. Longer pauses gain little; their length is what a client of a busy server waits longer.
_PAUSE_SECONDS = 0.002


class Moderation:
    """Lengthens the rounds of one loop that accepts."""

    __slots__ = ("_accepted", "_began_ns", "_was_busy", "_was_full")

    def __init__(self) -> None:
        self._began_ns = 0
        self._accepted = 0
        self._was_busy = False
        self._was_full = False

    def is_busy(self) -> bool:
        """Whether connections came fast in the last window, and it has not been quiet since."""
        return self._was_busy and monotonic_ns() - self._began_ns < 2 * _WINDOW_NS

    def gather(self) -> bool:
        """Wait until there are some more, if they come fast and there is room for them. Whether they come fast."""
        busy = self.is_busy()
        if busy and not self._was_full:
            sleep(_PAUSE_SECONDS)
        return busy

    def note(self, accepted: int, limit: int) -> None:
        """A round has brought so many. As many as it may, its `limit`: the next one is full too without a pause."""
        self._was_full = accepted >= limit
        self._accepted += accepted
        now_ns = monotonic_ns()
        took_ns = now_ns - self._began_ns
        if took_ns >= _WINDOW_NS:
            self._was_busy = self._accepted * _APART_NS > took_ns
            self._began_ns = now_ns
            self._accepted = 0
