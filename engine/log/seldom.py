# What may go wrong many times a second is told once a minute.
"""Complaints that are not repeated all the time."""

import time
from collections.abc import Callable

_EVERY_SECONDS = 60.0


class Seldom:
    """Tells the same thing to `complain` once a minute at most."""

    def __init__(self, complain: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._complain = complain
        self._clock = clock
        self._told: dict[str, float] = {}

    def tell(self, text: str) -> bool:
        """Tell it, unless it was told within the last minute; whether it was told now."""
        now = self._clock()
        if now - self._told.get(text, -_EVERY_SECONDS) < _EVERY_SECONDS:
            return False
        self._told[text] = now
        self._complain(text)
        return True
