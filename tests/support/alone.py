# Two locks, because flock lets new readers in before a writer that waits: whoever comes passes the door one at a time,
# and a test that waits for the machine stands in it. They are on folders of the checkout, so nothing is made or left.
"""Tests that share the machine, and those that have it to themselves, among the processes of one run."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Machine:
    """Held by every test of the repository at `root`: shared, or alone. Two descriptors are open until close()."""

    def __init__(self, root: Path) -> None:
        self._door = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
        self._machine = os.open(root / "tests", os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """Wait until nobody else is there (`alone`), or nobody who is alone. Then hold it for the block."""
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # Said, not left to closing: a forked child may still have the descriptor.
            fcntl.flock(self._machine, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._door)
        os.close(self._machine)
