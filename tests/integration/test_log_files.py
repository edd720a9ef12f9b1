# The access log as a file: rotation loses nothing, tears nothing, keeps the order, and keeps as much as it should.
"""Log files and their rotation."""

import re
import signal
import threading
from pathlib import Path

import pytest

from tests.support.launch import Launched, Launcher, wait_until_gone
from tests.support.processes import children
from tests.support.server import read_answer, wait_for

_ASKED = re.compile(rb'127\.0\.0\.1 - - \[[^]]+\] "GET /\?(\d+)-(\d+) HTTP/1\.1" 200 36 "-" "-"\n')
_LINE_BYTES = 90


def rotated(launch: Launcher, site: Path, max_bytes: int, keep: int, workers: int = 2) -> Launched:
    """A server with a log of so many files of so many bytes."""
    config = site.parent / "rotated.toml"
    config.write_text(f"[log]\nmax_size = {max_bytes}\nkeep = {keep}\n")
    return launch(site, "--config", str(config), "--workers", str(workers))


def files(server: Launched) -> list[Path]:
    """The files of the log, the oldest first."""
    older = sorted(server.log.parent.glob(f"{server.log.name}.*"), key=lambda path: -int(path.suffix[1:]))
    return [*older, server.log]


def asked(path: Path) -> list[tuple[int, int]]:
    """Who asked, and for the how-manieth time, line by line; fails when a line is torn."""
    lines = path.read_bytes().splitlines(keepends=True)
    found = [_ASKED.fullmatch(line) for line in lines]
    assert [line for line, match in zip(lines, found, strict=True) if match is None] == []
    return [(int(match[1]), int(match[2])) for match in found if match is not None]


class Asker(threading.Thread):
    """Asks for numbered targets over one connection, several at a time."""

    def __init__(self, server: Launched, number: int, times: int) -> None:
        super().__init__()
        self._sock = server.connect()
        self._targets = [f"GET /?{number}-{time} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for time in range(times)]
        self.start()

    def run(self) -> None:
        for at in range(0, len(self._targets), 50):
            batch = self._targets[at : at + 50]
            for target in batch:
                self._sock.sendall(target)
                assert read_answer(self._sock).status == 200


def ask(server: Launched, askers: int, times: int) -> None:
    """So many clients at once ask so many times each; then the server ends."""
    for asker in [Asker(server, number, times) for number in range(askers)]:
        asker.join(30)
    server.signal(signal.SIGTERM)
    assert server.status() == 0


@pytest.mark.parametrize(("max_bytes", "times"), [(1, 30), (200, 100), (4096, 500), (65536, 1000)])
def test_rotation_keeps_every_line_whole_and_in_order(launch: Launcher, site: Path, max_bytes: int, times: int) -> None:
    server = rotated(launch, site, max_bytes, 1000)
    ask(server, 4, times)
    found = files(server)
    lines = [line for path in found for line in asked(path)]
    for number in range(4):
        assert [time for asker, time in lines if asker == number] == list(range(times))
    assert len(lines) == 4 * times
    assert all(path.stat().st_size <= max(max_bytes, _LINE_BYTES) for path in found)
    assert len(found) >= min(4 * times, 4 * times * 80 // max(max_bytes, _LINE_BYTES))
    assert [path.suffix for path in found[:-1]] == [f".{number}" for number in range(len(found) - 1, 0, -1)]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_no_more_files_remain_than_are_to_be_kept_and_the_newest_do(launch: Launcher, site: Path, keep: int) -> None:
    server = rotated(launch, site, 4096, keep, workers=1)
    ask(server, 1, 1000)
    found = files(server)
    assert len(found) == keep + 1
    lines = [time for path in found for _, time in asked(path)]
    assert lines == list(range(1000 - len(lines), 1000))
    assert len(lines) > keep * 30


def test_killed_log_writer_loses_and_repeats_nothing_while_it_rotates(launch: Launcher, site: Path) -> None:
    server = rotated(launch, site, 2048, 1000)
    askers = [Asker(server, number, 1500) for number in range(4)]
    for _ in range(15):
        writers = wait_for(lambda: children(server.process, "wsrv: log"), "a log writer")
        writers[0].kill()
        wait_until_gone(writers, 5)
    for asker in askers:
        asker.join(30)
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    lines = [line for path in files(server) for line in asked(path)]
    assert sorted(lines) == [(number, time) for number in range(4) for time in range(1500)]


def test_second_server_goes_on_with_the_log_of_the_first(launch: Launcher, site: Path) -> None:
    server = rotated(launch, site, 4096, 1000)
    ask(server, 1, 100)
    again = launch(site, "--config", str(site.parent / "rotated.toml"), "--log-file", str(server.log))
    again.log = server.log
    ask(again, 1, 100)
    assert [time for path in files(server) for _, time in asked(path)] == [*range(100), *range(100)]


def test_log_that_cannot_be_rotated_grows_on_with_one_warning(launch: Launcher, site: Path, tmp_path: Path) -> None:
    server = rotated(launch, site, 4096, 1)
    (server.log.parent / f"{server.log.name}.1" / "in the way").mkdir(parents=True)
    ask(server, 2, 300)
    assert len(asked(server.log)) == 600
    assert server.words().count(f"cannot rotate {server.log} (Is a directory); it grows on\n") == 1


def test_log_whose_folder_is_gone_loses_lines_and_nothing_else(launch: Launcher, site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    server = launch(site, "--log-file", str(folder / "log"))
    assert server.get("/").status == 200
    wait_for(lambda: (folder / "log").read_bytes(), "the first line")
    folder.rename(tmp_path / "moved")
    (writer,) = children(server.process, "wsrv: log")
    writer.kill()
    for _ in range(3):
        assert server.get("/").status == 200
    wait_for(lambda: "access log: No such file or directory; lines will be lost" in server.words(), "the complaint")
    assert "Traceback" not in server.words()
    folder.mkdir()
    wait_for((folder / "log").exists, "the log, opened anew")
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert (folder / "log").read_bytes().count(b"\n") == 3, "what had not been lost yet is written when it can be"
    assert "lines of the access log were lost" not in server.words()
