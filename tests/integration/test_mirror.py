# A whole documentation tree, fetched as people fetch one.
"""A mirror of a real site is equal byte for byte."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.support.server import Servers

DOCUMENTATION = Path("/usr/share/doc/python3.11/html")


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file beneath `root`, by path."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_mirror_by_wget_equals_the_tree(servers: Servers, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(DOCUMENTATION, tree, symlinks=False)
    expected = {path: digest for path, digest in digests(tree).items() if not Path(path).name.startswith(".")}
    assert len(expected) > 500
    server = servers(tree, "--workers", "2")
    mirror, listed = tmp_path / "mirror", tmp_path / "listed"
    wget = ["wget", "--quiet", "--no-host-directories", "--execute", "robots=off"]
    follow = [*wget, "--mirror", "--directory-prefix", str(mirror), f"{server.url}/index.html"]
    # The pages hold links to what Debian does not ship: wget calls that 8, "the server issued an error response".
    assert subprocess.run(follow, check=False, timeout=300).returncode in (0, 8)
    linked = digests(mirror)
    assert len(linked) > 500
    assert linked == {path: expected[path.partition("?")[0]] for path in linked}
    # Not every file is linked to: now all of them, by name.
    targets = tmp_path / "targets"
    targets.write_text("".join(f"{server.url}/{path}\n" for path in expected))
    fetch = [*wget, "--force-directories", "--directory-prefix", str(listed), "--input-file", str(targets)]
    subprocess.run(fetch, check=True, timeout=300)
    assert digests(listed) == expected
