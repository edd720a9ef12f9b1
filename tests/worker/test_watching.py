# A shelf with watches over the site, against looks at the files.
#
# Oracle: whatever is renewed without a look would have passed one.
"""What is still is not looked at; what is not, is."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.server import wait_for
from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench
from wsrv.engine.http.negotiation import acceptable
from wsrv.engine.static.watch import LONGEST_NS, Watches
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.prepared import Cached

PATH = b"d/a.txt"


@pytest.fixture
def watched(make_bench: MakeBench, root: Path) -> Iterator[Workbench]:
    (root / "d").mkdir()
    (root / "d" / "a.txt").write_bytes(b"alpha")
    bench = make_bench()
    bench.shelf.watches = Watches(clock=lambda: bench.now_ns + 1)
    yield bench
    bench.shelf.watches.close()


def held(bench: Workbench, path: bytes = PATH) -> Cached:
    """An entity that is held, for a client that takes codings."""
    entity = bench.site.find(path, b"/" + path, nowait=False, accepted=acceptable(b"gzip"))
    return bench.shelf.keep(path, bench.site, path, entity, bench.now_ns)


def looks(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that are looked at from now on, and of which a look can tell."""
    unchanged = bench.site.unchanged
    found: list[bytes] = []

    def counted(path: bytes, entity: object, **how: bool) -> bool:
        told = unchanged(path, entity, **how)  # type: ignore[arg-type]  # as it came
        found.append(path)
        return told

    monkeypatch.setattr(bench.site, "unchanged", counted)
    return found


def read_link_once(path: Path, target: str) -> None:
    """Make a link whose access time stands: to set it, the kernel goes another way than that for what is in memory."""
    path.symlink_to(target)

    def stands() -> bool:
        path.stat()
        seen = path.lstat()
        return seen.st_atime_ns > seen.st_mtime_ns

    wait_for(stands, "a later tick of the kernel's clock")


def serves(bench: Workbench, path: bytes) -> bool:
    """Whether what is held at `path` serves. If not, it was dropped, or the disk has to say what is there now."""
    # The kernel may say at any time that it would have to wait (something is mounted anywhere, memory is short).
    return any(bench.shelf.find(path, bench.now_ns) is not None for _ in range(100))


def seconds_go_by(bench: Workbench, count: int, path: bytes = PATH) -> list[bool]:
    """Whether what is held at `path` serves, second by second."""
    assert bench.shelf.watches is not None
    found = []
    for _ in range(count):
        bench.advance(1)
        bench.shelf.watches.turn()
        found.append(serves(bench, path))
    return found


