# Workbenches, and what every test here has to leave behind: no descriptor.
"""Fixtures for engine/worker."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.static.conftest import open_descriptors
from tests.worker.guards import send_home
from tests.worker.parts import FILES, HELD
from tests.worker.workbench import Workbench
from wsrv.engine.worker import delivery
from wsrv.engine.worker.clock import SECOND_NS

MakeBench = Callable[..., Workbench]


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


@pytest.fixture(autouse=True)
def _turns_end_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with much to do is no reason for a test to see a shorter turn."""
    monkeypatch.setattr(delivery, "_TURN_NS", 3600 * SECOND_NS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder to serve, with one small page."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"alpha")
    return folder


@pytest.fixture
def make_bench(root: Path, _no_descriptor_left: None) -> Iterator[MakeBench]:
    """Makes workbenches over `root` and clears them away."""
    made: list[Workbench] = []

    def make(**settings: object) -> Workbench:
        bench = Workbench(root, **settings)  # type: ignore[arg-type]  # what Workbench takes, by name
        made.append(bench)
        return bench

    yield make
    # Of all of them before any: each then waits until there are no pool threads at all.
    send_home(*(bench.locks for bench in made))
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> Workbench:
    """A workbench over `root`."""
    return make_bench()


@pytest.fixture
def files(root: Path) -> Path:
    """The site, with all of FILES in it."""
    for path, content in FILES.items():
        (root / path[1:].decode()).write_bytes(content)
    return root


@pytest.fixture
def held(make_bench: MakeBench, files: Path) -> Workbench:
    """A workbench that holds the first two of FILES and streams the third."""
    return make_bench(cache=HELD)
