"""A robust lock and a semaphore made of one."""

from collections.abc import Iterator

import pytest

from wsrv.plugins.primitives.robust import RobustLock, RobustSemaphore


@pytest.fixture
def lock(memory: memoryview) -> Iterator[RobustLock]:
    made = RobustLock("the writer", memory)
    yield made
    made.close()


@pytest.fixture
def semaphore(memory: memoryview) -> Iterator[RobustSemaphore]:
    """Three permits."""
    made = RobustSemaphore("the queue", memory, 3)
    yield made
    made.close()
