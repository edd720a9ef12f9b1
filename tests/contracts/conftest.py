# The surroundings of the contract suites, for tests that are no subclasses of one.
"""Fixtures that tests of parts import."""

from collections.abc import Iterator

import pytest

from wsrv.testing.surroundings import ending_in_time, leaving_nothing
from wsrv.testing.tcp import Clients


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No descriptor and no child is left by any test."""
    with leaving_nothing():
        yield


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """No test hangs."""
    with ending_in_time():
        yield


@pytest.fixture
def clients(nothing_left_behind: None) -> Iterator[Clients]:
    """TCP clients on loopback, and what the accepted ends of their connections are."""
    with Clients() as made:
        yield made
