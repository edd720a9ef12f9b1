"""Rings to be read by a worker of the test's own."""

from collections.abc import Iterator

import pytest

from wsrv.plugins.transports import pidfd_getfd
from wsrv.plugins.transports.pidfd_getfd import PidfdGetfdChannel


@pytest.fixture
def channel(nothing_left_behind: None) -> Iterator[PidfdGetfdChannel]:
    made = PidfdGetfdChannel(8)
    yield made
    made.close()


@pytest.fixture
def other(nothing_left_behind: None) -> Iterator[PidfdGetfdChannel]:
    made = PidfdGetfdChannel(8)
    yield made
    made.close()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two connections a round, so that three take the way of the many."""
    monkeypatch.setattr(pidfd_getfd, "ROUND", 2)
