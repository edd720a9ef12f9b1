# The log of a running server, followed: its file through rotations, its rings where it has none.
"""`wsrv log tail` beside a server under load: as many lines as requests were sent."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_log_files import Asker, files, rotated
from tests.support.launch import Launched, Launcher
from tests.support.server import WSRV, wait_for

_TARGET = re.compile(rb'"(?:GET |target":")/\?(\d+)-(\d+)')
ASKERS = 4
ROTATIONS = 50


class Follower:
    """`wsrv log tail -f` in a process of its own, whose output goes to a file."""

    def __init__(self, launch: Launcher, server: Launched, out: Path, *options: str) -> None:
        self._out = out
        command = [*WSRV, "log", "tail", "-f", "--runtime-dir", str(server.runtime), *options]
        with out.open("wb") as stdout:
            self.popen = launch.process(command, stdout=stdout)

    def lines(self) -> list[bytes]:
        return self._out.read_bytes().splitlines(keepends=True)

    def wait_for(self, count: int) -> list[bytes]:
        """The lines, once there are so many; more come if they are to."""
        wait_for(lambda: len(self.lines()) >= count, f"{count} followed lines", 60)
        return self.lines()

    def end(self) -> str:
        """What it says when it is told to end."""
        self.popen.send_signal(signal.SIGINT)
        _, said = self.popen.communicate(timeout=20)
        return said.decode()


def ask(server: Launched, times: int) -> list[tuple[int, int]]:
    """So many requests of each of ASKERS; all of them."""
    askers = [Asker(server, number, times) for number in range(ASKERS)]
    for asker in askers:
        asker.join(60)
        assert not asker.is_alive()
    return [(number, time) for number in range(ASKERS) for time in range(times)]


def targets(lines: list[bytes]) -> list[tuple[int, int]]:
    found = [_TARGET.search(line) for line in lines]
    return [(int(match[1]), int(match[2])) for match in found if match is not None]


def test_fifty_rotations_under_load_and_as_many_lines_as_requests(launch: Launcher, site: Path, tmp_path: Path) -> None:
    server = rotated(launch, site, 4096, 1000)
    assert server.get("/first").status == 404
    follower = Follower(launch, server, tmp_path / "followed", "-n", "1")
    follower.wait_for(1)
    asked = ask(server, 1000)
    assert server.status_after_term() == 0
    lines = follower.wait_for(1 + len(asked))
    assert follower.end() == ""
    assert len(files(server)) > ROTATIONS
    assert sorted(targets(lines)) == asked
    assert len(lines) == 1 + len(asked)
    assert b"".join(lines) == b"".join(path.read_bytes() for path in files(server)), "in order, byte for byte"


def test_a_log_on_standard_output_is_told_by_the_server(launch: Launcher, site: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        command = launch.arguments(site, "--workers", "2", "--log-format", "json")
        server = launch(site, command=command, stdout=out)
    server.log = tmp_path / "out"
    before = [f"/before-{number}" for number in range(20)]
    for target in before:
        assert server.get(target).status == 404
    server.log_lines(20)
    follower = Follower(launch, server, tmp_path / "followed", "-n", "5")
    follower.wait_for(5)
    asked = ask(server, 500)
    lines = follower.wait_for(5 + len(asked))
    assert sorted(targets(lines)) == asked
    assert len(lines) == 5 + len(asked)
    assert all(json.loads(line)["status"] == 404 for line in lines[:5])
    assert server.status_after_term() == 0
    # The server's end is the end of what it tells.
    _, said = follower.popen.communicate(timeout=20)
    assert (follower.popen.returncode, said) == (0, b"")
    assert sorted(lines) == sorted([*lines[:5], *server.log.read_bytes().splitlines(keepends=True)[20:]])


@pytest.mark.parametrize("kept_ready", [True, False], ids=["a file", "a stream"])
def test_the_last_lines_of_a_running_server(launch: Launcher, site: Path, tmp_path: Path, kept_ready: bool) -> None:
    with (tmp_path / "out").open("wb") as out:
        command = None if kept_ready else launch.arguments(site, "--workers", "2")
        server = launch(site, command=command, stdout=out)
    if not kept_ready:
        server.log = tmp_path / "out"
    for number in range(30):
        assert server.get(f"/{number}").status == 404
    server.log_lines(30)
    command = [*WSRV, "log", "tail", "--runtime-dir", str(server.runtime)]
    shown = subprocess.run([*command, "-n", "300"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert sorted(shown.splitlines()) == sorted(server.log.read_text().splitlines())
    few = subprocess.run([*command, "--path", "/*7"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert len(few.splitlines()) == 3
    counted = subprocess.run(
        [*command, "--count-by", "status", "--json"], capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert json.loads(counted)["requests"] == 30


@pytest.mark.parametrize("name", ["combined", "common", "json"])
def test_goaccess_reads_the_log_without_a_rejected_line(
    launch: Launcher, site: Path, tmp_path: Path, name: str
) -> None:
    server = launch(site, "--log-format", name, "--workers", "1")
    hostile = (
        b'GET /%00"<> HTTP/1.1\r\n\r\n',
        b'GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: "\\ \xff\xe9\t|\r\nReferer: http://x/"\r\n\r\n',
        b"GET /b?q=%22%5C HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    )
    for raw in hostile:
        assert server.say(raw)
    for target in ["/", "/none", "/index.html"] * 20:
        server.get(target)
    count = 60 + len(hostile)
    server.log_lines(count)
    report, rejected = tmp_path / "report.json", tmp_path / "rejected"
    command = ["goaccess", str(server.log), "--no-global-config", "-o", str(report), f"--invalid-requests={rejected}"]
    layouts = {
        "combined": ["--log-format=COMBINED"],
        "common": ["--log-format=COMMON"],
        "json": [
            '--log-format={"time":"%dT%t+%^","client":"%h","user":"%e","method":"%m","target":"%U","protocol":"%H",'
            '"status":"%s","bytes":"%b","referer":"%R","user_agent":"%u","host":"%v","duration":"%T","cache":"%C"}',
            "--date-format=%Y-%m-%d",
            "--time-format=%H:%M:%S",
        ],
    }
    environment = {"TZ": "UTC", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([*command, *layouts[name]], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    general = json.loads(report.read_text())["general"]
    assert (general["failed_requests"], general["valid_requests"]) == (0, count)
    assert not rejected.exists() or rejected.read_bytes() == b""