def test_a_file_in_a_still_folder_is_looked_at_twice_and_then_seldom(
    watched: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(watched)
    found = looks(watched, monkeypatch)
    assert all(seconds_go_by(watched, 2))
    assert found == [PATH] * 2, "before it is watched, and when it is"
    for _ in range(3):
        assert all(seconds_go_by(watched, LONGEST_NS // SECOND_NS))
    assert found == [PATH] * 5


@pytest.mark.parametrize("path", [PATH, b"a.txt"])
def test_a_change_is_seen_within_a_second(watched: Workbench, root: Path, path: bytes) -> None:
    held(watched, path)
    assert all(seconds_go_by(watched, 5, path))
    (root / os.fsdecode(path)).write_bytes(b"omega")
    assert seconds_go_by(watched, 1, path) == [False]


def test_a_folder_that_was_moved_is_missed_within_a_second(watched: Workbench, root: Path) -> None:
    held(watched)
    assert all(seconds_go_by(watched, 5))
    (root / "d").rename(root / "e")
    assert seconds_go_by(watched, 1) == [False]


def test_a_file_beside_one_that_is_written_on_and_on_stays_and_is_looked_at(
    watched: Workbench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(watched)
    found = looks(watched, monkeypatch)
    for count in range(1, 30):
        (root / "d" / "log").write_bytes(b"%d" % count)
        assert seconds_go_by(watched, 1) == [True]
        assert len(found) == count


@pytest.mark.parametrize("kind", ["hard link", "symbolic link", "folder behind a link"])
def test_what_can_be_changed_from_elsewhere_is_looked_at_each_second(
    watched: Workbench, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.txt").write_bytes(b"alpha")
    (root / "d" / "a.txt").unlink()
    if kind == "hard link":
        (root / "d" / "a.txt").hardlink_to(elsewhere / "a.txt")
    elif kind == "symbolic link":
        read_link_once(root / "d" / "a.txt", "../elsewhere/a.txt")
    else:
        (root / "d").rmdir()
        read_link_once(root / "d", "elsewhere")
    held(watched)
    found = looks(watched, monkeypatch)
    assert all(seconds_go_by(watched, 12))
    assert len(found) == 12
    (elsewhere / "a.txt").write_bytes(b"omega")
    assert seconds_go_by(watched, 1) == [False]


def test_a_sibling_that_appears_is_seen_within_a_second(watched: Workbench, root: Path) -> None:
    (root / "d" / "x.js").write_bytes(b"x" * 1000)
    held(watched, b"d/x.js")
    assert all(seconds_go_by(watched, 5, b"d/x.js"))
    (root / "d" / "x.js.gz").write_bytes(b"y")
    assert seconds_go_by(watched, 1, b"d/x.js") == [False]


def test_a_name_that_is_given_elsewhere_is_found_by_the_look_that_is_due_at_any_rate(
    watched: Workbench, root: Path
) -> None:
    held(watched)
    assert all(seconds_go_by(watched, 5))
    os.link(root / "d" / "a.txt", root.parent / "other")
    (root.parent / "other").write_bytes(b"omega")
    assert not all(seconds_go_by(watched, LONGEST_NS // SECOND_NS))


def test_with_another_root_everything_is_looked_at(watched: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    held(watched)
    assert all(seconds_go_by(watched, 5))
    found = looks(watched, monkeypatch)
    watched.shelf.distrust(watched.now_ns)
    assert all(seconds_go_by(watched, 1))
    assert found == [PATH]


NAMES = ("a.txt", "b.txt", "d/a.txt", "d/b.txt", "d/e/a.txt", "d/e/a.txt.gz", "l/a.txt")


def _write(root: Path, draw: random.Random) -> None:
    (root / draw.choice(NAMES)).write_bytes(draw.randbytes(draw.randrange(300)))


def _append(root: Path, draw: random.Random) -> None:
    with (root / draw.choice(NAMES)).open("ab") as file:
        file.write(b"more")


def _rename(root: Path, draw: random.Random) -> None:
    (root / draw.choice(NAMES)).rename(root / draw.choice(NAMES))


def _delete(root: Path, draw: random.Random) -> None:
    (root / draw.choice(NAMES)).unlink()


def _link(root: Path, draw: random.Random) -> None:
    (root / draw.choice(NAMES)).symlink_to(root.parent / draw.choice(("inside", "nowhere")))


def _write_through(root: Path, draw: random.Random) -> None:
    (root.parent / "inside").write_bytes(draw.randbytes(10))


def _move_folder(root: Path, draw: random.Random) -> None:
    one, other = draw.choice((("d", "l"), ("d/e", "e"), ("l", "d"), ("e", "d/e")))
    (root / one).rename(root / other)


def _make_folders(root: Path, draw: random.Random) -> None:
    (root / "d" / "e").mkdir(parents=True, exist_ok=True)


def _link_folder(root: Path, draw: random.Random) -> None:
    (root / "l").symlink_to("d")


DEEDS: tuple[Callable[[Path, random.Random], object], ...] = (
    *(_write, _write, _append, _rename, _delete, _link, _write_through, _move_folder, _make_folders, _link_folder),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 1 << 30), st.integers(0, 12)), max_size=25))
def test_whatever_is_done_what_serves_without_a_look_would_have_passed_one(
    make_bench: MakeBench, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, int, int]]
) -> None:
    root = tmp_path_factory.mktemp("deeds") / "site"
    (root / "d" / "e").mkdir(parents=True)
    for name in NAMES[:5]:
        (root / name).write_bytes(b"x" * 300)
    bench = Workbench(root)
    watches = bench.shelf.watches = Watches(clock=lambda: bench.now_ns + 1)
    unchanged, looked = bench.site.unchanged, set()

    def noted(path: bytes, entity: object, **how: bool) -> bool:
        looked.add(path)
        return unchanged(path, entity, **how)  # type: ignore[arg-type]  # as it came

    bench.site.unchanged = noted  # type: ignore[method-assign]
    spared = 0
    try:
        for deed, seed, seconds in steps:
            for _ in range(seconds):
                bench.advance(1)
                watches.turn()
                for path in map(str.encode, NAMES):
                    looked.clear()
                    cached = bench.shelf.find(path, bench.now_ns)
                    if cached is None:
                        try:
                            held(bench, path)
                        except Exception:  # it is not there, or may not be served
                            continue
                    elif path not in looked:
                        spared += 1
                        assert unchanged(path, cached.entity, nowait=False), path
            try:
                deed(root, random.Random(seed))  # type: ignore[operator]
            except OSError:
                continue
    finally:
        watches.close()
        bench.close()
