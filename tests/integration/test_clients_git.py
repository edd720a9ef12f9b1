# git over dumb HTTP: it reads info/refs, loose objects and packs as plain files, and finds out from the 404s what is
# packed. It asks for `info/refs?service=git-upload-pack` first, and takes an answer of any other type as plain files.
"""`git clone` and `git fetch` from a folder that is merely served."""

import os
from pathlib import Path

import pytest

from tests.support.program import run, surroundings
from tests.support.server import Servers, wait_for

pytestmark = pytest.mark.once("what another program makes of the same bytes")

_WHO = {
    f"GIT_{who}_{what}": f"{what.lower()}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


class Repository:
    """A working tree, and the bare repository that is served."""

    def __init__(self, folder: Path, served: Path) -> None:
        self.env = surroundings(folder, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", **_WHO)
        self.tree = folder / "tree"
        self.bare = served / "project.git"
        self.git("init", "--quiet", "--initial-branch", "main", self.tree)
        self.git("init", "--quiet", "--bare", "--initial-branch", "main", self.bare)

    def git(self, *words: str | Path, fails: bool = False) -> str:
        return run("git", *words, env=self.env, fails=fails).stdout.decode()

    def commit(self, number: int) -> str:
        """One more commit, published; its name."""
        (self.tree / f"file-{number}").write_bytes(os.urandom(120_000) + b"text\n" * 100)
        self.git("-C", self.tree, "add", ".")
        self.git("-C", self.tree, "commit", "--quiet", "--message", f"commit {number}")
        self.git("-C", self.tree, "push", "--quiet", "--tags", self.bare, "main")
        self.git("-C", self.bare, "update-server-info")
        return self.git("-C", self.tree, "rev-parse", "HEAD").strip()


@pytest.fixture
def repository(tmp_path: Path, site: Path) -> Repository:
    """Some commits in a pack of more than a megabyte, a tag, and a commit in loose objects."""
    repository = Repository(tmp_path, site)
    for number in range(12):
        repository.commit(number)
    repository.git("-C", repository.tree, "tag", "--annotate", "--message", "first", "v1")
    repository.commit(12)
    repository.git("-C", repository.bare, "gc", "--quiet")
    (pack,) = (repository.bare / "objects" / "pack").glob("*.pack")
    assert pack.stat().st_size > 1 << 20
    repository.commit(13)
    return repository


def test_clone_over_dumb_http_is_whole(servers: Servers, site: Path, tmp_path: Path, repository: Repository) -> None:
    server = servers(site, "--workers", "2")
    clone, git = tmp_path / "clone", repository.git
    git("clone", "--quiet", f"{server.url}/project.git", clone)
    git("-C", clone, "fsck", "--strict", "--full")
    for what in ("HEAD", "HEAD^{tree}", "v1", "main~13"):
        assert git("-C", clone, "rev-parse", what) == git("-C", repository.tree, "rev-parse", what)
    files = {path.name: path.read_bytes() for path in repository.tree.glob("file-*")}
    assert len(files) == 14
    assert {path.name: path.read_bytes() for path in clone.glob("file-*")} == files
    assert git("-C", clone, "status", "--porcelain") == ""
    wait_for(lambda: "/project.git/objects/pack/pack-" in server.log.read_text(), "the pack to be logged")


def test_fetch_finds_what_was_pushed_since(
    servers: Servers, site: Path, tmp_path: Path, repository: Repository
) -> None:
    # One worker: each asks the disk for itself, so that two may differ for as long as an answer is good.
    server = servers(site, "--workers", "1")
    clone, git, url = tmp_path / "clone", repository.git, f"{server.url}/project.git"
    git("clone", "--quiet", url, clone)
    newest = repository.commit(14)
    wait_for(lambda: git("ls-remote", url, "refs/heads/main").startswith(newest), "the newest commit to be listed")
    git("-C", clone, "pull", "--quiet", "--ff-only")
    assert git("-C", clone, "rev-parse", "HEAD").strip() == newest
    git("-C", clone, "fsck", "--strict", "--full")


def test_clone_of_what_is_not_there_says_not_found(servers: Servers, site: Path, tmp_path: Path) -> None:
    server = servers(site, "--workers", "1")
    env = surroundings(tmp_path, GIT_CONFIG_NOSYSTEM="1", GIT_TERMINAL_PROMPT="0")
    said = run("git", "clone", f"{server.url}/none.git", tmp_path / "clone", env=env, fails=True).stderr
    assert b"not found" in said
