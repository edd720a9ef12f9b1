# What becomes of the access log when its reader is slow, gone, or was never there. (Its files: test_log_files.py)
"""The log on streams, and servers with streams that are closed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.launch import Launched, Launcher, environment
from tests.support.processes import children
from tests.support.server import WSRV, read_answer, wait_for

# Together they overflow a pipe (64 KiB) and two workers' rings (1 MiB each) many times over.
TOO_MANY = 160_000
_LINE = re.compile(rb'127\.0\.0\.1 - - \[[^]]+\] "GET /[^" ]* HTTP/1\.[01]" 200 \d+ "-" "[^"]*"')
_LOST = re.compile(r"warning: (\d+) lines of the access log were lost")


def burst(server: Launched, requests: int) -> None:
    """Send so many requests as fast as the server answers them, and see each answered."""
    ab = ["ab", "-q", "-k", "-n", str(requests), "-c", "20", f"{server.url}/"]
    table = subprocess.run(ab, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(r"Failed requests: +0\n", table), table
    assert re.search(rf"Complete requests: +{requests}\n", table), table


def ask(server: Launched, targets: list[str]) -> None:
    """Ask for each target in turn, on one connection."""
    sock = server.connect()
    for target in targets:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert read_answer(sock).status == 200
    sock.close()


def whole_lines(text: bytes) -> list[bytes]:
    """The lines of `text`; fails when one of them is torn."""
    assert text.endswith(b"\n")
    lines = text.splitlines()
    assert [line for line in lines if not _LINE.fullmatch(line)] == []
    return lines


class Reader(threading.Thread):
    """Reads the server's standard output to its end, `step` bytes at a time."""

    def __init__(self, server: Launched, step: int = 65536) -> None:
        super().__init__()
        assert server.popen.stdout is not None
        self._fd = server.popen.stdout.fileno()
        self._step = step
        self._pieces: list[bytes] = []
        self.start()

    def run(self) -> None:
        while piece := os.read(self._fd, self._step):
            self._pieces.append(piece)

    def has_seen(self, text: bytes) -> bool:
        """Whether `text` has come."""
        return text in b"".join(self._pieces)

    def lines(self) -> list[bytes]:
        """All lines, once the server has ended."""
        self.join(20)
        return whole_lines(b"".join(self._pieces))


def lost(server: Launched) -> int:
    """How many lines the server says in the end that were lost."""
    found = _LOST.findall(server.words())
    assert len(found) <= 1
    return int(found[0]) if found else 0


