"""Files that are never served: by name anywhere, by identity under any name."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.static.conftest import find, from_memory, later, no_descriptor_to_be_had, status_of
from wsrv.engine.settings import CacheSettings, SiteSettings
from wsrv.engine.static import withheld
from wsrv.engine.static.site import NotServed, Site
from wsrv.engine.static.withheld import Withheld

PAGE = b"a page of forty bytes, which is no secret"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config file in use, beside the root."""
    path = tmp_path / "in-use"
    path.write_bytes(b"the config")
    return path


@pytest.fixture
def guarded(root: Path, config: Path) -> Iterator[Site]:
    """A site that withholds `config`."""
    (root / "page.txt").write_bytes(PAGE)
    with contextlib.closing(
        Site(SiteSettings(root=root, pages=root, withheld=(config,)), CacheSettings(), clock=later)
    ) as site:
        yield site


CONFIG_NAMES = (
    b"wsrv.toml server.conf a/b/wsrv.toml WSRV.Toml wsrv.toml~ #wsrv.toml# server.conf.bak wsrv.toml.orig wsrv.toml.swp"
)


@pytest.mark.parametrize("path", [*CONFIG_NAMES.split(), b"wsrv.toml. "])
def test_name_of_a_config_file_is_withheld_anywhere(site: Site, root: Path, path: bytes) -> None:
    file = root / os.fsdecode(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"secret")
    assert Withheld(()).names(path)
    assert status_of(site, path) == 404
    with pytest.raises(NotServed) as refused:
        site.open_for_sending(path)
    assert refused.value.status == 404


COPIES = b"""in-use.1 in-use.12 in-use.1.gz in-use-20261124 in-use-20261124.zst in-use.gz in-use~ #in-use# in-use.bak
    a/IN-USE.old"""


@pytest.mark.parametrize("path", COPIES.split())
def test_copies_of_what_the_settings_name_are_withheld_too(guarded: Site, root: Path, path: bytes) -> None:
    file = root / os.fsdecode(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"secret")
    assert status_of(guarded, path) == 404
    with pytest.raises(NotServed) as refused:
        guarded.open_for_sending(path)
    assert refused.value.status == 404


@pytest.mark.parametrize("path", ["in-use", "in-use.html", "in-use.1.html", "my-in-use.1", "in-use1", "in-use.1a"])
def test_what_is_no_copy_is_served(guarded: Site, root: Path, path: str) -> None:
    (root / path).write_bytes(PAGE)
    assert find(guarded, path.encode()).body == PAGE


@pytest.mark.parametrize(
    "path", [b"wsrv.toml.html", b"my-wsrv.toml", b"wsrvxtoml", b"wsrv.toml/page.html", b"", b"conf"]
)
def test_name_that_only_looks_like_one_is_served(path: bytes) -> None:
    assert not Withheld(()).names(path)


def test_file_in_use_is_404_under_every_name(guarded: Site, root: Path, config: Path) -> None:
    os.link(config, root / "hard.txt")
    (root / "soft.txt").symlink_to("hard.txt")
    for path in (b"hard.txt", b"soft.txt"):
        assert status_of(guarded, path) == 404
        with pytest.raises(NotServed) as refused:
            guarded.open_for_sending(path)
        assert refused.value.status == 404
    assert find(guarded, b"page.txt").body == PAGE


def test_file_in_use_may_lie_in_the_root_under_a_name_of_its_own(root: Path) -> None:
    (root / "mine.txt").write_bytes(b"the config")
    (root / "link.txt").symlink_to("mine.txt")
    settings = SiteSettings(root=root, pages=root, withheld=(root / "mine.txt",))
    with contextlib.closing(Site(settings, CacheSettings(), clock=later)) as site:
        assert (status_of(site, b"mine.txt"), status_of(site, b"link.txt")) == (404, 404)
        with pytest.raises(NotServed):
            from_memory(lambda: site.find(b"link.txt", b"/link.txt", nowait=True))
        # As editors save: another file under the same name, at once.
        (root / "new").write_bytes(b"the new config")
        os.replace(root / "new", root / "mine.txt")
        assert (status_of(site, b"mine.txt"), status_of(site, b"link.txt")) == (404, 404)


def test_file_that_was_in_use_once_is_served_like_any_other(guarded: Site, root: Path, config: Path) -> None:
    os.link(config, root / "old.txt")
    config.unlink()
    assert find(guarded, b"old.txt").body == b"the config"
    config.write_bytes(b"the next one")
    assert find(guarded, b"old.txt").body == b"the config"


def test_error_page_that_leads_to_it_is_not_used(guarded: Site, root: Path, config: Path) -> None:
    os.link(config, root / "404.html")
    with pytest.raises(NotServed):
        guarded.load(b"404.html", nowait=False)


def test_page_that_becomes_a_file_in_use_is_noticed(guarded: Site, root: Path, config: Path) -> None:
    entity = find(guarded, b"page.txt")
    config.unlink()
    os.link(root / "page.txt", config)
    assert not guarded.unchanged(b"page.txt", entity, nowait=False)
    assert status_of(guarded, b"page.txt") == 404


def test_only_loading_asks(guarded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Withheld, "holds", lambda self, dev, ino, *, nowait: asked.append(ino))
    monkeypatch.setattr(Withheld, "names", lambda self, path: asked.append(0))
    entity = find(guarded, b"page.txt")
    assert len(asked) == 2
    assert guarded.unchanged(b"page.txt", entity, nowait=False)
    assert len(asked) == 2


def test_nothing_withheld_costs_no_look_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_more: object) -> int:
        raise AssertionError("looked up")

    monkeypatch.setattr(withheld, "open_anywhere", fail)
    assert not Withheld(()).holds(1, 2, nowait=True)


def test_look_up_that_would_wait_is_left_to_the_pool(root: Path, tmp_path: Path) -> None:
    (root / "page.txt").write_bytes(PAGE)
    settings = SiteSettings(root=root, pages=root, withheld=(tmp_path / "a" / "never-looked-up",))
    with contextlib.closing(Site(settings, CacheSettings(), clock=later)) as site:
        (tmp_path / "a").mkdir()
        with pytest.raises(BlockingIOError):
            site.find(b"page.txt", b"/page.txt", nowait=True)
        assert find(site, b"page.txt").body == PAGE
        assert from_memory(lambda: site.find(b"page.txt", b"/page.txt", nowait=True)).body == PAGE


def test_file_that_may_not_be_looked_up_any_more_is_known_from_before(
    guarded: Site, root: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.link(config, root / "hard.txt")

    def refuse(*_arguments: object, **_more: object) -> int:
        raise PermissionError(errno.EACCES, "as after a change of user")

    monkeypatch.setattr(withheld, "open_anywhere", refuse)
    assert status_of(guarded, b"hard.txt") == 404
    assert find(guarded, b"page.txt").body == PAGE


def test_what_cannot_be_told_is_not_served(guarded: Site, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_more: object) -> int:
        raise OSError(errno.EMFILE, "no descriptor")

    monkeypatch.setattr(withheld, "open_anywhere", refuse)
    assert status_of(guarded, b"page.txt") == 503
    with pytest.raises(NotServed) as refused:
        guarded.open_for_sending(b"page.txt")
    assert refused.value.status == 503


def test_no_descriptor_at_start_is_no_end(config: Path) -> None:
    with no_descriptor_to_be_had():
        kept = Withheld((config,))
    seen = config.stat()
    assert kept.holds(seen.st_dev, seen.st_ino, nowait=False)
