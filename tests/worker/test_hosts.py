"""Sites by name, each with its rules, error pages and links; nothing of one is given for another."""

from pathlib import Path

import pytest

from tests.worker.asking import get, hits, site
from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench
from wsrv.engine.settings import CacheSettings, HostSettings, RedirectRule
from wsrv.engine.shm.row import MISSES

# Hosts.


@pytest.fixture
def farm(make_bench: MakeBench, root: Path, tmp_path: Path) -> Workbench:
    others = []
    for name, names in (("one", ("one.example", "*.one.example")), ("two", ("two.one.example", "[::1]"))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.txt").write_bytes(name.encode())
        (folder / "404.html").write_bytes(b"404 of " + name.encode())
        others.append(HostSettings(names, site(folder, redirects=(RedirectRule("/r", f"/{name}", 302),))))
    return make_bench(site=site(root), hosts=tuple(others), cache=CacheSettings(revalidate_seconds=0))


@pytest.mark.parametrize(
    ("host", "content"),
    [
        ("one.example", b"one"),
        ("ONE.Example:8080", b"one"),
        ("one.example.", b"one"),
        ("x.one.example", b"one"),
        ("y.x.one.example", b"one"),
        ("two.one.example", b"two"),
        ("x.two.one.example", b"one"),
        ("[::1]:8080", b"two"),
        ("notone.example", b"alpha"),
        ("example", b"alpha"),
        ("127.0.0.1", b"alpha"),
    ],
)
def test_host_decides_which_site_answers(farm: Workbench, host: str, content: bytes) -> None:
    for _ in range(2):
        assert get(farm, "/a.txt", host=host)[::2] == (200, content)
    assert hits(farm, "/a.txt", host=host).endswith(content)


def test_sites_share_no_entity_and_no_front(farm: Workbench) -> None:
    expected = {"a": b"alpha", "one.example": b"one", "two.one.example": b"two"}
    for _ in range(3):
        for host, content in expected.items():
            assert get(farm, "/a.txt", host=host)[2] == content
    assert len(farm.shelf.store) == 3


def test_absolute_target_outranks_host(farm: Workbench) -> None:
    for _ in range(2):
        assert get(farm, "http://one.example/a.txt", host="two.one.example")[2] == b"one"
        assert get(farm, "/a.txt", host="two.one.example")[2] == b"two"
    assert hits(farm, "http://one.example/a.txt", host="two.one.example").endswith(b"one")
    assert hits(farm, "/a.txt", host="two.one.example").endswith(b"two")


def test_request_without_a_host_gets_the_default_site(farm: Workbench) -> None:
    assert farm.answers(farm.client(), b"GET /a.txt HTTP/1.0\r\n\r\n").endswith(b"alpha")


def test_each_site_has_its_rules_and_error_pages(farm: Workbench) -> None:
    assert "\r\nLocation: /one\r\n" in get(farm, "/r", host="one.example")[1]
    assert "\r\nLocation: /two\r\n" in get(farm, "/r", host="two.one.example")[1]
    assert get(farm, "/r")[0] == 404
    assert get(farm, "/gone", host="one.example")[2] == b"404 of one"
    assert get(farm, "/gone", host="two.one.example")[2] == b"404 of two"
    assert b"404 of" not in get(farm, "/gone")[2]


def test_change_in_one_site_leaves_the_others_held(farm: Workbench, tmp_path: Path) -> None:
    for host in ("a", "one.example"):
        get(farm, "/a.txt", host=host)
    (tmp_path / "one" / "new").write_bytes(b"changed")
    (tmp_path / "one" / "new").rename(tmp_path / "one" / "a.txt")
    misses = farm.count(MISSES)
    assert hits(farm, "/a.txt", host="one.example") == b""
    assert get(farm, "/a.txt", host="one.example")[2] == b"changed"
    assert get(farm, "/a.txt")[2] == b"alpha"
    assert farm.count(MISSES) == misses + 1


# Error pages, dotfiles, links.


def test_error_page_of_another_name(make_bench: MakeBench, root: Path) -> None:
    (root / "errors").mkdir()
    (root / "errors" / "missing.html").write_bytes(b"not here")
    bench = make_bench(site=site(root, error_pages=((404, "/errors/missing.html"),)))
    assert get(bench, "/gone")[::2] == (404, b"not here")
    (root / "errors" / "missing.html").unlink()
    (root / "404.html").write_bytes(b"by its usual name")
    bench.advance(1.1)
    assert get(bench, "/gone")[::2] == (404, b"by its usual name")


def test_dotfiles_are_there_where_the_settings_say_so(make_bench: MakeBench, root: Path) -> None:
    (root / ".env").write_bytes(b"x")
    assert get(make_bench(site=site(root)), "/.env")[0] == 404
    bench = make_bench(site=site(root, dotfiles=True))
    assert get(bench, "/.env")[::2] == (200, b"x")
    assert hits(bench, "/.env").endswith(b"x")


def test_links_are_followed_inside_or_not_at_all(make_bench: MakeBench, root: Path) -> None:
    (root / "link").symlink_to("a.txt")
    (root / "folder").symlink_to(".")
    assert get(make_bench(site=site(root)), "/link")[::2] == (200, b"alpha")
    bench = make_bench(site=site(root, links="none"))
    for target in ("/link", "/folder/a.txt", "/folder/"):
        assert get(bench, target)[0] == 403
    assert get(bench, "/a.txt")[0] == 200
