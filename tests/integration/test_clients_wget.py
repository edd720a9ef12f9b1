# wget: timestamps that spare a download, and a site followed by its links. A whole tree is test_mirror's.
"""wget against a server."""

import os
from pathlib import Path

import pytest

from tests.support.program import run, surroundings
from tests.support.server import Servers, wait_for

pytestmark = pytest.mark.once("what another program makes of the same bytes")

DAY_NS = 86_400 * 10**9


def wget(*words: str | Path, folder: Path) -> str:
    """What it said."""
    command = ("wget", "--no-config", "--no-verbose", "--tries", "1", "--timeout", "20", *words)
    return run(*command, env=surroundings(folder), cwd=folder).stderr.decode()


def test_timestamping_fetches_only_what_is_newer(servers: Servers, site: Path, tmp_path: Path) -> None:
    page = site / "page.html"
    page.write_text("one")
    os.utime(page, ns=(page.stat().st_mtime_ns - DAY_NS,) * 2)
    server = servers(site, "--workers", "1")
    got, url = tmp_path / "page.html", f"{server.url}/page.html"
    for _ in range(2):
        wget("--timestamping", url, folder=tmp_path)
        assert got.read_text() == "one"
        assert int(got.stat().st_mtime) == int(page.stat().st_mtime)
    page.write_text("three")
    wait_for(lambda: server.get("/page.html").body == b"three", "the newer page to be served")
    wget("--timestamping", url, folder=tmp_path)
    assert got.read_text() == "three"

    def statuses() -> list[str]:
        return [line.split('" ')[1][:3] for line in server.log_lines(4) if "Wget" in line]

    assert wait_for(lambda: (found := statuses())[2:] and found, "three lines of wget") == ["200", "304", "200"]


def test_interrupted_download_is_continued(servers: Servers, site: Path, tmp_path: Path) -> None:
    large = os.urandom(5_000_000)
    (site / "large.bin").write_bytes(large)
    server = servers(site, "--workers", "2")
    got = tmp_path / "large.bin"
    got.write_bytes(large[:3_000_001])
    for _ in range(2):
        # The second time there is nothing left, and it says so: 416.
        wget("--continue", f"{server.url}/large.bin", folder=tmp_path)
        assert got.read_bytes() == large
    logged = [line.split('" ')[1].split()[:2] for line in server.log_lines(2)]
    assert logged[0] == ["206", "1999999"]
    assert logged[1][0] == "416"


def test_recursion_follows_links_and_redirects(servers: Servers, site: Path, tmp_path: Path) -> None:
    (site / "index.html").write_text(
        '<!doctype html><link rel="stylesheet" href="look/site.css"><a href="deep">deep</a> <img src="a%20b.svg">'
    )
    (site / "look").mkdir()
    (site / "look" / "site.css").write_text("body { background: url(../back.svg) }")
    for picture in ("a b.svg", "back.svg"):
        (site / picture).write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><!-- {picture} --></svg>')
    (site / "deep").mkdir()
    (site / "deep" / "index.html").write_text('<!doctype html><a href="leaf.html">leaf</a> <a href="..">up</a>')
    (site / "deep" / "leaf.html").write_text("<!doctype html>leaf")
    server = servers(site, "--workers", "2")
    got = tmp_path / "got"
    wget(
        "--recursive",
        "--trust-server-names",
        "--no-host-directories",
        "--directory-prefix",
        got,
        "-e",
        "robots=off",
        f"{server.url}/",
        folder=tmp_path,
    )
    fetched = {str(path.relative_to(got)): path.read_bytes() for path in got.rglob("*") if path.is_file()}
    for path, content in fetched.items():
        assert content == (site / path).read_bytes(), path
    assert fetched.keys() == {"index.html", "look/site.css", "back.svg", "a b.svg", "deep/index.html", "deep/leaf.html"}
