# What the suites need around a test. As context managers, so that other tests can have the same without the classes.
"""Nothing is left behind, nothing waits for ever."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from wsrv.testing.processes import BOUND_SECONDS, Gate, child_pids, open_fds
from wsrv.testing.tcp import Clients


@contextmanager
def leaving_nothing() -> Iterator[None]:
    """Raises AssertionError at the end when descriptors or children are others than before."""
    before, children = open_fds(), child_pids()
    yield
    assert open_fds() == before, "descriptors were left open, or closed that were not ours"
    assert child_pids() == children, "children were left behind, or waited for that were not ours"


@contextmanager
def ending_in_time(seconds: float = 2 * BOUND_SECONDS) -> Iterator[None]:
    """A part that waits for ever fails its test instead of hanging the suite."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"the test did not end in {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Surroundings:
    """The fixtures of the suites, for whoever inherits."""

    @pytest.fixture(autouse=True)
    def nothing_left_behind(self) -> Iterator[None]:
        with leaving_nothing():
            yield

    @pytest.fixture(autouse=True)
    def bounded(self) -> Iterator[None]:
        with ending_in_time():
            yield

    @pytest.fixture
    def clients(self, nothing_left_behind: None) -> Iterator[Clients]:
        """TCP clients on loopback, and what the accepted ends of their connections are."""
        with Clients() as made:
            yield made

    @pytest.fixture
    def gate(self, nothing_left_behind: None) -> Iterator[Gate]:
        made = Gate()
        yield made
        made.close()
