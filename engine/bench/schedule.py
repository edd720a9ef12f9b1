# With a rate, requests are due at even distances, whatever the server does: here is when.
"""When requests are due."""

_SECOND_NS = 1_000_000_000


class Schedule:
    """When requests are due: at even distances, from `began_ns` on."""

    def __init__(self, rate: float, began_ns: int) -> None:
        self._began_ns = began_ns
        self._interval_ns = _SECOND_NS / rate
        self._taken = 0
        self.next_ns = began_ns
        # Whether there was a free connection when nothing more was due: else it is not the generator that is late.
        self.was_free = True

    def take(self) -> int:
        """The time of the next request, which is sent now."""
        due_ns = self.next_ns
        self._taken += 1
        self.next_ns = self._began_ns + int(self._taken * self._interval_ns)
        return due_ns

    def unsent(self, end_ns: int) -> int:
        """How many were due before `end_ns`, and were not sent."""
        return max(0, int((end_ns - 1 - self._began_ns) / self._interval_ns) + 1 - self._taken)
