"""Files that change, go and come back, and roots that are swapped, under load: no answer is of two versions."""

import os
import random
import threading
from pathlib import Path
from time import monotonic

import pytest

from tests.support.checked import Checkers, put, sealed
from tests.support.server import Server, Servers, wait_for

FILES = 12
STEPS = 60
# Small, several blocks of a shared cache, more than a store holds as one string, and above cache.max_object.
LENGTHS = (10, 3000, 30_000, 400_000)


class Releases:
    """Two releases of a site, and the link `current` to one of them. Every file holds its release and its version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chance = random.Random(4)
        self._version = 0
        self.current = "v1"
        self.root = folder / "current"
        for release in ("v1", "v2"):
            (folder / release).mkdir()
            for number in range(FILES):
                put(folder / release / f"{number}.bin", self.content(release, number))
        self.root.symlink_to("v1")

    def content(self, release: str, number: int) -> bytes:
        """The next version of a file."""
        self._version += 1
        text = f"{release} version {self._version:06} ".encode()
        return sealed(text * (LENGTHS[number % len(LENGTHS)] // len(text) + 1))

    def step(self) -> str:
        """Do something to the site; what it was."""
        what = self._chance.choice(("replace", "replace", "delete", "return", "swap"))
        number = self._chance.randrange(FILES)
        path = self._folder / self.current / f"{number}.bin"
        if what == "swap":
            self.current = "v2" if self.current == "v1" else "v1"
            (self._folder / "next").symlink_to(self.current)
            os.replace(self._folder / "next", self.root)
        elif what == "delete":
            path.unlink(missing_ok=True)
        elif what == "replace" or not path.exists():
            put(path, self.content(self.current, number))
        return what

    def files(self) -> dict[str, bytes | None]:
        """What each target is now."""
        paths = {f"/{number}.bin": self.root / f"{number}.bin" for number in range(FILES)}
        return {target: path.read_bytes() if path.exists() else None for target, path in paths.items()}


def shows(server: Server, files: dict[str, bytes | None]) -> bool:
    """Whether answers are what the files are: asked often enough for each worker to be among those that answer."""
    for target, content in files.items():
        for _ in range(4):
            answer = server.get(target)
            if (answer.status, answer.body) != ((200, content) if content is not None else (404, answer.body)):
                return False
    return True


@pytest.mark.parametrize("scope", ["process", "shared"])
def test_while_files_change_and_roots_are_swapped_no_answer_is_of_two_versions(
    servers: Servers, tmp_path: Path, scope: str
) -> None:
    (tmp_path / "site").mkdir()
    site = Releases(tmp_path / "site")
    server = servers(site.root, "--cache-scope", scope, "--workers", "2", "--cache-size", "2MiB")
    with Checkers(server.port, list(site.files())) as clients:
        for _ in range(STEPS):
            begun = clients.answered + clients.missing
            site.step()
            wait_for(lambda begun=begun: clients.answered + clients.missing > begun + 15, "answers")  # type: ignore[misc]
        wait_for(lambda: shows(server, site.files()), "the site as it is")
        for release in ("v2", "v1", "v2"):
            site.current = "v1" if release == "v2" else "v2"
            while site.step() != "swap":
                pass
            wait_for(lambda: shows(server, site.files()), "the other release")
    assert clients.faults == []
    assert clients.broken == 0
    assert clients.answered > 15 * STEPS // 2


@pytest.mark.parametrize("scope", ["process", "shared"])
def test_a_file_that_is_cut_short_while_it_is_read_is_never_padded(servers: Servers, site: Path, scope: str) -> None:
    full = b"".join(b"line %06d\n" % number for number in range(40_000))
    path = site / "cut.txt"
    path.write_bytes(full)
    # Every answer is to be of what the file is at that moment.
    config = site.parent / "wsrv.toml"
    config.write_text('[cache]\nrevalidate = "0s"\n')
    server = servers(site, "--cache-scope", scope, "--workers", "2", "--config", str(config))
    enough = threading.Event()

    def cut() -> None:
        chance = random.Random(2)
        while not enough.is_set():
            path.write_bytes(full)
            enough.wait(chance.choice((0, 0.001, 0.03)))
            os.truncate(path, chance.randrange(len(full)))
            enough.wait(chance.choice((0, 0.001, 0.03)))

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        lengths: set[int] = set()
        asked = 0
        until = monotonic() + 30
        # A busy disk may hold up the one who cuts for a while.
        while (asked < 200 or len(lengths) < 4) and monotonic() < until:
            asked += 1
            answer = server.get("/cut.txt")
            if answer.status == 503:
                continue  # it did not hold still through five readings
            assert answer.status == 200
            assert len(answer.body) == int(answer.fields["content-length"])
            assert full.startswith(answer.body), "bytes that the file never had"
            lengths.add(len(answer.body))
    finally:
        enough.set()
        cutter.join()
    assert len(lengths) > 3
    os.truncate(path, 12)
    wait_for(lambda: {server.get("/cut.txt").body for _ in range(6)} == {full[:12]}, "the file as it is")


def test_workers_watch_the_folders_that_they_serve_from_and_a_change_ends_that(
    servers: Servers, tmp_path: Path
) -> None:
    folder = tmp_path / "site" / "folder"
    folder.mkdir(parents=True)
    (folder / "page.txt").write_bytes(b"old")
    server = servers(tmp_path / "site", "--workers", "1")
    (worker,) = server.workers()

    def watched() -> int:
        """How many folders the worker watches (proc_pid_fdinfo(5))."""
        assert server.get("/folder/page.txt").body == b"old"
        tables = Path(f"/proc/{worker.pid}/fdinfo").iterdir()
        return sum(table.read_text().count("inotify wd:") for table in tables)

    wait_for(lambda: watched() == 2, "a watch of the folder, and one of the root on the way to it")
    put(folder / "page.txt", b"new")
    wait_for(lambda: server.get("/folder/page.txt").body == b"new", "the change", 5)
