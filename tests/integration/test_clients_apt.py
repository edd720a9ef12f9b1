# apt against a small repository of its own making: it asks for a file before the answer to the last one has come
# (pipelining), and for what it has had with If-Modified-Since.
"""`apt-get update` and `apt-get download` from a folder that is merely served."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from tests.support.program import run, surroundings
from tests.support.server import Server, Servers, wait_for

pytestmark = pytest.mark.once("what another program makes of the same bytes")

PACKAGES = 12
# Past it a file is not held in memory but streamed.
LARGE_BYTES = 1_500_000

_SETTINGS = """
Dir "{folder}/";
Dir::Etc "etc/";
Dir::Etc::parts "none/";
Dir::Etc::sourceparts "none/";
Dir::Etc::preferencesparts "none/";
Dir::State "state/";
Dir::State::status "{folder}/state/status";
Dir::Cache "cache/";
Dir::Log "log/";
Dir::Bin::dpkg "/usr/bin/dpkg";
Acquire::Languages "none";
Acquire::Retries "0";
APT::Sandbox::User "{user}";
"""


class Repository:
    """Packages in `pool/`, and what apt wants to know of them in `dists/stable/`."""

    def __init__(self, folder: Path, served: Path) -> None:
        self._folder = folder
        self._served = served
        self.env = surroundings(folder)
        (served / "pool").mkdir()

    def publish(self, version: str) -> dict[str, str]:
        """All packages in `version`, the index of all that lie there; digests of this version by file name."""
        digests = {}
        for number in range(PACKAGES):
            name = f"sundial-{number}"
            tree = self._folder / "build" / f"{name}-{version}"
            (tree / "DEBIAN").mkdir(parents=True)
            (tree / "usr").mkdir()
            (tree / "usr" / name).write_bytes(os.urandom(LARGE_BYTES if number % 3 == 1 else 300 * number))
            about = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a test <a@example.org>\n"
            (tree / "DEBIAN" / "control").write_text(f"{about}Description: one of {PACKAGES}\n")
            deb = self._served / "pool" / f"{name}_{version}_all.deb"
            run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, deb, env=self.env)
            digests[deb.name] = hashlib.sha256(deb.read_bytes()).hexdigest()
        self._index()
        return digests

    def _index(self) -> None:
        entries = []
        for deb in sorted((self._served / "pool").iterdir()):
            control = run("dpkg-deb", "--field", deb, env=self.env).stdout.decode()
            content = deb.read_bytes()
            place = f"Filename: pool/{deb.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
            entries.append(control + place)
        dist = self._served / "dists" / "stable"
        (dist / "main" / "binary-all").mkdir(parents=True, exist_ok=True)
        plain = "\n".join(entries).encode()
        listed = {"main/binary-all/Packages": plain, "main/binary-all/Packages.gz": gzip.compress(plain)}
        sums = ""
        for path, content in listed.items():
            (dist / path).write_bytes(content)
            sums += f" {hashlib.sha256(content).hexdigest()} {len(content)} {path}\n"
        release = "Suite: stable\nCodename: stable\nArchitectures: all\nComponents: main\n"
        (dist / "Release").write_text(f"{release}Date: Mon, 23 Nov 2026 12:00:00 UTC\nSHA256:\n{sums}")


class Apt:
    """apt-get with settings, lists, cache and sources of its own."""

    def __init__(self, folder: Path, server: Server) -> None:
        for place in ("etc/none", "state/lists/partial", "cache/archives/partial", "log", "got"):
            (folder / place).mkdir(parents=True)
        (folder / "state" / "status").touch()
        (folder / "etc" / "sources.list").write_text(f"deb [trusted=yes] {server.url}/ stable main\n")
        user = "root" if os.geteuid() == 0 else ""
        (folder / "settings").write_text(_SETTINGS.format(folder=folder, user=user))
        self.env = surroundings(folder, APT_CONFIG=str(folder / "settings"))
        self.got = folder / "got"

    def __call__(self, *words: str) -> str:
        """What it said; a complaint about the downloads fails."""
        done = run("apt-get", *words, env=self.env, cwd=self.got)
        assert not any(line.startswith((b"W:", b"E:")) for line in done.stderr.splitlines()), done.stderr
        return done.stdout.decode()

    def digests(self) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.got.iterdir()}


@pytest.fixture
def repository(tmp_path: Path, site: Path) -> Repository:
    return Repository(tmp_path, site)


def test_update_and_download(servers: Servers, site: Path, tmp_path: Path, repository: Repository) -> None:
    published = repository.publish("1.0")
    server = servers(site, "--workers", "2")
    apt = Apt(tmp_path / "apt", server)
    assert "Get:" in apt("update")
    apt("download", *(f"sundial-{number}" for number in range(PACKAGES)))
    assert apt.digests() == published
    wait_for(lambda: server.log.read_text().count('.deb HTTP/1.1" 200 ') == PACKAGES, "a line a package")


def test_update_without_news_is_304_and_with_news_sees_them(
    servers: Servers, site: Path, tmp_path: Path, repository: Repository
) -> None:
    repository.publish("1.0")
    # One worker: each asks the disk for itself, so that two may differ for as long as an answer is good.
    server = servers(site, "--workers", "1")
    apt = Apt(tmp_path / "apt", server)
    apt("update")
    assert "Hit:" in apt("update")
    wait_for(lambda: '/Release HTTP/1.1" 304 ' in server.log.read_text(), "the 304 to be logged")
    # apt compares whole seconds: the new index must be younger by one.
    release = site / "dists" / "stable" / "Release"
    first = release.stat().st_mtime_ns
    newer = repository.publish("1.1")
    os.utime(release, ns=(first + 2 * 10**9, first + 2 * 10**9))
    for name in ("Release", "main/binary-all/Packages", "main/binary-all/Packages.gz"):
        served = f"/dists/stable/{name}"

        def is_new(path: str = served) -> bool:
            return server.get(path).body == (site / path[1:]).read_bytes()

        wait_for(is_new, f"the new {name} to be served")
    apt("update")
    apt("download", "sundial-1", "sundial-2")
    assert apt.digests() == {name: newer[name] for name in ("sundial-1_1.1_all.deb", "sundial-2_1.1_all.deb")}


@pytest.mark.parametrize(("date", "status"), [(1_700_000_000, 206), (1_699_999_999, 200)])
def test_a_download_that_was_broken_off_is_resumed_by_its_date(
    servers: Servers, site: Path, tmp_path: Path, repository: Repository, date: int, status: int
) -> None:
    published = repository.publish("1.0")
    name = "sundial-1_1.0_all.deb"
    whole = site / "pool" / name
    os.utime(whole, (1_700_000_000, 1_700_000_000))
    server = servers(site, "--workers", "2")
    apt = Apt(tmp_path / "apt", server)
    apt("update")
    # As apt leaves it: the front of the file, with the date of the whole.
    archives = tmp_path / "apt" / "cache" / "archives"
    (archives / "partial" / name).write_bytes(whole.read_bytes()[:1_000_000])
    os.utime(archives / "partial" / name, (date, date))
    apt("install", "--download-only", "--yes", "sundial-1")
    assert hashlib.sha256((archives / name).read_bytes()).hexdigest() == published[name]
    wait_for(lambda: f'/pool/{name} HTTP/1.1" {status} ' in server.log.read_text(), "the rest to be logged")
