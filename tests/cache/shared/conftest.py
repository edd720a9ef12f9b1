# An arena small enough to fill, and the lock that its writers take.
"""Fixtures of the shared cache."""

import mmap
from collections.abc import Iterator

import pytest

from wsrv.engine.cache.shared.arena import Arena
from wsrv.engine.cache.shared.reading import Reader
from wsrv.engine.cache.shared.writing import Writer
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.primitives.robust import RobustLock


@pytest.fixture
def lock() -> Iterator[RobustLock]:
    memory = mmap.mmap(-1, CELL_BYTES)
    lock = RobustLock("cache_writer", memoryview(memory))
    yield lock
    lock.close()


@pytest.fixture
def arena() -> Arena:
    return Arena(64 * 1024, rows=2)


@pytest.fixture
def reader(arena: Arena, lock: RobustLock) -> Reader:
    return Reader(arena, lock)


@pytest.fixture
def writer(arena: Arena, lock: RobustLock) -> Writer:
    return Writer(arena, lock)
