# The second, told once: what changes in every answer and every log line when it turns.
"""The worker's clock: monotonic nanoseconds, and the two texts of the current second."""

import time

from wsrv.engine.http.dates import http_date
from wsrv.engine.log.format import Format

SECOND_NS = 1_000_000_000


class Clock:
    """Holds the Date field and the log stamp of this second. `second_ends_ns` is when they expire."""

    def __init__(self, log_format: Format) -> None:
        self._format = log_format
        self.second_ends_ns = 0
        self._next_second = 0
        self.date = b""
        self.stamp = b""

    def turn(self, now_ns: int) -> None:
        """Bring the texts up to date at `now_ns`, a reading of CLOCK_MONOTONIC made just before."""
        if now_ns < self.second_ends_ns:
            return
        wall_ns = time.time_ns()
        second, past_ns = divmod(wall_ns, SECOND_NS)
        self.second_ends_ns = now_ns + SECOND_NS - past_ns
        self._next_second = second + 1
        self.date = http_date(second)
        self.stamp = self._format.stamp(second)

    def not_before(self, second: int) -> None:
        """Turn, if `second` has begun since. No answer is older than the file that it brings (RFC 9110 8.8.2.1), which
        may have been modified after the round began."""
        if second >= self._next_second:
            self.turn(time.monotonic_ns())

    def wall_seconds(self, at_ns: int) -> int:
        """The wall clock, in whole seconds, at `at_ns` of CLOCK_MONOTONIC."""
        return self._next_second + (at_ns - self.second_ends_ns) // SECOND_NS
