# A root that is swapped, goes, comes back, or was never there.
"""engine/static/root.py."""

import os
from pathlib import Path

import pytest

from tests.static.conftest import MakeSite, find, status_of
from wsrv.engine.static.openat2 import open_directory
from wsrv.engine.static.root import Root

SECOND = 1_000_000_000


@pytest.fixture
def releases(tmp_path: Path, _no_descriptor_left: None) -> Path:
    """The link `current`, which leads to `v1`, beside which `v2` waits."""
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_bytes(name.encode())
    (tmp_path / "current").symlink_to("v1")
    return tmp_path


def swap(releases: Path) -> None:
    """Let `current` lead to v2, atomically."""
    (releases / "next").symlink_to("v2")
    os.replace(releases / "next", releases / "current")


def test_link_to_another_release_is_noticed(releases: Path, make_site: MakeSite) -> None:
    site = make_site(path=releases / "current")
    entity = find(site, b"")
    assert entity.body == b"v1"
    assert not site.check_root(10 * SECOND, nowait=False)
    swap(releases)
    assert site.check_root(11 * SECOND, nowait=False)
    assert find(site, b"").body == b"v2"
    assert not site.unchanged(b"", entity, nowait=False)
    assert not site.check_root(12 * SECOND, nowait=False)


def test_root_is_looked_at_once_a_second(releases: Path, make_site: MakeSite) -> None:
    site = make_site(path=releases / "current")
    assert not site.check_root(10 * SECOND, nowait=False)
    swap(releases)
    assert not site.check_root(11 * SECOND - 1, nowait=False)
    assert find(site, b"").body == b"v1"
    assert site.check_root(11 * SECOND, nowait=False)


def test_rebuilt_folder_is_noticed(releases: Path, make_site: MakeSite) -> None:
    site = make_site(path=releases / "v1")
    (releases / "v1/index.html").unlink()
    (releases / "v1").rmdir()
    (releases / "v1").mkdir()
    (releases / "v1/index.html").write_bytes(b"rebuilt")
    assert status_of(site, b"") == 404
    assert site.check_root(0, nowait=False)
    assert find(site, b"").body == b"rebuilt"


def test_root_may_go_and_come_back(releases: Path, make_site: MakeSite) -> None:
    site = make_site(path=releases / "v1")
    (releases / "v1").rename(releases / "away")
    assert not site.check_root(0, nowait=False)
    assert find(site, b"").body == b"v1"
    (releases / "v2").rename(releases / "v1")
    assert site.check_root(1 * SECOND, nowait=False)
    assert find(site, b"").body == b"v2"


def test_root_may_come_late(tmp_path: Path, make_site: MakeSite) -> None:
    site = make_site(path=tmp_path / "late")
    assert status_of(site, b"") == 404
    assert status_of(site, b"a/b") == 404
    assert not site.check_root(0, nowait=False)
    (tmp_path / "late").mkdir()
    (tmp_path / "late/index.html").write_bytes(b"late")
    assert site.check_root(1 * SECOND, nowait=False)
    assert find(site, b"").body == b"late"


def test_number_of_the_descriptor_stays_and_is_closed_on_exec(releases: Path) -> None:
    root = Root(releases / "current")
    try:
        number = root.fd
        swap(releases)
        assert root.check(0, nowait=False)
        assert root.fd == number
        assert not os.get_inheritable(number)
    finally:
        root.close()


def test_look_that_would_wait_is_left_to_a_later_call(releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(releases / "current")
    try:
        swap(releases)

        def only_waiting(path: bytes, *, cached: bool = False) -> int:
            if cached:
                raise BlockingIOError
            return open_directory(path)

        monkeypatch.setattr("wsrv.engine.static.root.open_directory", only_waiting)
        assert not root.check(0, nowait=True)
        assert root.check(0, nowait=False)
    finally:
        root.close()


def test_relative_root_stays_where_it_was(releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(releases)
    root = Root(Path("v1"))
    try:
        (releases / "v2/v1").mkdir()
        monkeypatch.chdir(releases / "v2")
        assert not root.check(0, nowait=False)
        assert os.readlink(f"/proc/self/fd/{root.fd}") == str(releases / "v1")
    finally:
        root.close()
