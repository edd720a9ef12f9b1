"""What `alone` promises while files of tests run side by side."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.once("of the repository, not of the server")

REPOSITORY = Path(__file__).resolve().parents[2]

# Each test of a file says when it began and ended. Two files meet: each waits for the other to have begun.
SHARED = """
import pathlib, time
def test_it():
    here = pathlib.Path(__file__)
    here.with_suffix(".begun").touch()
    until = time.monotonic() + 20
    while len(list(here.parent.glob("*.begun"))) < 2 and time.monotonic() < until:
        time.sleep(0.001)
    assert len(list(here.parent.glob("*.begun"))) == 2
"""
ALONE = """
import os, pytest, time
@pytest.mark.alone("to be seen")
@pytest.mark.parametrize("number", range(8))
def test_it(number):
    with open("spans", "a") as file:
        file.write(f"begun {os.getpid()}\\n")
        file.flush()
        time.sleep(0.02)
        file.write(f"ended {os.getpid()}\\n")
"""


def test_who_is_alone_meets_nobody_and_the_others_meet(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"test_alone_{name}.py").write_text(ALONE)
        (folder / f"test_shared_{name}.py").write_text(SHARED)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull, "--rootdir", str(tmp_path)]
    command += ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", str(folder)]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    spans = [line.split() for line in (tmp_path / "spans").read_text().splitlines()]
    assert len(spans) == 32
    assert len({pid for _, pid in spans}) == 2
    assert all(a == "begun" and b == "ended" and p == q for (a, p), (b, q) in [*pairwise(spans)][::2])
