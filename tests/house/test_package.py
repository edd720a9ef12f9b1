# What is built: the sdist, and the wheel made from the sdist (not from the tree), each held against the tree.
"""Nothing is missing from what people install, and nothing else is in it."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.once("of the repository, not of the server")

REPOSITORY = Path(__file__).resolve().parents[2]
# Folders of the tree, and what they are in the package.
ROOMS = {"cli": "cli", "engine": "engine", "plugins": "plugins", "tests/suites": "testing", "www": "www"}
TOP = (
    "ARCHITECTURE.md",
    "BENCH.md",
    "CHANGELOG.md",
    "CONFIG.md",
    "DECISIONS.md",
    "LICENSE",
    "Makefile",
    "PLUGINS.md",
    "README.md",
    "TERMINAL.md",
    "pyproject.toml",
)
# What lands below the prefix of an environment, beside its manual pages.
SHARED = (
    "share/bash-completion/completions/wsrv",
    "share/zsh/site-functions/_wsrv",
    "share/fish/vendor_completions.d/wsrv.fish",
)


def files_of(folder: str) -> set[str]:
    """Every file in the tree under this folder, by its path in the repository; no compiled Python."""
    found = (REPOSITORY / folder).rglob("*")
    return {str(path.relative_to(REPOSITORY)) for path in found if path.is_file() and path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    dist = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(REPOSITORY)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return dist


@pytest.fixture(scope="module")
def wheel(built: Path) -> set[str]:
    """The names in the wheel."""
    (path,) = built.glob("wsrv-*-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_suites_can_be_imported_from_the_wheel(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("wsrv-*-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    code = "from wsrv.testing import policy; print(policy.__file__)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == (str(tmp_path / "wsrv" / "testing" / "policy.py"), "")


@pytest.fixture(scope="module")
def sdist(built: Path) -> set[str]:
    """The names in the sdist, without its top folder."""
    (path,) = built.glob("wsrv-*.tar.gz")
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_every_file_of_the_rooms(wheel: set[str]) -> None:
    wanted = {f"wsrv/{room}{name.removeprefix(folder)}" for folder, room in ROOMS.items() for name in files_of(folder)}
    assert {name for name in wheel if ".dist-info/" not in name and ".data/" not in name} == wanted


def test_the_wheel_brings_completions_and_manual_pages(wheel: set[str]) -> None:
    pages = {f"share/man/man1/{name.removeprefix('man/')}" for name in files_of("man")}
    assert {name.partition(".data/data/")[2] for name in wheel if ".data/" in name} == pages | set(SHARED)


def test_the_wheel_puts_only_wsrv_into_site_packages(wheel: set[str]) -> None:
    top = {name.partition("/")[0] for name in wheel}
    assert {name for name in top if not name.endswith((".dist-info", ".data"))} == {"wsrv"}


def test_the_wheel_carries_the_licence(wheel: set[str]) -> None:
    assert [name for name in wheel if name.endswith(".dist-info/licenses/LICENSE")]


def test_the_sdist_holds_the_rooms_the_tests_and_the_pages(sdist: set[str]) -> None:
    wanted = {name for folder in (*ROOMS, "tests", "man", "completions") for name in files_of(folder)} | set(TOP)
    assert wanted - sdist == set()


def test_the_sdist_leaves_the_links_out(sdist: set[str]) -> None:
    # The links would be followed: everything twice.
    assert [name for name in sdist if name.startswith(".dev")] == []
