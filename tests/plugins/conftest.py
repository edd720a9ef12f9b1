# The leak check and the bound of the contract suites hold here too.
"""Fixtures for the tests of the plugins."""

import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.conftest import bounded, clients, nothing_left_behind
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.testing.processes import Gate
from wsrv.testing.tcp import Clients

__all__ = ["bounded", "clients", "folder", "gate", "memory", "nothing_left_behind", "only"]


@pytest.fixture
def gate(nothing_left_behind: None) -> Iterator[Gate]:
    """To hold a child at."""
    made = Gate()
    yield made
    made.close()


@pytest.fixture
def only(clients: Clients) -> Iterator[Arrival]:
    """One connection, to be copied."""
    (made,) = clients.arrive(1)
    yield made
    os.close(made[0])


@pytest.fixture
def memory() -> Iterator[memoryview]:
    """A cell. At the end its mapping is closed, which fails while anything holds it."""
    with mmap.mmap(-1, CELL_BYTES) as mapping, memoryview(mapping) as cell:
        yield cell


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable folder; what was imported from it is forgotten at the end."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
