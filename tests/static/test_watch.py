# Real folders, watched by the kernel; only the time after which a watch begins anew is the test's.
"""Watches: what ends the stillness of a folder, and what is never watched."""

import fcntl
import os
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.suites.processes import wait_readable
from wsrv.engine.static.openat2 import open_beneath
from wsrv.engine.static.watch import PAUSE_NS, Folder, Watches

DEEP = b"a/b"
_NOT_STILL = sys.maxsize


class Site:
    """A root with folders in it, and the watches over it. `now_ns` is what both sides read off the clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_ns = 1
        self.fd = os.open(root, os.O_PATH)
        self.watches = Watches(most=4, clock=lambda: self.now_ns)

    def open_folder(self, path: bytes) -> int:
        return open_beneath(self.fd, path, os.O_PATH | os.O_DIRECTORY, no_links=True)

    def folder(self, path: bytes) -> Folder | None:
        return self.watches.folder(self, path, self.open_folder, self.now_ns)

    def is_still(self, path: bytes) -> bool:
        """As of now, nothing of what has happened being unheard. Asking watches the folder, if that is due."""
        self.watches.turn()
        folder = self.folder(path)
        return folder is not None and folder.since_ns <= self.now_ns

    def close(self) -> None:
        self.watches.close()
        os.close(self.fd)


@pytest.fixture
def site(tmp_path: Path, _no_descriptor_left: None) -> Iterator[Site]:
    root = tmp_path / "site"
    (root / "a" / "b").mkdir(parents=True)
    (root / "c").mkdir()
    for place in (root, root / "a", root / "a" / "b", root / "c"):
        (place / "x.txt").write_bytes(b"x")
    site = Site(root)
    yield site
    site.close()


def _append(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(b"more")


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda folder: (folder / "x.txt").write_bytes(b"y"),
    "appended to": lambda folder: _append(folder / "x.txt"),
    "cut": lambda folder: os.truncate(folder / "x.txt", 0),
    "dated": lambda folder: os.utime(folder / "x.txt", (1, 1)),
    "forbidden": lambda folder: (folder / "x.txt").chmod(0),
    "deleted": lambda folder: (folder / "x.txt").unlink(),
    "renamed": lambda folder: (folder / "x.txt").rename(folder / "y.txt"),
    "replaced": lambda folder: (folder.parent / "x.txt").rename(folder / "x.txt"),
    "taken away": lambda folder: (folder / "x.txt").rename(folder.parent / "y.txt"),
    "given a sibling": lambda folder: (folder / "x.txt.gz").write_bytes(b""),
    "given a name": lambda folder: os.link(folder / "x.txt", folder / "y.txt"),
    "given a link": lambda folder: os.symlink("x.txt", folder / "y.txt"),
    "closed to others": lambda folder: folder.chmod(0o700),
    "moved": lambda folder: folder.rename(folder.parent / "elsewhere"),
}


@pytest.mark.parametrize("how", CHANGES)
def test_whatever_happens_in_a_folder_ends_its_stillness(site: Site, how: str) -> None:
    assert site.is_still(DEEP)
    CHANGES[how](site.root / "a" / "b")
    assert not site.is_still(DEEP)


@pytest.mark.parametrize("how", CHANGES)
def test_whatever_happens_on_the_way_to_it_does_too(site: Site, how: str) -> None:
    assert site.is_still(DEEP)
    CHANGES[how](site.root / "a")
    assert not site.is_still(DEEP)


def test_what_comes_from_where_nobody_watches_ends_it_too(site: Site) -> None:
    assert site.is_still(DEEP)
    (site.root / "c" / "x.txt").rename(site.root / "a" / "b" / "x.txt")
    assert not site.is_still(DEEP)


def test_a_file_that_is_written_through_memory_is_heard_of_when_its_writer_is_done(site: Site) -> None:
    import mmap

    fd = os.open(site.root / "a" / "b" / "x.txt", os.O_RDWR)
    memory = mmap.mmap(fd, 1)
    os.close(fd)
    assert site.is_still(DEEP)
    memory[:] = b"y"
    memory.close()
    assert not site.is_still(DEEP)


def test_what_happens_beside_it_or_beneath_it_does_not_matter(site: Site) -> None:
    (site.root / "a" / "b" / "deeper").mkdir()
    assert site.is_still(DEEP)
    (site.root / "c" / "x.txt").write_bytes(b"y")
    (site.root / "a" / "b" / "deeper" / "x.txt").write_bytes(b"y")
    (site.root / "a" / "b" / "x.txt").read_bytes()
    os.listdir(site.root / "a" / "b")
    assert site.is_still(DEEP)


def test_folders_are_still_each_for_itself_and_their_way_is_watched_once(site: Site) -> None:
    assert all(site.is_still(path) for path in (b"", b"a", b"c", DEEP))
    assert len(site.watches) == 4
    (site.root / "c" / "x.txt").write_bytes(b"y")
    assert [site.is_still(path) for path in (b"", b"a", b"c", DEEP)] == [True, True, False, True]
    (site.root / "x.txt").write_bytes(b"y")
    assert not any(site.is_still(path) for path in (b"", b"a", b"c", DEEP))


def test_it_is_still_from_when_it_is_watched_and_no_earlier(site: Site) -> None:
    site.now_ns = 1000
    folder = site.folder(DEEP)
    assert folder is not None
    assert folder.since_ns == 1000


def test_after_a_change_it_is_left_alone_for_a_while_and_then_watched_again(site: Site) -> None:
    assert site.is_still(DEEP)
    (site.root / "a" / "b" / "x.txt").write_bytes(b"y")
    assert not site.is_still(DEEP)
    site.now_ns += PAUSE_NS - 1
    assert not site.is_still(DEEP)
    site.now_ns += 1
    assert site.is_still(DEEP)
    (site.root / "a" / "b" / "x.txt").write_bytes(b"z")
    assert not site.is_still(DEEP)


def test_who_writes_on_and_on_makes_one_event(site: Site) -> None:
    assert site.is_still(DEEP)
    for _ in range(1000):
        _append(site.root / "a" / "b" / "x.txt")
        (site.root / "a" / "b" / "x.txt").rename(site.root / "a" / "b" / "x.txt.1")
        (site.root / "a" / "b" / "x.txt.1").rename(site.root / "a" / "b" / "x.txt")
    wait_readable(site.watches.fileno())
    waiting = int.from_bytes(fcntl.ioctl(site.watches.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
    assert waiting <= 2 * 32, "the change and the end of the watch"


def test_a_folder_behind_a_link_is_not_watched(site: Site) -> None:
    os.symlink("a", site.root / "link")
    assert not site.is_still(b"link")
    assert not site.is_still(b"link/b")


def test_a_link_in_the_place_of_a_folder_on_the_way_ends_it(site: Site) -> None:
    assert site.is_still(DEEP)
    (site.root / "a").rename(site.root / "other")
    os.symlink("other", site.root / "a")
    assert not site.is_still(DEEP)
    site.now_ns += PAUSE_NS
    assert not site.is_still(DEEP)


def test_file_systems_that_others_write_to_are_not_watched() -> None:
    site = Site(Path("/proc"))
    try:
        assert not site.is_still(b"sys")
    finally:
        site.close()


def test_what_is_not_there_is_not_watched_and_asked_for_seldom(site: Site) -> None:
    assert not site.is_still(b"new")
    (site.root / "new").mkdir()
    assert not site.is_still(b"new")
    site.now_ns += PAUSE_NS
    assert site.is_still(b"new")


def test_there_are_so_many_and_no_more(site: Site) -> None:
    for name in "12345":
        (site.root / name).mkdir()
    assert [site.is_still(name) for name in (b"1", b"2", b"3", b"4", b"5")] == [True] * 4 + [False]


def test_with_another_root_nothing_is_still(site: Site) -> None:
    held = site.folder(DEEP)
    assert held is not None
    site.watches.distrust()
    assert held.since_ns == _NOT_STILL
    assert site.is_still(DEEP), "the new one is watched at once"
    assert site.folder(DEEP) is not held


def test_where_the_kernel_lost_count_nothing_is_still(site: Site) -> None:
    # It loses count at 16,384 events, which is more than the watches of one worker make: so the event is put there.
    assert site.is_still(DEEP)
    theirs, ours = os.pipe()
    os.dup2(theirs, site.watches.fileno(), inheritable=False)
    os.close(theirs)
    os.write(ours, struct.pack("iIII", -1, 0x4000, 0, 0))
    assert not site.is_still(DEEP)
    os.close(ours)
