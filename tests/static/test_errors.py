# Which page an error gets, what comes with it, and that there always is one.
"""engine/static/errors.py."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.static.conftest import later, no_descriptor_to_be_had
from wsrv.engine.http.status import REASONS
from wsrv.engine.settings import CacheSettings, SiteSettings
from wsrv.engine.static.errors import ErrorPages
from wsrv.engine.static.site import Site

HTML = b"text/html; charset=utf-8"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An empty folder for bundled pages."""
    folder = tmp_path / "pages"
    folder.mkdir()
    return folder


@pytest.fixture
def pages(site: Site, root: Path, bundle: Path) -> Iterator[ErrorPages]:
    made = ErrorPages(site, SiteSettings(root=root, pages=bundle), CacheSettings(max_object_bytes=1 << 20), clock=later)
    yield made
    made.close()


@pytest.mark.parametrize("status", sorted(status for status in REASONS if status >= 400))
def test_every_error_has_a_page_without_any_file(pages: ErrorPages, status: int) -> None:
    entity = pages.entity(status, nowait=False)
    assert (entity.status, entity.content_type, entity.settled) == (status, HTML, True)
    assert entity.body is not None
    assert b"%d %b" % (status, REASONS[status]) in entity.body
    assert entity.length == len(entity.body)
    assert (entity.etag, entity.last_modified) == (b"", b"")
    assert {b"ETag", b"Last-Modified"}.isdisjoint(dict(entity.fields))
    assert entity.head(status, b"close").render(b"DATE").startswith(b"HTTP/1.1 %d " % status)


def test_page_of_the_site_is_preferred_to_the_bundled_one(pages: ErrorPages, root: Path, bundle: Path) -> None:
    (bundle / "404.html").write_bytes(b"bundled")
    assert pages.entity(404, nowait=False).body == b"bundled"
    (root / "404.html").write_bytes(b"the site's own")
    entity = pages.entity(404, nowait=False)
    assert entity.body == b"the site's own"
    assert entity.fields == ((b"Content-Type", HTML), (b"Content-Length", b"14"))
    assert pages.entity(403, nowait=False).body not in (b"bundled", b"the site's own")


def test_405_says_what_is_allowed_and_503_when_to_come_again(pages: ErrorPages, root: Path) -> None:
    (root / "503.html").write_bytes(b"busy")
    assert (b"Allow", b"GET, HEAD, OPTIONS") in pages.entity(405, nowait=False).fields
    assert (b"Retry-After", b"1") in pages.entity(503, nowait=False).fields


@pytest.mark.parametrize("obstacle", ["folder", "link out", "too long"])
def test_page_that_cannot_be_used_is_passed_over(pages: ErrorPages, root: Path, bundle: Path, obstacle: str) -> None:
    page = root / "404.html"
    if obstacle == "folder":
        page.mkdir()
    elif obstacle == "link out":
        page.symlink_to("../secret")
    else:
        page.write_bytes(b"x" * ((1 << 20) + 1))
    (bundle / "404.html").write_bytes(b"bundled")
    entity = pages.entity(404, nowait=False)
    assert entity.body == b"bundled"
    assert pages.unchanged(entity, nowait=False)


def test_error_is_answered_without_a_descriptor_left(pages: ErrorPages, root: Path) -> None:
    (root / "503.html").write_bytes(b"busy")
    with no_descriptor_to_be_had():
        entity = pages.entity(503, nowait=False)
    assert entity.body is not None
    assert b"503 Service Unavailable" in entity.body
    # As soon as it can be read again, the page is preferred.
    assert not pages.unchanged(entity, nowait=False)


def test_edit_of_a_page_is_noticed_wherever_it_comes(pages: ErrorPages, root: Path, bundle: Path) -> None:
    steps: list[tuple[str, Callable[[], object]]] = [
        ("bundled page comes", lambda: (bundle / "404.html").write_bytes(b"bundled")),
        ("bundled page grows", lambda: (bundle / "404.html").write_bytes(b"bundled anew")),
        ("site's page comes", lambda: (root / "404.html").write_bytes(b"own")),
        ("site's page grows", lambda: (root / "404.html").write_bytes(b"own, anew")),
        ("site's page goes", (root / "404.html").unlink),
        ("bundled page goes", (bundle / "404.html").unlink),
    ]
    for name, step in steps:
        entity = pages.entity(404, nowait=False)
        assert pages.unchanged(entity, nowait=False), f"before: {name}"
        step()
        assert not pages.unchanged(entity, nowait=False), name
    assert pages.entity(404, nowait=False).identity is None


def test_page_not_looked_up_yet_is_not_waited_for(pages: ErrorPages) -> None:
    with pytest.raises(BlockingIOError):
        pages.entity(404, nowait=True)
    assert pages.entity(404, nowait=False).status == 404
