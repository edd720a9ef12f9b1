# Servers for integration tests, and a look at what they leave behind.
"""Fixtures: servers, and the check that nothing is left."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from xprocess import XProcess

from tests.support.download import make_big
from tests.support.launch import Launcher
from tests.support.processes import children
from tests.support.server import Servers, wait_for


def _belongings() -> tuple[set[str], set[int], set[str]]:
    """Our descriptors that lead somewhere, our children, and what lies in /dev/shm."""
    fds = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            fds.add(f"{entry.name} -> {os.readlink(entry.path)}")
        except OSError:
            continue
    pids = {p.pid for p in children(psutil.Process(), recursive=True)}
    return {fd for fd in fds if "/proc/" not in fd}, pids, _in_shm()


def _in_shm() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Descriptors, children and shared memory are after a test what they were before."""
    before = _belongings()
    yield
    after = _belongings()
    assert after[0] <= before[0], f"left behind: descriptors {after[0] - before[0]}"
    assert after[1] <= before[1], f"left behind: children {after[1] - before[1]}"
    # The folder is the machine's: what a browser beside us has there for a moment goes by itself.
    wait_for(lambda: _in_shm() <= before[2], f"/dev/shm without {after[2] - before[2]}")


@contextlib.contextmanager
def _servers(folder: Path, xprocess: XProcess | None = None) -> Iterator[Servers]:
    found = Servers(folder, xprocess)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A document root with an index."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "index.html").write_text("<!doctype html><title>index</title>\n")
    return root


@pytest.fixture
def open_site() -> Iterator[Path]:
    """A document root that other users reach, as they do not what pytest makes for root."""
    with tempfile.TemporaryDirectory(prefix="wsrv-test-") as folder:
        os.chmod(folder, 0o755)
        root = Path(folder) / "site"
        root.mkdir()
        (root / "index.html").write_text("<!doctype html><title>index</title>\n")
        yield root


@pytest.fixture
def big(site: Path) -> Path:
    """The site, with a file `/big` in it that no socket buffer holds."""
    make_big(site)
    return site


@pytest.fixture
def servers(nothing_left_behind: None, tmp_path: Path) -> Iterator[Servers]:
    """Servers that live as long as one test."""
    with _servers(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def module_servers(xprocess: XProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that live as long as the tests of one file, started as a user starts them."""
    with _servers(tmp_path_factory.mktemp("module"), xprocess) as found:
        yield found


@pytest.fixture
def launch(nothing_left_behind: None, tmp_path: Path) -> Iterator[Launcher]:
    """Servers whose streams and exit statuses the test looks at."""
    launcher = Launcher(tmp_path)
    try:
        yield launcher
    finally:
        launcher.end()
