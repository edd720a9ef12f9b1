# Where a server may find itself: as the first process of a container, without /dev/shm, where nothing can be written.
"""Servers in namespaces of their own."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.launch import Launched, Launcher, lives, unshare
from tests.support.processes import children
from tests.support.server import wait_for

# The first process of a namespace is reaped by the wrapper outside, and killed with it.
AS_INIT = ("--pid", "--fork", "--mount-proc", "--kill-child")

# A /dev with the few devices that every container has, and nothing else. $1: an empty folder.
_WITHOUT_SHM = """
bare=$1; shift
mount -t tmpfs -o mode=755 dev "$bare"
for device in null zero full random urandom; do
    : >"$bare/$device" && mount --bind "/dev/$device" "$bare/$device"
done
mount --rbind "$bare" /dev
[ ! -e /dev/shm ] || exit 99
exec "$@"
"""
# Every file system read-only. $1: a folder that could be written before.
_READ_ONLY = """
probe=$1; shift
while read -r _ place _; do
    case $place in /proc*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null ;; esac
done </proc/self/mounts
if touch "$probe/written" 2>/dev/null; then exit 99; fi
exec "$@"
"""
# A shell that becomes the server, and leaves behind a child of its own that waits for a line, starts three orphans,
# and ends; they end with our end of the pipe.
_WITH_ORPHANS = """
(sh -c 'read -r _; for _ in 1 2 3; do cat <&3 >/dev/null & done' <&3 &) 3<&0
exec "$@"
"""


def only_child(process: psutil.Process) -> psutil.Process:
    """The process that a wrapper has started."""
    return wait_for(lambda: children(process), "the wrapped process")[0]


def as_init(launch: Launcher, site: Path, *options: str, shell: str = 'exec "$@"', **streams: Any) -> Launched:
    """A server that is process 1."""
    wrapper = [*unshare(*AS_INIT), "sh", "-c", shell, "sh"]
    return launch(site, *options, wrapper=wrapper, find=only_child, **streams)


def test_process_1_serves_drains_and_exits_with_0(launch: Launcher, site: Path) -> None:
    server = as_init(launch, site, "--workers", "2")
    family = server.family()
    assert server.stats()["pid"] == 1
    assert server.get("/").status == 200
    server.workers()[0].send_signal(signal.SIGKILL)
    wait_for(lambda: sum(w["restarts"] for w in server.stats()["workers"]) == 1, "the successor")
    assert server.get("/").status == 200
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert len(server.log_lines(2)) == 2
    server.assert_nothing_left(family)


def test_process_1_reaps_orphans(launch: Launcher, site: Path) -> None:
    server = as_init(launch, site, "--workers", "1", shell=_WITH_ORPHANS, stdin=subprocess.PIPE)
    stdin = server.popen.stdin
    assert stdin is not None
    own = {p.pid for p in children(server.process, "wsrv:")}
    assert len(own) == 2

    def strangers(named: str) -> list[psutil.Process]:
        return [p for p in children(server.process, named) if p.pid not in own]

    wait_for(lambda: strangers("sh"), "the orphan that makes others")
    stdin.write(b"\n")
    stdin.flush()
    wait_for(lambda: len(strangers("cat")) == len(strangers("")) == 3, "three orphans, their parent gone")
    orphans = strangers("cat")
    # They end while the server cannot look, and so does its worker, which stands before them in the queue of the dead.
    (worker,) = server.workers()
    server.signal(signal.SIGSTOP)
    worker.kill()
    stdin.close()
    wait_for(lambda: not any(lives(p) for p in (worker, *orphans)), "the end of all")
    server.signal(signal.SIGCONT)
    wait_for(lambda: not any(p.is_running() for p in orphans), "no zombie")
    wait_for(lambda: server.stats()["workers"][0]["restarts"] == 1, "the successor")
    assert server.get("/").status == 200
    server.signal(signal.SIGTERM)
    assert server.status() == 0


def test_second_signal_stops_process_1_at_once(launch: Launcher, site: Path) -> None:
    server = as_init(launch, site, "--timeout", "60s")
    begun = server.connect()
    begun.sendall(b"GET / HTTP/1.1\r\n")
    wait_for(lambda: server.stats()["connections_active"] == 1, "the beginning of a request")
    server.signal(signal.SIGINT)
    wait_for(lambda: "LISTEN" not in {c.status for c in server.process.net_connections("tcp")}, "the drain")
    assert lives(server.process)
    server.signal(signal.SIGINT)
    assert server.status(5) == 0


def test_without_dev_shm_everything_works(launch: Launcher, site: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    wrapper = [*unshare("--mount"), "sh", "-c", _WITHOUT_SHM, "sh", str(bare)]
    server = launch(site, "--workers", "2", wrapper=wrapper)
    family = server.family()
    for _ in range(10):
        assert server.get("/").status == 200
    server.workers()[0].send_signal(signal.SIGKILL)
    wait_for(lambda: sum(w["restarts"] for w in server.stats()["workers"]) == 1, "the successor")
    assert server.stats()["requests_total"] == 10
    server.signal(signal.SIGTERM)
    assert server.status() == 0
    assert len(server.log_lines(10)) == 10
    server.assert_nothing_left(family)


def read_only(launch: Launcher, site: Path, tmp_path: Path) -> Launched:
    """A server that can write nowhere, its log on a pipe."""
    wrapper = [*unshare("--mount"), "sh", "-c", _READ_ONLY, "sh", str(tmp_path)]
    return launch(site, "--workers", "2", "--log-file", "-", wrapper=wrapper, stdout=subprocess.PIPE)


@pytest.mark.parametrize("there", [False, True], ids=["no runtime folder", "an empty runtime folder"])
def test_on_a_read_only_file_system_it_serves_with_one_warning(
    launch: Launcher, site: Path, tmp_path: Path, there: bool
) -> None:
    if there:
        launch.runtime.mkdir(0o700)
    server = read_only(launch, site, tmp_path)
    for _ in range(10):
        assert server.get("/").status == 200
    server.signal(signal.SIGTERM)
    written, _ = server.popen.communicate(timeout=20)
    assert server.popen.returncode == 0
    assert written.count(b'"GET / HTTP/1.1" 200 ') == written.count(b"\n") == 10
    warnings = [line for line in server.words().splitlines() if "warning" in line and "running as root" not in line]
    assert len(warnings) == 1, warnings
    assert "no control socket" in warnings[0]
    assert "Read-only file system" in warnings[0]
    assert "--runtime-dir" in warnings[0]
    assert os.path.isdir(server.runtime) == there


def test_stale_runtime_folder_on_a_read_only_file_system_does_no_harm(
    launch: Launcher, site: Path, tmp_path: Path
) -> None:
    first = launch(site)
    first.signal(signal.SIGKILL)
    first.status()
    (stale,) = os.listdir(launch.runtime)
    wrapper = [*unshare("--mount"), "sh", "-c", _READ_ONLY, "sh", str(tmp_path)]
    server = launch(site, "--name", stale, "--log-file", "-", wrapper=wrapper)
    assert server.get("/").status == 200
    assert server.words().count("no control socket") == 1
    assert os.listdir(launch.runtime) == [stale]
    server.signal(signal.SIGTERM)
    assert server.status() == 0
