# What a path leads to: files, indexes, redirects; what comes with them; when it has changed.
"""engine/static/site.py and file.py: the ordinary cases."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.static.conftest import RFC_EXAMPLE_SECONDS, MakeSite, find, from_memory, status_of
from wsrv.engine.settings import CacheSettings, SiteSettings
from wsrv.engine.static.entity import Entity, Redirect
from wsrv.engine.static.site import NotServed, Site


def without_waiting(site: Site, path: bytes) -> Entity | None:
    """What `path` leads to by the kernel's memory alone; None where the file system cannot promise not to wait."""
    with open(find_file(site, path), "rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return None
    return from_memory(lambda: site.find(path, b"/" + path, nowait=True))


def find_file(site: Site, path: bytes) -> bytes:
    return os.readlink(f"/proc/self/fd/{site._root.fd}").encode() + b"/" + find(site, path).path


def test_file_comes_whole_with_its_fields(site: Site, root: Path) -> None:
    (root / "a.html").write_bytes(b"<p>a")
    os.utime(root / "a.html", ns=(0, RFC_EXAMPLE_SECONDS * 10**9 + 999_999_999))
    entity = find(site, b"a.html")
    seen = (root / "a.html").stat()
    assert entity.body == b"<p>a"
    assert (entity.status, entity.length, entity.settled, entity.path) == (200, 4, True, b"a.html")
    assert entity.mtime_seconds == RFC_EXAMPLE_SECONDS
    assert entity.fields == (
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Length", b"4"),
        (b"Last-Modified", b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (b"ETag", entity.etag),
        (b"Accept-Ranges", b"bytes"),
        (b"Vary", b"Accept-Encoding"),
        (b"Cache-Control", b"no-cache"),
    )
    assert entity.etag == f'"{seen.st_ctime_ns:x}-4-{seen.st_ino:x}"'.encode()
    assert entity.identity == (seen.st_dev, seen.st_ino, 4, seen.st_mtime_ns, seen.st_ctime_ns)


def test_file_in_memory_is_had_without_waiting(site: Site, root: Path) -> None:
    (root / "a.html").write_bytes(b"a" * 5000)
    entity = without_waiting(site, b"a.html")
    assert entity is None or entity == find(site, b"a.html")


def test_empty_file_is_served(site: Site, root: Path) -> None:
    (root / "a.txt").touch()
    entity = find(site, b"a.txt")
    assert (entity.body, entity.length) == (b"", 0)
    assert from_memory(lambda: site.find(b"a.txt", b"/a.txt", nowait=True)) == entity


def test_file_not_in_memory_is_not_waited_for(site: Site, root: Path) -> None:
    with open(root / "a", "wb") as file:
        file.write(b"a" * 100_000)
        file.flush()
        os.fsync(file.fileno())
        # A wish, which the kernel need not grant at once.
        for _ in range(1000):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                site.find(b"a", b"/a", nowait=True)
            except BlockingIOError:
                break
        else:
            raise AssertionError("a file dropped from memory is waited for")
    assert find(site, b"a").body == b"a" * 100_000


def test_file_system_that_cannot_promise_not_to_wait_is_left_to_the_pool(
    site: Site, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "RWF_NOWAIT")

    (root / "a").write_bytes(b"a")
    monkeypatch.setattr(os, "preadv", refuse)
    with pytest.raises(BlockingIOError):
        site.find(b"a", b"/a", nowait=True)
    assert find(site, b"a").body == b"a"


def test_half_a_file_in_memory_is_left_to_the_pool(site: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a").write_bytes(b"abcd")
    monkeypatch.setattr(os, "preadv", lambda _fd, buffers, *_rest: len(buffers[0]) // 2)
    with pytest.raises(BlockingIOError):
        site.find(b"a", b"/a", nowait=True)


def test_long_file_is_not_read_in_the_loop(site: Site, root: Path) -> None:
    (root / "a").write_bytes(b"a" * 500_000)
    assert len(find(site, b"a").body or b"") == 500_000
    with pytest.raises(BlockingIOError):
        site.find(b"a", b"/a", nowait=True)


def test_file_over_the_bound_comes_without_body(make_site: MakeSite, root: Path) -> None:
    site = make_site(max_object_bytes=4)
    (root / "4").write_bytes(b"1234")
    (root / "5").write_bytes(b"12345")
    assert find(site, b"4").body == b"1234"
    find(site, b"5")
    entity = from_memory(lambda: site.find(b"5", b"/5", nowait=True))
    assert (entity.body, entity.length, entity.status) == (None, 5, 200)
    assert (b"Content-Length", b"5") in entity.fields


def test_index_is_found_at_the_root_and_in_folders(site: Site, root: Path) -> None:
    (root / "index.html").write_bytes(b"root")
    (root / "d").mkdir()
    (root / "d/index.html").write_bytes(b"d")
    assert (find(site, b"").body, find(site, b"").path) == (b"root", b"index.html")
    assert (find(site, b"d/").body, find(site, b"d/").path) == (b"d", b"d/index.html")
    assert find(site, b"d/").content_type == b"text/html; charset=utf-8"


def test_index_name_is_a_setting(root: Path) -> None:
    (root / "home.htm").write_bytes(b"home")
    site = Site(SiteSettings(root=root, pages=root, index="home.htm"), CacheSettings())
    try:
        assert find(site, b"").body == b"home"
    finally:
        site.close()


def test_folder_without_slash_redirects_and_keeps_the_query(site: Site, root: Path) -> None:
    (root / "d").mkdir()
    entity = find(site, b"d", b"a=<b>")
    assert isinstance(entity, Redirect)
    assert (entity.status, entity.settled, entity.etag, entity.last_modified) == (301, False, b"", b"")
    assert (b"Location", b"/d/?a=%3Cb%3E") in entity.fields
    assert (b"Cache-Control", b"no-store") in entity.fields, "the folder may become a file"
    assert entity.body is not None
    assert len(entity.body) == entity.length
    assert not site.unchanged(b"d", entity, nowait=False)


def test_redirect_goes_by_the_path_that_was_asked_for(site: Site, root: Path) -> None:
    (root / "d").mkdir()
    entity = site.find(b"d", b"//outside/%2e./d%65", nowait=False)
    assert (b"Location", b"/de/") in entity.fields


@pytest.mark.parametrize(
    "path", [b"nothing", b"d/", b"", b"a.html/", b"a.html/b", b"nothing/", b"n" * 300, b"n/" * 3000, b"e/", b"a.html\0"]
)
def test_what_is_not_there_is_404(site: Site, root: Path, path: bytes) -> None:
    (root / "a.html").touch()
    (root / "d").mkdir()
    (root / "e/index.html").mkdir(parents=True)
    assert status_of(site, path) == 404


def test_same_file_by_another_name_is_another_type_but_the_same_identity(site: Site, root: Path) -> None:
    (root / "a.html").write_bytes(b"a")
    (root / "a.txt").symlink_to("a.html")
    html, text = find(site, b"a.html"), find(site, b"a.txt")
    assert (html.identity, html.etag) == (text.identity, text.etag)
    assert text.content_type == b"text/plain; charset=utf-8"


def test_unchanged_as_long_as_nothing_changes(site: Site, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/index.html").write_bytes(b"d")
    entity = find(site, b"d/")
    assert from_memory(lambda: site.unchanged(b"d/", entity, nowait=True))
    assert site.unchanged(b"d/", entity, nowait=False)


def write_over(page: Path) -> None:
    page.write_bytes(b"new")


def lengthen(page: Path) -> None:
    with open(page, "ab") as file:
        file.write(b"er")


def touch(page: Path) -> None:
    os.utime(page)


def replace(page: Path) -> None:
    page.with_name("b").write_bytes(b"old")
    os.replace(page.with_name("b"), page)


def link_elsewhere(page: Path) -> None:
    page.with_name("b").write_bytes(b"old")
    page.unlink()
    page.symlink_to("b")


def make_folder(page: Path) -> None:
    page.unlink()
    page.mkdir()


def unlink(page: Path) -> None:
    page.unlink()


@pytest.mark.parametrize(
    "change",
    [write_over, lengthen, touch, replace, link_elsewhere, make_folder, unlink],
    ids=lambda step: step.__name__,
)
def test_change_of_a_file_is_seen(site: Site, root: Path, change: Callable[[Path], None]) -> None:
    (root / "a").write_bytes(b"old")
    os.utime(root / "a", (1, 1))  # so that the next write has another time, even within a tick of the clock
    entity = find(site, b"a")
    assert site.unchanged(b"a", entity, nowait=False)
    change(root / "a")
    assert not site.unchanged(b"a", entity, nowait=False)


def test_entity_of_another_path_is_not_unchanged(site: Site, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    os.link(root / "a", root / "b")
    entity = find(site, b"a")
    assert not site.unchanged(b"b", entity, nowait=False)
    assert not site.unchanged(b".hidden", entity, nowait=False)


def test_revalidation_that_would_wait_is_left_to_the_pool(site: Site, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    entity = find(site, b"a")
    entity.path = b"never-looked-up"
    with pytest.raises(BlockingIOError):
        site.unchanged(b"never-looked-up", entity, nowait=True)


def test_descriptor_and_entity_for_sending_are_of_one_file(site: Site, root: Path) -> None:
    (root / "index.html").write_bytes(b"first")
    fd, entity = site.open_for_sending(b"")
    try:
        (root / "b").write_bytes(b"the second")
        os.replace(root / "b", root / "index.html")
        assert (entity.body, entity.length, entity.path) == (None, 5, b"index.html")
        assert os.pread(fd, 99, 0) == b"first"
        assert entity.identity is not None
        assert entity.identity.ino == os.fstat(fd).st_ino
    finally:
        os.close(fd)


@pytest.mark.parametrize(("path", "status"), [(b"nothing", 404), (b"d", 404), (b".hidden", 404), (b"out", 403)])
def test_what_cannot_be_sent_is_refused(site: Site, root: Path, path: bytes, status: int) -> None:
    (root / "d").mkdir()
    (root / ".hidden").touch()
    (root / "out").symlink_to("../secret")
    with pytest.raises(NotServed) as refused:
        site.open_for_sending(path)
    assert refused.value.status == status


def test_opening_for_sending_may_be_asked_not_to_wait(site: Site) -> None:
    with pytest.raises(BlockingIOError):
        site.open_for_sending(b"never-looked-up", nowait=True)
