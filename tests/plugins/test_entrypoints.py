"""Plugins are found by their metadata, and what is broken there is named or passed over."""

import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from tests.cli.program import python
from tests.plugins.strangers import GOOD, entry_points, install
from wsrv.plugins import entrypoints
from wsrv.plugins.registry import load


def test_a_list_of_entry_points_that_cannot_be_read_is_named(folder: Path) -> None:
    install(folder, "tester-torn", GOOD)
    entry_points(folder, "tester_torn", "[wsrv]\nno entry\n")
    (missing,) = load().outsiders.left_out
    assert (missing.origin.plugin, missing.origin.release) == ("tester-torn", "tester-torn 1.0")
    assert missing.why.startswith("its entry_points.txt cannot be read (")
    assert load(["tester-torn"]).warnings() == []


def test_entry_points_of_other_groups_are_others(folder: Path) -> None:
    install(folder, "tester-good", GOOD)
    entry_points(folder, "tester_good", "[console_scripts]\nx = nowhere:x\n[wsrv]\ngood = tester_good\n")
    assert [(origin.plugin, origin.distribution) for origin, _ in entrypoints.found()] == [("good", "tester-good")]


def test_what_other_distributions_have_broken_is_passed_over(folder: Path) -> None:
    install(folder, "tester-torn", None)
    entry_points(folder, "tester_torn", "[other]\nwsrv no entry\n")
    install(folder, "tester-bytes", None)
    (folder / "tester_bytes-1.0.dist-info" / "entry_points.txt").write_bytes(b"[other]\n\xff\n")
    install(folder, "tester-loop", None)
    loop = folder / "tester_loop-1.0.dist-info" / "entry_points.txt"
    loop.unlink()
    loop.symlink_to(loop)
    assert list(entrypoints.found()) == []
    assert load().warnings() == []


def test_distributions_without_metadata_are_still_named(folder: Path) -> None:
    for name in ("bare", "naked"):
        install(folder, f"tester-{name}", "raise ImportError")
        (folder / f"tester_{name}-1.0.dist-info" / "METADATA").unlink()
    assert {str(missing.origin) for missing in load().outsiders.left_out} == {
        "'tester_bare' (a distribution without a name)",
        "'tester_naked' (a distribution without a name)",
    }


def test_of_two_versions_on_the_path_the_first_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, "tester-good", GOOD)
    before = folder / "before"
    before.mkdir()
    monkeypatch.syspath_prepend(str(before))
    install(before, "tester-good", GOOD, version="2.0")
    assert load().outsiders.origins["tester_good"].version == "2.0"
    (before / "tester_good-2.0.dist-info" / "entry_points.txt").unlink()
    assert "good" not in load().policies


def test_a_plugin_in_an_archive_is_found(folder: Path, tmp_path: Path) -> None:
    install(folder, "tester-good", GOOD)
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in folder.rglob("*"):
            packed.write(path, path.relative_to(folder))
    # In a process of its own: importlib.metadata keeps archives open.
    run = python(
        "from wsrv.plugins import entrypoints; print(*[origin for origin, _ in entrypoints.found()])",
        {"PYTHONPATH": str(archive)},
    )
    assert (run.stdout, run.stderr) == ("'tester_good' (tester-good 1.0)\n", "")


def test_a_plugin_that_only_a_finder_knows_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, "tester-good", GOOD)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(folder)])
    assert list(entrypoints.found()) == []

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            return None

        @staticmethod
        def find_distributions(context: object) -> Iterator[Distribution]:
            yield PathDistribution(folder / "tester_good-1.0.dist-info")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert [origin.distribution for origin, _ in entrypoints.found()] == ["tester-good"]
