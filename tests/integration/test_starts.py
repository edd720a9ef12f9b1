# How a server begins, or does not: what it says, what it returns, and what a failing start leaves behind (nothing).
"""Starts that succeed, and starts that fail."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.support.launch import Launcher, driver, environment
from tests.support.server import START_SECONDS, WSRV, Server, wait_for


def words(said: str) -> list[str]:
    """The lines of stderr, but for the warning that root gets."""
    return [line for line in said.splitlines() if "running as root" not in line]


def assert_no_trace(launch: Launcher) -> None:
    """No runtime folder and no listener of a server that did not start."""
    assert not launch.runtime.exists() or os.listdir(launch.runtime) == []
    assert str(launch.runtime) not in Path("/proc/net/unix").read_text()


_LISTENING = re.compile(rb"wsrv: listening on http://127\.0\.0\.1:(\d+)\n")


def test_a_variable_that_no_setting_has_is_warned_of(launch: Launcher, site: Path) -> None:
    server = launch(site, env=environment(WSRV_WORKER="1"))
    assert server.get("/").status == 200
    assert "warning: WSRV_WORKER is set, and no setting has that variable; did you mean WSRV_WORKERS?\n" in (
        server.said.read_text()
    )


# Starts that fail.


def test_port_in_use_names_its_holder_and_the_way_out(launch: Launcher, site: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        status, said = launch.failing(site, "--port", str(port))
    assert status == 5
    (line,) = words(said)
    assert f"127.0.0.1:{port}" in line
    assert f"(pid {os.getpid()})" in line
    assert "--port 0" in line
    assert_no_trace(launch)


def test_port_of_another_server_names_that_server(launch: Launcher, site: Path) -> None:
    first = launch(site, "--workers", "2")
    status, said = launch.failing(site, "--port", str(first.port))
    assert status == 5
    assert f"(pid {first.pid})" in said
    assert os.listdir(launch.runtime) == [str(first.port)]
    assert first.get("/").status == 200


def test_second_server_of_a_name_is_refused_and_the_first_goes_on(launch: Launcher, site: Path) -> None:
    first = launch(site, "--name", "mine")
    status, said = launch.failing(site, "--name", "mine")
    assert status == 5
    (line,) = words(said)
    assert "mine" in line
    assert f"(pid {first.pid})" in line
    assert "--name" in line
    assert stats(launch, "--name", "mine").returncode == 0
    assert first.get("/").status == 200


@pytest.mark.parametrize("path", ["missing/access.log", "site", "site/index.html/access.log", "pipe"])
def test_log_that_cannot_be_opened_is_no_start(launch: Launcher, site: Path, tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe")  # that nobody reads
    status, said = launch.failing(site, log=tmp_path / path)
    assert status == 5
    (line,) = words(said)
    assert f"cannot write the access log {tmp_path / path}: " in line
    assert_no_trace(launch)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--workers", "0"], "--workers"),
        (["--cache-size", "much"], "--cache-size"),
        (["--no-such-option"], "--no-such-option"),
        (["--port", "99999"], "--port"),
        (["--name", "a/b"], "--name"),
        (["--ipc", "pigeon"], "socketpair"),
        (["--sync", "pigeon"], "posix"),
        (["--cache-policy", "pigeon"], "lru"),
        (["--log-format", "pigeon"], "combined"),
        (["--config", "missing.toml"], "missing.toml"),
        (["-q", "-v"], "exclude each other"),
    ],
)
def test_wrong_usage_is_2_and_says_what_would_be_right(
    launch: Launcher, site: Path, options: list[str], hint: str
) -> None:
    status, said = launch.failing(site, *options)
    assert status == 2
    assert hint in said
    assert "Traceback" not in said
    assert_no_trace(launch)


@pytest.mark.parametrize("root", ["missing", "site/index.html"])
def test_root_that_is_no_folder_is_2(launch: Launcher, site: Path, tmp_path: Path, root: str) -> None:
    status, said = launch.failing(tmp_path / root)
    assert status == 2
    assert f"folder: {tmp_path / root}" in said
    assert_no_trace(launch)


def test_host_that_is_not_ours_is_5(launch: Launcher, site: Path) -> None:
    status, said = launch.failing(site, "--host", "192.0.2.1")
    assert status == 5
    assert "192.0.2.1" in said
    assert "--host 0.0.0.0" in said


def drive(launch: Launcher, site: Path, setting_up: str) -> tuple[int, str]:
    """The exit status and the words of a program that calls serve() with parts of its own."""
    command = driver(setting_up, root=site, runtime=launch.runtime, log=site.parent / "driven.log")
    popen = launch.process(command)
    _, said = popen.communicate(timeout=START_SECONDS)
    return popen.returncode, said.decode()


_STILLBORN = """
class Stillborn(Lru):
    def __init__(self, capacity):
        raise ArithmeticError("no capacity is right")
