# What the contract suites share.
#
# A suite runs for every part that the registry holds: a plugin's parts are tested by being installed.
"""Fixtures of the contract suites."""

import errno
import os
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.contracts.processes import BOUND_SECONDS, open_fds
from tests.contracts.tcp import Clients


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No descriptor and no child is left by any test."""
    before = open_fds()
    yield
    assert open_fds() == before, "descriptors were left open, or closed that were not ours"
    with pytest.raises(ChildProcessError) as ended:
        os.waitpid(-1, os.WNOHANG)
    assert ended.value.errno == errno.ECHILD


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A part that waits for ever fails its test instead of hanging the suite."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"the test did not end in {2 * BOUND_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 2 * BOUND_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def clients(nothing_left_behind: None) -> Iterator[Clients]:
    """TCP clients on loopback, and what the accepted ends of their connections are."""
    with Clients() as made:
        yield made
