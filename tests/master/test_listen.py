"""The listener: what it is set to, how it is named, and why there is none."""

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from wsrv.engine.master import holder, listen
from wsrv.engine.master.holder import port_holder
from wsrv.engine.master.listen import open_listener, open_listeners, reach_addresses, url
from wsrv.engine.master.outcome import CannotStart
from wsrv.engine.settings import ListenSettings


@pytest.fixture(autouse=True)
def _all_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "_LOOK_SECONDS", 60.0)


class Heard:
    """A Voice that remembers."""

    def __init__(self) -> None:
        self.details: list[str] = []

    def say(self, text: str) -> None:
        raise AssertionError(text)

    warn = say

    def detail(self, text: str) -> None:
        self.details.append(text)


def opened(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    return open_listener(ListenSettings(host, port))


def reason(host: str, port: int) -> str:
    with pytest.raises(CannotStart) as caught:
        opened(host, port)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_listener_listens_without_blocking_and_hands_nodelay_on() -> None:
    with opened() as listener, socket.create_connection(listener.getsockname()) as client:
        assert not listener.getblocking()
        assert fcntl.fcntl(listener, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        client.sendall(b"x")
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_waits_in_the_kernel_for_a_client_that_does_not_read_is_bounded() -> None:
    with opened() as listener, socket.socket() as client:
        # Its window is small from the beginning: what is on its way does not count.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        client.sendall(b"x")
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            accepted.setblocking(False)
            taken = 0
            with contextlib.suppress(BlockingIOError):
                while taken < 2_000_000:
                    taken += accepted.send(bytes(16_384))
            assert taken < 400_000


@pytest.mark.parametrize(("cookies", "deferred"), [("1\n", True), ("2\n", True), ("0\n", False), (None, False)])
def test_accept_is_deferred_only_where_syn_cookies_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cookies: str | None, deferred: bool
) -> None:
    if cookies is not None:
        (tmp_path / "cookies").write_text(cookies)
    monkeypatch.setattr(listen, "_SYN_COOKIES", tmp_path / "cookies")
    with opened() as listener:
        assert bool(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)) is deferred


def test_backlog_that_the_kernel_cuts_is_a_detail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somaxconn").write_text("128\n")
    monkeypatch.setattr(listen, "_SOMAXCONN", tmp_path / "somaxconn")
    voice = Heard()
    with ExitStack() as undo:
        open_listeners([ListenSettings(port=0), ListenSettings(port=0)], voice, undo)
    assert voice.details == ["net.core.somaxconn cuts the backlog from 4096 to 128"]


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("[::1]", "[::1]"), ("localhost", "127.0.0.1")]
)
def test_url_names_the_port_that_was_taken(host: str, shown: str) -> None:
    with opened(host) as listener:
        assert url(listener) == f"http://{shown}:{listener.getsockname()[1]}"


@pytest.mark.parametrize(("first", "second"), [("::", "0.0.0.0"), ("0.0.0.0", "::")])
def test_wildcards_of_both_families_share_a_port_and_each_takes_its_own(first: str, second: str) -> None:
    with opened(first) as one, opened(second, one.getsockname()[1]) as other:
        for listener in (one, other):
            host = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
            with socket.create_connection((host, listener.getsockname()[1])) as client:
                client.sendall(b"x")
                listener.setblocking(True)
                accepted, address = listener.accept()
                accepted.close()
                assert address[0] == host


def test_port_in_use_names_the_holder_and_the_remedy() -> None:
    with opened() as taken:
        port = taken.getsockname()[1]
        said = reason("127.0.0.1", port)
    assert said.startswith(f"cannot listen on 127.0.0.1:{port}: in use by ")
    assert f"(pid {os.getpid()})" in said
    assert said.endswith("; choose another --port, or --port 0 for a free one")


@pytest.mark.parametrize(
    ("taken_host", "host"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::1", "::1"), ("::", "::1")]
)
def test_holder_is_found_behind_wildcards_and_in_both_families(taken_host: str, host: str) -> None:
    with opened(taken_host) as taken:
        assert f"(pid {os.getpid()})" in reason(host, taken.getsockname()[1])


def test_holder_of_another_process_is_named_by_its_command() -> None:
    code = (
        "import socket, sys; listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, "\x1b[31m"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        named = port_holder(socket.inet_aton("127.0.0.1"), port)
        process.kill()
    assert named is not None
    assert re.fullmatch(rf".*python.*\(pid {process.pid}\)", named)
    assert named.isprintable()
    assert len(named) < 80


def test_holder_out_of_sight_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "_LOOK_SECONDS", -1)
    with opened() as taken:
        said = reason("127.0.0.1", taken.getsockname()[1])
    assert ": in use; choose another --port" in said


def test_unknown_host_is_said() -> None:
    assert reason("nowhere.invalid", 80).startswith("cannot listen on nowhere.invalid:80: unknown host: ")


@pytest.mark.parametrize("host", ["", "[]", "x" * 300, "a..b", "bad host"])
def test_host_that_is_none_is_said(host: str) -> None:
    assert reason(host, 80).startswith("cannot listen")


def test_address_that_this_machine_has_not_is_said() -> None:
    assert reason("198.51.100.7", 8080) == (
        "cannot listen on 198.51.100.7:8080: no interface of this machine has that address; "
        "--host 0.0.0.0 takes all there are"
    )


def test_low_port_without_the_right_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refused)
    said = reason("127.0.0.1", 80)
    assert re.search(r"ports below \d+ need root or CAP_NET_BIND_SERVICE; choose a higher --port$", said)


def test_failed_listener_leaves_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    reason("198.51.100.7", 8080)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_loopback_is_reached_by_nobody_else(host: str) -> None:
    with opened(host) as listener:
        assert reach_addresses(listener) == []


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_wildcard_is_reached_by_every_address_that_answers(wildcard: str) -> None:
    with opened(wildcard) as listener:
        reached = reach_addresses(listener)
        port = listener.getsockname()[1]
        for address in reached:
            host = re.fullmatch(rf"http://\[?(.*?)\]?:{port}", address)
            assert host
            assert (":" in host[1]) is (wildcard == "::")
            socket.create_connection((host[1], port), timeout=5).close()


def test_interfaces_are_those_that_the_kernel_lists() -> None:
    routes = Path("/proc/net/fib_trie").read_text()
    local = set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", routes))
    assert set(listen._ipv4_addresses()) == local
    assert "::1" in listen._ipv6_addresses()


def test_one_address_is_reached_by_itself() -> None:
    with opened("0.0.0.0") as listener:
        others = reach_addresses(listener)
    for address in others:
        host = address.removeprefix("http://").rpartition(":")[0]
        with opened(host) as listener:
            assert reach_addresses(listener) == [url(listener)]
