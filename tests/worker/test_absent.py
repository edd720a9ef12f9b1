"""What was missing a moment ago: answered without a look, for a moment, at the cost of nothing that is held."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.asking import BROWSER, get, site
from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench
from wsrv.engine.settings import CacheSettings, HostSettings
from wsrv.engine.shm.row import HITS, MISSES, NEGATIVE_HITS, NEGATIVES
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.recoding import Bounds
from wsrv.engine.static.site import Site
from wsrv.engine.worker.absent import MOST, MOST_PATH_BYTES
from wsrv.engine.worker.hottest import Hottest
from wsrv.engine.worker.inspection import Inspection
from wsrv.engine.worker.loading import fetch
from wsrv.engine.worker.questions import Steps


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that were looked for."""
    seen: list[bytes] = []
    find: Callable[..., Entity] = Site.find

    def noted(self: Site, path: bytes, raw_path: bytes, **how: Any) -> Entity:
        if how["nowait"]:
            seen.append(path)
        return find(self, path, raw_path, **how)

    monkeypatch.setattr(Site, "find", noted)
    return seen


def counts(bench: Workbench) -> tuple[int, int, int]:
    """Hits, misses, negative hits."""
    return bench.count(HITS), bench.count(MISSES), bench.count(NEGATIVE_HITS)


def end_of(steps: Steps) -> dict[str, Any]:
    """The last page of an answer."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return dict(end.value)


def test_what_is_missing_is_looked_for_once_a_second(bench: Workbench, looks: list[bytes]) -> None:
    first = get(bench, "/none.txt")
    assert first[0] == 404
    for target in ("/none.txt", "/none.txt?again", "/%6eone.txt", "/./none.txt"):
        assert get(bench, target, "Accept-Encoding: br") == first
    assert (looks, counts(bench)) == ([b"none.txt"], (0, 1, 4))
    bench.advance(1)
    assert get(bench, "/none.txt")[0] == 404
    assert (looks, counts(bench)) == ([b"none.txt"] * 2, (0, 2, 4))


def test_what_appears_is_served_within_a_second(bench: Workbench, root: Path) -> None:
    assert get(bench, "/new.txt")[0] == 404
    (root / "new.txt").write_bytes(b"new")
    bench.advance(0.999)
    assert get(bench, "/new.txt")[0] == 404
    bench.advance(0.001)
    assert get(bench, "/new.txt")[::2] == (200, b"new")


@pytest.mark.parametrize(("revalidate_seconds", "lasts_seconds"), [(0.0, 0.0), (0.25, 0.25), (3600.0, 1.0)])
def test_it_lasts_as_long_as_a_check_and_a_second_at_most(
    make_bench: MakeBench, root: Path, revalidate_seconds: float, lasts_seconds: float
) -> None:
    bench = make_bench(cache=CacheSettings(revalidate_seconds=revalidate_seconds))
    assert get(bench, "/new.txt")[0] == 404
    (root / "new.txt").write_bytes(b"new")
    bench.advance(lasts_seconds)
    assert get(bench, "/new.txt")[::2] == (200, b"new")
    assert bench.count(NEGATIVE_HITS) == 0


def test_paths_that_are_made_up_take_no_more_room_and_nothing_leaves_for_them(
    bench: Workbench, looks: list[bytes]
) -> None:
    get(bench, "/a.txt")
    held = bench.shelf.store.size_bytes
    for number in range(MOST + 5):
        assert get(bench, f"/{number}")[0] == 404
        assert len(bench.shelf.absent) <= MOST
    assert bench.count(NEGATIVES) == len(bench.shelf.absent) == 5
    assert (len(bench.shelf.store), bench.shelf.store.size_bytes) == (1, held)
    looks.clear()
    long = "/" + "x/" * (MOST_PATH_BYTES // 2) + "x"
    assert [get(bench, long)[0] for _ in range(2)] == [404, 404]
    assert len(looks) == 2


def test_each_site_misses_for_itself(make_bench: MakeBench, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.txt").write_bytes(b"theirs")
    bench = make_bench(site=site(root), hosts=(HostSettings(("other.example",), site(other)),))
    assert get(bench, "/b.txt")[0] == 404
    assert get(bench, "/b.txt", host="other.example")[::2] == (200, b"theirs")
    assert get(bench, "/b.txt")[0] == 404
    assert get(bench, "/a.txt", host="other.example")[0] == 404
    assert get(bench, "/a.txt")[::2] == (200, b"alpha")


def test_a_folder_is_not_missing(bench: Workbench, root: Path, looks: list[bytes]) -> None:
    (root / "folder").mkdir()
    assert [get(bench, "/folder/")[0] for _ in range(2)] == [404, 404]
    assert get(bench, "/folder")[0] == 301
    assert looks == [b"folder/", b"folder/", b"folder"]
    assert get(bench, "/a.txt/")[0] == 404
    assert get(bench, "/a.txt")[0] == 200


def test_what_is_loaded_or_cleared_meanwhile_counts_at_once(bench: Workbench, root: Path, looks: list[bytes]) -> None:
    for name in ("loaded.txt", "cleared.txt"):
        assert get(bench, f"/{name}")[0] == 404
        (root / name).write_bytes(name.encode())
    place = bench.hosts.default.site
    entity = fetch(place, b"loaded.txt", b"", Bounds(0, 0), nowait=False)
    bench.shelf.lay_in(b"loaded.txt", place, b"loaded.txt", entity, bench.now_ns)
    assert get(bench, "/loaded.txt")[::2] == (200, b"loaded.txt")
    bench.shelf.store.drop(b"loaded.txt")
    assert get(bench, "/loaded.txt")[0] == 200
    assert get(bench, "/cleared.txt")[0] == 404
    inspection = Inspection(bench.shelf, Hottest(bench.shelf, None))
    assert end_of(inspection.entries({}, bench.now_ns))["negative"] == 1
    end_of(inspection.clear({"glob": "/elsewhere/**"}, bench.now_ns))
    assert get(bench, "/cleared.txt")[::2] == (200, b"cleared.txt")
    assert end_of(inspection.entries({}, bench.now_ns))["negative"] == 0


def test_another_root_is_looked_at(bench: Workbench, root: Path) -> None:
    assert get(bench, "/new.txt")[0] == 404
    (root / "new.txt").write_bytes(b"new")
    bench.shelf.distrust(bench.now_ns)
    assert get(bench, "/new.txt")[::2] == (200, b"new")


def test_the_index_of_an_application_answers_without_a_look(
    make_bench: MakeBench, root: Path, looks: list[bytes]
) -> None:
    (root / "index.html").write_bytes(b"app")
    app = make_bench(site=site(root, spa=True))
    assert [get(app, "/deep/link", BROWSER)[2] for _ in range(3)] == [b"app"] * 3
    assert looks == [b"deep/link", b""]
    assert get(app, "/deep/link", "Accept: application/json")[0] == 404
    assert looks == [b"deep/link", b""]
