# A mapping of one row, and no descriptor left.
"""Fixtures for engine/shm."""

from collections.abc import Iterator

import pytest

from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import Ledger, Row
from wsrv.testing.processes import open_fds


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


@pytest.fixture
def mapping(_no_descriptor_left: None) -> Iterator[Mapping]:
    """A mapping with one row."""
    made = Mapping(0, 64, 1)
    yield made
    made.close()


@pytest.fixture
def row(mapping: Mapping) -> Row:
    """The row of `mapping`."""
    return mapping.rows[0]


@pytest.fixture
def ledger(mapping: Mapping, row: Row) -> Ledger:
    """The pen of the worker that has `row`."""
    return Ledger(row, mapping.asleep, mapping.bell)
