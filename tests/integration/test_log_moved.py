# Others rotate the log too: they move the file away and send SIGUSR1.
"""SIGUSR1 opens the access log anew, and nothing is lost between the old file and the new one."""

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil

from tests.integration.test_log_files import Asker, asked
from tests.support.launch import Launched, Launcher
from tests.support.server import wait_for

CONFIG = (Path(__file__).parents[2] / "CONFIG.md").read_text()


def move(server: Launched, number: int) -> Path:
    """Move the log away, and have it opened anew; where it is now."""
    away = server.log.with_name(f"moved.{number:03d}")
    server.log.rename(away)
    server.signal(signal.SIGUSR1)
    wait_for(server.log.exists, "the log, opened anew")
    return away


def test_a_log_that_is_moved_away_under_load_loses_nothing(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2")
    askers = [Asker(server, number, 1500) for number in range(3)]
    moved = [move(server, number) for number in range(20)]
    for asker in askers:
        asker.join(60)
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    lines = [line for path in (*moved, server.log) for line in asked(path)]
    assert sorted(lines) == [(number, time) for number in range(3) for time in range(1500)]
    assert [time for number, time in lines if number == 0] == [*range(1500)], "in order, over all files"


def test_the_file_is_opened_anew_though_nobody_asks(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "1")
    assert server.get("/").status == 200
    server.log_lines(1)
    away = move(server, 0)
    assert server.get("/").status == 200
    assert len(server.log_lines(1)) == 1
    assert away.read_bytes().count(b"\n") == 1


def test_a_log_that_cannot_be_opened_anew_goes_on_where_it_was(launch: Launcher, site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    server = launch(site, "--log-file", str(folder / "log"))
    assert server.get("/").status == 200
    wait_for(lambda: (folder / "log").read_bytes(), "the first line")
    folder.rename(tmp_path / "moved")
    server.signal(signal.SIGUSR1)
    wait_for(lambda: "cannot be opened anew (No such file or directory)" in server.words(), "the complaint")
    assert server.get("/").status == 200
    wait_for(lambda: (tmp_path / "moved" / "log").read_bytes().count(b"\n") == 2, "the second line")


def test_sigusr1_to_everybody_ends_nobody(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--cache-scope", "shared")
    family = server.family()
    for process in family:
        process.send_signal(signal.SIGUSR1)
    assert server.get("/").status == 200
    assert all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    server.signal(signal.SIGUSR1)
    server.signal(signal.SIGTERM)
    assert server.status() == 0


def test_logrotate_rotates_with_what_the_documents_say(launch: Launcher, site: Path, tmp_path: Path) -> None:
    found = re.search(r"```\n(/var/log/wsrv/access\.log \{.*?\n\})\n```", CONFIG, re.DOTALL)
    assert found is not None
    server = launch(site, "--workers", "1")
    text = found[1].replace("/var/log/wsrv/access.log", str(server.log))
    text = text.replace("/run/wsrv/site", str(server.runtime / str(server.port)))
    assert text.count(str(tmp_path)) == 2
    config = tmp_path / "logrotate.conf"
    config.write_text(f"su root root\n{text}\n" if os.geteuid() == 0 else text)
    config.chmod(0o644)
    for _ in range(3):
        assert server.get("/").status == 200
        server.log_lines(1)
        command = ["/usr/sbin/logrotate", "-f", "-s", str(tmp_path / "state"), str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        wait_for(server.log.exists, "the log, opened anew")
    assert server.get("/").status == 200
    server.log_lines(1)
    names = sorted(path.name for path in server.log.parent.glob(f"{server.log.name}.*"))
    assert names == [f"{server.log.name}.{number}" for number in ("1", "2.gz", "3.gz")]
