# Who takes a long answer has his turn when those with short ones have been served.
#
# Rule 1: a turn is up to eight megabytes given to the kernel, and a millisecond or a little more. A round of the loop
#         makes turns for a bounded time, so whoever asks waits for that long, however many are ready to take more.
# Rule 2: who stands in line is not waited for by epoll: hundreds of them would crowd out the others. Whose turn is over
#         before he can take no more stays in line.
"""The line of connections that can take more of their answers."""

from collections.abc import Callable
from time import monotonic_ns

from wsrv.engine.worker.connection import WRITE, Connection, Connections

# One turn is made whatever it takes.
_ROUND_NS = 2_000_000


class Turns:
    """Turns for those in the line of `connections`. `go_on` makes one; if there is more to write, it puts the
    connection in line again, or has epoll wait for it."""

    def __init__(
        self,
        connections: Connections,
        go_on: Callable[[Connection, int], None],
        clock: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._go_on = go_on
        self._clock = clock
        self._line = connections.line

    def __len__(self) -> int:
        """How many stand in line; while there is one, the loop must not sleep."""
        return len(self._line)

    def add(self, conn: Connection) -> None:
        """`conn` is in the state WRITE, and epoll has said that it can take more."""
        self._line.append(conn)

    def turn(self, now_ns: int) -> None:
        """Make turns for a bounded time."""
        line = self._line
        until_ns = self._clock() + _ROUND_NS
        while line:
            conn = line.popleft()
            # Its client may have left since.
            if conn.state == WRITE:
                self._go_on(conn, now_ns)
            if self._clock() >= until_ns:
                return