def test_reader_that_stops_stops_nobody_and_loses_what_is_counted(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--log-file", "-", stdout=subprocess.PIPE)
    burst(server, TOO_MANY)
    stats = server.stats()
    assert stats["requests_total"] == TOO_MANY
    assert stats["log_dropped"] > TOO_MANY / 3
    reader = Reader(server)
    # It has come back, and soon there is room again.
    asked = 0
    while not reader.has_seen(b"/?after"):
        ask(server, ["/?after"] * 10)
        asked += 10
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert len(reader.lines()) + lost(server) == TOO_MANY + asked
    assert lost(server) < TOO_MANY


def test_reader_that_never_comes_back_bounds_the_end(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--log-file", "-", stdout=subprocess.PIPE)
    family = server.family()
    burst(server, TOO_MANY)
    server.signal(signal.SIGTERM)
    assert server.status(10) == 0
    assert len(Reader(server).lines()) + lost(server) == TOO_MANY
    server.assert_nothing_left(family)


def test_second_signal_does_not_wait_for_the_reader(launch: Launcher, site: Path) -> None:
    server = launch(site, "--log-file", "-", "--timeout", "60s", stdout=subprocess.PIPE)
    burst(server, TOO_MANY // 2)
    begun = server.connect()
    begun.sendall(b"GET / HTTP/1.1\r\n")
    wait_for(lambda: server.stats()["connections_active"] == 1, "the beginning of a request")
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGINT)
    assert server.status(5) == 0
    assert len(Reader(server).lines()) + lost(server) == TOO_MANY // 2


def test_reader_that_has_gone_does_not_matter(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--log-file", "-", stdout=subprocess.PIPE)
    assert server.popen.stdout is not None
    server.popen.stdout.close()
    burst(server, TOO_MANY)
    assert server.stats()["requests_total"] == TOO_MANY
    server.workers()[0].kill()
    assert server.get("/").status == 200
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert server.words().count("access log: Broken pipe; lines will be lost\n") == 1
    assert lost(server) == TOO_MANY + 1


def test_full_device_is_told_once_and_does_not_matter(launch: Launcher, site: Path) -> None:
    server = launch(site, "--log-file", "/dev/full")
    ask(server, ["/"] * 100)
    server.signal(signal.SIGTERM)
    assert server.status(10) == 0
    assert server.words().count("access log: No space left on device; lines will be lost\n") == 1
    assert lost(server) == 100


def test_slow_reader_of_long_lines_sees_none_torn(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--log-file", "-", stdout=subprocess.PIPE)
    reader = Reader(server, step=1000)
    targets = [f"/?{number}={'x' * (5000 + 97 * number % 2000)}" for number in range(200)]
    askers = [threading.Thread(target=ask, args=(server, targets)) for _ in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert len(reader.lines()) + lost(server) == 1200


def test_log_may_go_into_a_process_substitution(launch: Launcher, site: Path, tmp_path: Path) -> None:
    substituted = tmp_path / "substituted"
    wrapper = ["bash", "-c", 'exec "$@" --log-file >(cat >"$0")', str(substituted)]
    server = launch(site, wrapper=wrapper)
    ask(server, ["/?1", "/?2"])
    (writer,) = children(server.process, "wsrv: log")
    wait_for(lambda: substituted.read_bytes().count(b"\n") == 2, "both lines")
    # Of a pipe nobody can tell what a writer wrote that was killed in the middle; so not in the middle.
    wait_for(lambda: writer.status() == psutil.STATUS_SLEEPING, "the log writer to rest")
    writer.kill()
    ask(server, ["/?3"])
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    wait_for(lambda: b"/?3 " in substituted.read_bytes(), "all lines")
    assert [line.split(b'"')[1] for line in whole_lines(substituted.read_bytes())] == [
        b"GET /?1 HTTP/1.1",
        b"GET /?2 HTTP/1.1",
        b"GET /?3 HTTP/1.1",
    ]


# Servers that nobody listens to.


def found(launch: Launcher) -> Any:
    """The statistics of the only server, once it answers."""

    def answer() -> Any:
        command = [*WSRV, "stats", "--json", "--runtime-dir", str(launch.runtime)]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment())
        return asked.returncode == 0 and json.loads(asked.stdout)

    return wait_for(lambda: (s := answer()) and s["workers"][0]["heartbeat_age_seconds"] is not None and s, "a server")


def unheard(launch: Launcher, popen: "subprocess.Popen[bytes]", log: Path) -> Launched:
    """The server that `popen` is, its port learned from its statistics."""
    port = int(found(launch)["listeners"][0].rpartition(":")[2])
    return launch.adopt(Launched(popen, popen.pid, port, log, launch.runtime, Path(os.devnull)))


@pytest.mark.parametrize(
    ("closed", "to_file"), [((1,), True), ((2,), True), ((0, 1, 2), True), ((1,), False), ((0, 1, 2), False)], ids=str
)
def test_closed_standard_streams_do_not_matter(
    launch: Launcher, site: Path, tmp_path: Path, closed: tuple[int, ...], to_file: bool
) -> None:
    log = tmp_path / "log"
    arguments = launch.arguments(site, "--workers", "1", log=log if to_file else None)
    popen = launch.process(arguments, closed=closed)
    server = unheard(launch, popen, log)
    ask(server, ["/"] * 20)
    server.workers()[0].kill()
    assert server.get("/").body == (site / "index.html").read_bytes()
    if to_file:
        assert len(server.log_lines(21)) == 21
    server.signal(signal.SIGTERM)
    assert server.status() == 0


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that takes nothing more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    yield writer
    os.close(writer)
    os.close(reader)


def test_stderr_that_nobody_reads_does_not_matter(launch: Launcher, site: Path, tmp_path: Path, full_pipe: int) -> None:
    # What the log writer has to say at the second line, that it cannot rotate, does not fit either.
    log = tmp_path / "log"
    config = tmp_path / "rotated.toml"
    config.write_text("[log]\nmax_size = 1\nkeep = 1\n")
    (tmp_path / "log.1" / "in the way").mkdir(parents=True)
    popen = launch.process(launch.arguments(site, "--config", str(config), "-v", log=log), stderr=full_pipe)
    server = unheard(launch, popen, log)
    for _ in range(3):
        found(launch)
        server.workers()[0].kill()
        assert server.get("/").status == 200
    assert len(server.log_lines(3)) == 3
    server.signal(signal.SIGTERM)
    assert server.status(10) == 0
