"""The index of an application answers for its pages, from the same place in the cache, and for nothing else."""

from pathlib import Path

import pytest

from tests.worker.asking import BROWSER, get, site
from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench
from wsrv.engine.shm.row import HITS


@pytest.fixture
def app(make_bench: MakeBench, root: Path) -> Workbench:
    (root / "index.html").write_bytes(b"app")
    (root / "folder").mkdir()
    return make_bench(site=site(root, spa=True))


@pytest.mark.parametrize("target", ["/users/7", "/users/john.doe", "/v1.2/", "/x.html", "/folder/", "/?a", "/a.txt/x"])
def test_page_of_an_application_is_its_index(app: Workbench, target: str) -> None:
    assert get(app, target, BROWSER)[::2] == (200, b"app")
    assert get(app, target, BROWSER, method="HEAD")[::2] == (200, b"")


@pytest.mark.parametrize("accept", ["Accept: */*", "X: y", "Accept:", "Accept: */*\r\nSec-Fetch-Dest: document"])
def test_who_takes_anything_is_answered_as_a_browser(app: Workbench, accept: str) -> None:
    assert get(app, "/users/7", accept)[::2] == (200, b"app")


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        ("/api/x", "Accept: application/json"),
        ("/api/x", "Accept: image/avif,image/webp,*/*;q=0.8"),
        ("/api/x", "Accept: */*\r\nSec-Fetch-Dest: empty"),
        ("/api/x", "Sec-Fetch-Dest: image"),
        ("/gone.js", "Accept: */*"),
        ("/gone.js", BROWSER),
        ("/gone.png", BROWSER),
        ("/.git/config", BROWSER),
        ("/%2f", BROWSER),
    ],
)
def test_what_is_no_page_of_an_application_is_404(app: Workbench, target: str, accept: str) -> None:
    assert get(app, target, accept)[0] == 404


def test_index_of_an_application_is_a_hit_of_the_same_entity(app: Workbench) -> None:
    get(app, "/", BROWSER)
    held, before = len(app.shelf.store), app.count(HITS)
    for number in range(20):
        assert get(app, f"/page/{number}", BROWSER)[2] == b"app"
    assert len(app.shelf.store) == held
    assert app.count(HITS) == before + 20


def test_file_that_appears_where_the_index_was_given_shows_within_a_second(app: Workbench, root: Path) -> None:
    assert get(app, "/page", BROWSER)[2] == b"app"
    (root / "page").write_bytes(b"there now")
    app.advance(1)
    assert get(app, "/page", BROWSER)[2] == b"there now"
    (root / "page").unlink()
    app.advance(1.1)
    assert get(app, "/page", BROWSER)[2] == b"app"


def test_change_of_the_index_shows_at_every_path_within_a_second(app: Workbench, root: Path) -> None:
    assert get(app, "/page", BROWSER)[2] == b"app"
    (root / "new").write_bytes(b"new app")
    (root / "new").rename(root / "index.html")
    app.advance(1.1)
    assert get(app, "/page", BROWSER)[2] == b"new app"


def test_application_without_an_index_is_404_once(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(site=site(root, spa=True))
    assert get(bench, "/page", BROWSER)[0] == 404
    assert bench.responses() == {404: 1}
