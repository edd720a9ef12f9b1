# A site of real files, and what every test here has to leave behind: no descriptor.
"""Fixtures for engine/static."""

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from wsrv.engine.settings import CacheSettings, SiteSettings
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.site import NotServed, Site

MakeSite = Callable[..., Site]
Result = TypeVar("Result")

RFC_EXAMPLE_SECONDS = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT


def later() -> int:
    """A wall clock ten seconds ahead, for which every file has rested long enough to be kept."""
    return time.time_ns() + 10_000_000_000


def open_descriptors() -> set[tuple[int, str]]:
    """Number and target of each descriptor of this process."""
    folder = "/proc/self/fd"
    found = set()
    for number in os.listdir(folder):
        try:
            found.add((int(number), os.readlink(f"{folder}/{number}")))
        except FileNotFoundError:
            continue  # the one that listed the folder
    return found


def find(site: Site, path: bytes, query: bytes = b"") -> Entity:
    """What `path` leads to, asked for by that very path."""
    return site.find(path, b"/" + path, nowait=False, query=query)


def status_of(site: Site, path: bytes) -> int:
    """The status of the refusal that `path` meets."""
    with pytest.raises(NotServed) as refused:
        find(site, path)
    return refused.value.status


def from_memory(call: Callable[[], Result]) -> Result:
    """What `call`, which does not wait, gives for a thing in memory."""
    # The kernel may say EAGAIN at any time (something is mounted anywhere, memory is short), so it is asked again.
    for _ in range(1000):
        with contextlib.suppress(BlockingIOError):
            return call()
    raise AssertionError("what is in memory is never had without waiting")


@contextlib.contextmanager
def no_descriptor_to_be_had() -> Iterator[None]:
    """This process at its descriptor limit, for the length of the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


@pytest.fixture
def root(tmp_path: Path, _no_descriptor_left: None) -> Path:
    """An empty folder to serve, and a secret beside it."""
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def make_site(root: Path) -> Iterator[MakeSite]:
    """Makes sites over `root` and closes them."""
    made: list[Site] = []

    def make(
        clock: Callable[[], int] = later, max_object_bytes: int = 1 << 20, path: Path = root, **settings: Any
    ) -> Site:
        cache = CacheSettings(max_object_bytes=max_object_bytes)
        site = Site(SiteSettings(root=path, pages=path / "no-pages", **settings), cache, clock=clock)
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """The site over `root`, where every file counts as settled."""
    return make_site()
