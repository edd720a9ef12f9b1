# Files that change while they are read. The reading itself is made to do the writer's work at the worst moment.
"""engine/static: stamps and bytes always belong together."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.static.conftest import find, status_of
from wsrv.engine.static.site import Site

Hook = Callable[[Callable[[], object]], None]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.fixture
def during_read(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Has something done between the first byte and the last of each reading: half is read before, half after."""

    def install(writer: Callable[[], object]) -> None:
        real = os.pread

        def pread(fd: int, size: int, offset: int) -> bytes:
            first = real(fd, size // 2, offset)
            writer()
            return first + real(fd, size - len(first), offset + len(first))

        monkeypatch.setattr(os, "pread", pread)

    return install


def once(writer: Callable[[], object]) -> Callable[[], object]:
    """`writer`, the first time only."""
    left = [writer]
    return lambda: left.pop()() if left else None


@pytest.fixture
def page(root: Path) -> Path:
    """A file of a known, old mtime, so that any write changes it."""
    path = root / "a"
    path.write_bytes(b"o" * 100)
    os.utime(path, (1, 1))
    return path


def test_file_written_over_while_read_is_read_again(
    site: Site, page: Path, during_read: Hook, pauses: list[float]
) -> None:
    during_read(once(lambda: page.write_bytes(b"n" * 100)))
    entity = find(site, b"a")
    assert entity.body == b"n" * 100
    assert entity.mtime_seconds > 1
    assert site.unchanged(b"a", entity, nowait=False)
    assert len(pauses) == 1


@pytest.mark.parametrize("size", [0, 40, 400])
def test_file_cut_or_grown_while_read_is_read_again(
    site: Site, page: Path, during_read: Hook, pauses: list[float], size: int
) -> None:
    during_read(once(lambda: page.write_bytes(b"n" * size)))
    entity = find(site, b"a")
    assert (entity.body, entity.length) == (b"n" * size, size)
    assert (b"Content-Length", b"%d" % size) in entity.fields


def test_file_replaced_while_read_is_old_with_old_stamps_or_new_with_new(
    site: Site, page: Path, root: Path, during_read: Hook, pauses: list[float]
) -> None:
    (root / "b").write_bytes(b"n" * 100)
    inodes = {page.stat().st_ino: b"o" * 100, (root / "b").stat().st_ino: b"n" * 100}
    during_read(once(lambda: os.replace(root / "b", page)))
    entity = find(site, b"a")
    assert entity.identity is not None
    assert entity.body == inodes[entity.identity.ino]
    assert site.unchanged(b"a", entity, nowait=False) == (entity.body == b"n" * 100)


def test_file_that_never_holds_still_is_503_after_five_readings(
    site: Site, page: Path, during_read: Hook, pauses: list[float]
) -> None:
    def grow() -> None:
        with open(page, "ab") as appended:
            appended.write(b"n")

    during_read(grow)
    assert status_of(site, b"a") == 503
    assert page.stat().st_size == 105
    assert sum(pauses) < 0.02


def test_file_that_changes_in_the_loop_is_left_to_the_pool(
    site: Site, page: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    def preadv(_fd: int, buffers: list[bytearray], *_rest: int) -> int:
        page.write_bytes(b"n" * 100)
        return len(buffers[0])

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(BlockingIOError):
        site.find(b"a", b"/a", nowait=True)
    assert pauses == []
