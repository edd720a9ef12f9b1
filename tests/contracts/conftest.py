# What the contract suites share.
#
# A suite runs for every part that the registry holds: a plugin's parts are tested by being installed.
"""Fixtures of the contract suites."""

import errno
import os
from collections.abc import Iterator

import pytest

from tests.contracts.processes import open_fds
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


@pytest.fixture
def clients(nothing_left_behind: None) -> Iterator[Clients]:
    """TCP clients on loopback, and what the accepted ends of their connections are."""
    with Clients() as made:
        yield made