parts = replace(parts, policy=Stillborn)
"""


def test_workers_that_never_come_up_end_the_start_with_the_reason(launch: Launcher, site: Path) -> None:
    status, said = drive(launch, site, _STILLBORN)
    assert status == 5
    assert 3 <= said.count("ArithmeticError: no capacity is right") <= 4, "three deaths, and one that was under way"
    assert re.search(r"^wsrv: workers do not come up: worker \d ended with status 70 before it was ready$", said, re.M)
    assert "listening" not in said
    assert_no_trace(launch)


def test_without_openat2_there_is_no_start_instead_of_500_for_everybody(launch: Launcher, site: Path) -> None:
    program = "from wsrv.engine.static import openat2\nopenat2._SYS_OPENAT2 = 100_000"
    popen = launch.process(driver(program, root=site, runtime=launch.runtime, log=site.parent / "driven.log"))
    _, said = popen.communicate(timeout=START_SECONDS)
    assert popen.returncode == 5
    assert said.decode().startswith(
        "wsrv: openat2 is refused here, by which files are opened: a seccomp filter hides it"
    )


def test_plugin_that_starts_a_thread_before_the_fork_is_named(launch: Launcher, site: Path) -> None:
    thread = "import threading; threading.Thread(target=threading.Event().wait, name='chatty', daemon=True).start()"
    status, said = drive(launch, site, thread)
    assert status == 5
    assert "'chatty'" in said
    assert "Traceback" not in said
    assert_no_trace(launch)


def replaced(server: Server, pid: int) -> bool:
    """Whether another process than `pid` is the first worker now."""
    return server.stats()["workers"][0]["pid"] not in (None, pid)


def test_worker_that_was_ready_is_replaced_at_once_however_often(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "1")
    for death in range(5):
        dead = server.stats()["workers"][0]["pid"]
        os.kill(dead, signal.SIGKILL)
        wait_for(partial(replaced, server, dead), f"the successor after death {death}", 5)
        assert server.get("/").status == 200
    assert server.words().count("was killed by SIGKILL; it is replaced") == 5
    dead = server.stats()["workers"][0]["pid"]
    os.kill(dead, signal.SIGRTMIN + 3)
    wait_for(partial(replaced, server, dead), "the successor of one killed by a signal without a name", 5)
    assert f"was killed by signal {signal.SIGRTMIN + 3}; it is replaced" in server.words()


# Starts that succeed.


def test_listening_is_said_once_and_when_it_is_true(launch: Launcher, site: Path) -> None:
    for _ in range(6):
        popen = launch.process(launch.arguments(site, "--workers", "2"))
        assert popen.stderr is not None
        found = next(filter(None, map(_LISTENING.fullmatch, popen.stderr)))
        with socket.create_connection(("127.0.0.1", int(found[1])), 10) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"
        popen.send_signal(signal.SIGTERM)
        assert b"listening" not in popen.stderr.read()
        assert popen.wait(10) == 0


_HALTED = """
import os, signal

class Halted(Lru):
    def __init__(self, capacity):
        super().__init__(capacity)
        os.kill(os.getpid(), signal.SIGSTOP)

