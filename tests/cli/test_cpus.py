"""How many workers there are by default."""

import os
from pathlib import Path

import pytest

from wsrv.cli.cpus import usable


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def machine(folder: Path, membership: str, files: dict[str, str]) -> int:
    (folder / "proc").mkdir()
    (folder / "proc" / "cgroup").write_text(membership)
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable(folder / "proc", folder / "groups")


def test_without_control_groups_affinity_counts(tmp_path: Path) -> None:
    assert usable(tmp_path, tmp_path) == 8


@pytest.mark.parametrize(
    ("cpu_max", "cpus"),
    [
        ("max 100000", 8),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("200000 100000", 2),
        ("9900000 100000", 8),
        ("?", 8),
    ],
)
def test_quota_of_version_2_is_rounded_up(tmp_path: Path, cpu_max: str, cpus: int) -> None:
    assert machine(tmp_path, "0::/unit\n", {"unit/cpu.max": cpu_max}) == cpus


def test_the_tightest_level_above_counts(tmp_path: Path) -> None:
    files = {"a/b/c/cpu.max": "max 100000", "a/b/cpu.max": "400000 100000", "a/cpu.max": "300000 100000"}
    assert machine(tmp_path, "0::/a/b/c\n", files) == 3


def test_version_1_is_read(tmp_path: Path) -> None:
    files = {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"}
    assert machine(tmp_path, "4:memory:/\n3:cpu,cpuacct:/x\n0::/\n", files) == 3


def test_version_1_without_a_quota_is_none(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert machine(tmp_path, "3:cpu:/\n", files) == 8


def test_group_at_the_top_of_the_mount_counts_in_a_container(tmp_path: Path) -> None:
    assert machine(tmp_path, "0::/not/seen/from/here\n", {"cpu.max": "100000 100000"}) == 1
