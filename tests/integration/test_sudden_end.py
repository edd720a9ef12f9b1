# What is left when the master is killed: nothing that hinders the next server, and every line of what was answered.
"""Servers that are killed."""

import contextlib
import os
import re
import signal
import threading
from pathlib import Path

from tests.support.download import BIG, begin_download, read_body
from tests.support.launch import Launched, Launcher, wait_until_gone
from tests.support.server import read_answer, wait_for

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Asker(threading.Thread):
    """Asks for numbered targets on one connection until it ends; notes which answers came whole."""

    def __init__(self, server: Launched, number: int) -> None:
        super().__init__()
        self._sock = server.connect()
        self._number = number
        self.whole: list[str] = []

    def run(self) -> None:
        with self._sock, contextlib.suppress(OSError, AssertionError):
            while True:
                name = f"{self._number}-{len(self.whole)}"
                self._sock.sendall(f"GET /?n={name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                if read_answer(self._sock).status == 200:
                    self.whole.append(name)


def test_killed_master_leaves_nothing_and_loses_no_line(launch: Launcher, site: Path) -> None:
    shared = set(os.listdir("/dev/shm"))
    server = launch(site, "--workers", "2", "--name", "kept")
    family = server.family()
    assert len(family) == 4
    idle = server.connect()
    idle.sendall(GET)
    assert read_answer(idle).status == 200
    askers = [Asker(server, number) for number in range(4)]
    for asker in askers:
        asker.start()
    wait_for(lambda: all(len(asker.whole) > 100 for asker in askers), "some answers")
    server.signal(signal.SIGKILL)
    assert server.status() == -signal.SIGKILL
    again = launch(site, "--workers", "1", "--name", "kept", "--port", str(server.port))
    assert again.port == server.port
    assert again.get("/").status == 200
    for asker in askers:
        asker.join(10)
    assert idle.recv(1) == b""
    wait_until_gone(family, 10)
    logged = re.findall(r'"GET /\?n=(\S+) HTTP/1\.1" 200 ', server.log.read_text())
    assert len(logged) == len(set(logged))
    assert not {name for asker in askers for name in asker.whole} - set(logged)
    assert again.get("/").status == 200, "the dead server's workers take none of its connections"
    assert (again.runtime / "kept" / "pid").read_text() == f"{again.pid}\n"
    family = again.family()
    again.signal(signal.SIGTERM)
    assert again.status() == 0
    again.assert_nothing_left(family)
    wait_for(lambda: set(os.listdir("/dev/shm")) <= shared, "what lies in /dev/shm is again what did")


def test_killed_master_leaves_no_worker_that_waits_for_a_stalled_client(launch: Launcher, big: Path) -> None:
    server = launch(big, "--workers", "2", "--timeout", "60s")
    family = server.family()
    download, got = begin_download(server)
    server.signal(signal.SIGKILL)
    assert server.status() == -signal.SIGKILL
    wait_until_gone(family, 12)
    with contextlib.suppress(ConnectionResetError):
        assert read_body(download, got) < BIG
    assert len(server.log_lines(1)) == 1
    # Nobody was left to remove it; the next server of any name does.
    assert os.listdir(server.runtime) == [str(server.port)]
    again = launch(big)
    assert os.listdir(server.runtime) == [str(again.port)]
    again.signal(signal.SIGTERM)
    assert again.status() == 0


def test_everything_killed_at_once_leaves_nothing_that_hinders_the_next(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2", "--name", "kept")
    family = server.family()
    for process in reversed(family):
        process.send_signal(signal.SIGKILL)
    wait_until_gone(family, 10)
    again = launch(site, "--name", "kept", "--port", str(server.port))
    assert again.get("/").status == 200
    family = again.family()
    again.signal(signal.SIGTERM)
    assert again.status() == 0
    again.assert_nothing_left(family)
