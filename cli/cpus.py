# How many CPUs this process may really use: a container or a systemd unit often has fewer than the machine.
#
# Two versions of control groups say it, and both can be mounted at once:
#   v2  cpu.max                               "max 100000" or "150000 100000": quota and period in microseconds
#   v1  cpu.cfs_quota_us, cpu.cfs_period_us   -1: no quota
# Each level of the hierarchy bounds those below it.
"""The number of CPUs that affinity and control groups leave."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable(proc: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that may be used: the affinity, or the quota rounded up where that is less; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = min((math.ceil(q) for q in _quotas(proc, groups)), default=allowed)
    return max(1, min(allowed, quota))


def _quotas(proc: Path, groups: Path) -> Iterator[float]:
    """Every quota above this process, in CPUs."""
    for controllers, path in _memberships(proc):
        if not controllers:
            mounts = (groups, groups / "unified")
        elif "cpu" in controllers:
            mounts = (groups / ",".join(controllers), groups / "cpu")
        else:
            continue
        for mount in mounts:
            # Inside a container the path may be the host's, and the group stand at the top of the mount.
            for folder in {mount / path, *(mount / path).parents} - set(mount.parents):
                quota = _quota(folder)
                if quota is not None:
                    yield quota


def _memberships(proc: Path) -> Iterator[tuple[list[str], str]]:
    """The controllers (none: version 2) and the path of each line of /proc/self/cgroup (cgroups(7))."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        yield [c for c in controllers.split(",") if c], path.strip("/")


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 and float(period) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None