parts = replace(parts, policy=Halted)
settings = replace(settings, process=ProcessSettings(workers=1))
"""


def test_a_signal_before_its_worker_is_ready_is_heeded(launch: Launcher, site: Path) -> None:
    popen = launch.process(driver(_HALTED, root=site, runtime=launch.runtime, log=site.parent / "driven.log"))
    master = psutil.Process(popen.pid)

    found: list[psutil.Process] = []

    def halted() -> bool:
        # It has other children too, that come and go.
        with contextlib.suppress(psutil.NoSuchProcess):
            found[:] = [child for child in master.children() if child.status() == psutil.STATUS_STOPPED]
        return bool(found)

    wait_for(halted, "a worker that has stopped itself")
    popen.send_signal(signal.SIGTERM)
    assert popen.stderr is not None
    for _ in iter(partial(line_but, popen.stderr, b"draining"), b""):
        pass
    found[0].resume()
    assert b"Traceback" not in popen.stderr.read()
    assert popen.wait(10) == 0
    assert_no_trace(launch)


def line_but(stream: IO[bytes], last: bytes) -> bytes:
    """The next line; nothing when it is the one with `last` in it."""
    line = stream.readline()
    return b"" if last in line else line


def test_wildcard_tells_the_addresses_to_reach_it_by(launch: Launcher, site: Path) -> None:
    server = launch(site, "--host", "0.0.0.0")
    interfaces = [i for name, i in psutil.net_if_addrs().items() if psutil.net_if_stats()[name].isup]
    own = {a.address for addresses in interfaces for a in addresses if a.family == socket.AF_INET}
    expected = {address for address in own if not address.startswith("127.")}
    wait_for(lambda: server.words().count("reachable at") == len(expected), "the addresses")
    addresses = re.findall(r"reachable at http://([\d.]+):(\d+)\n", server.words())
    assert {address for address, _ in addresses} == expected
    for address, port in addresses:
        with socket.create_connection((address, int(port)), 10) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"


def quiet_or_not(launch: Launcher, site: Path, *options: str) -> str:
    """What a server says from its start to its end."""
    popen = launch.process(launch.arguments(site, "--name", "q", *options))

    def answers() -> bool:
        asked = stats(launch, "--name", "q", "--json")
        return asked.returncode == 0 and bool(json.loads(asked.stdout)["workers"][0]["heartbeat_age_seconds"])

    wait_for(answers, "its worker")
    popen.send_signal(signal.SIGTERM)
    _, said = popen.communicate(timeout=10)
    assert popen.returncode == 0
    return said.decode()


def test_quiet_says_nothing_and_verbose_more(launch: Launcher, site: Path) -> None:
    assert quiet_or_not(launch, site, "-q") == ""
    usual = quiet_or_not(launch, site)
    assert len(words(usual)) == 1
    verbose = quiet_or_not(launch, site, "-v", "--workers", "2")
    assert "worker 1 is pid" in verbose
    assert "draining" in verbose
    status, said = launch.failing(site, "-q", "--host", "192.0.2.1")
    assert status == 5
    assert said.count("\n") == 1, "an error is said even so"


def test_colour_is_a_matter_of_the_environment_alone(launch: Launcher, site: Path) -> None:
    told = {}
    for variables in ({}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}):
        server = launch(site, "--name", "colourful", env=environment(**variables))
        told[len(variables)] = server.words()
        server.signal(signal.SIGTERM)
        assert server.status() == 0
    assert "\x1b[" in told[1]
    assert "\x1b[" not in told[0] + told[2]


# Asking.


def stats(launch: Launcher, *options: str, directory: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """`wsrv stats`, come to its end."""
    command = [*WSRV, "stats", "--runtime-dir", str(directory or launch.runtime), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, env=environment())


def test_stats_without_a_server_is_3(launch: Launcher, site: Path, tmp_path: Path) -> None:
    for directory in (tmp_path / "missing", tmp_path):
        asked = stats(launch, directory=directory)
        assert asked.returncode == 3
        assert asked.stderr.count("\n") == 1
        assert "wsrv serve" in asked.stderr
    server = launch(site, "--name", "gone")
    server.signal(signal.SIGKILL)
    server.status()
    asked = stats(launch)
    assert asked.returncode == 3, "what a dead server has left is no server"
    assert "wsrv serve" in asked.stderr


def test_stats_of_several_servers_lists_them_and_is_2(launch: Launcher, site: Path) -> None:
    one, two = launch(site, "--name", "one"), launch(site, "--name", "two")
    asked = stats(launch)
    assert asked.returncode == 2
    assert f"one (pid {one.pid}), two (pid {two.pid})" in asked.stderr
    assert "--name" in asked.stderr
    chosen = stats(launch, "--name", "two", "--json")
    assert chosen.returncode == 0
    assert json.loads(chosen.stdout)["listeners"] == [two.url]
    wrong = stats(launch, "--name", "three")
    assert wrong.returncode == 3
    assert "one (pid" in wrong.stderr
    one.signal(signal.SIGTERM)
    assert one.status() == 0
    assert stats(launch).returncode == 0, "one is left"


def test_stats_of_a_stopped_server_ends_in_time_with_a_reason(launch: Launcher, site: Path) -> None:
    server = launch(site)
    server.signal(signal.SIGSTOP)
    asked = stats(launch)
    server.signal(signal.SIGCONT)
    assert asked.returncode == 3
    assert asked.stderr.count("\n") == 1
    assert f"(pid {server.pid})" in asked.stderr
    assert "stopped" in asked.stderr
    assert stats(launch).returncode == 0
