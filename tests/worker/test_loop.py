# The whole worker, in a process of its own, and the master's ends.
"""The loop of a worker: the order of a drain, and whom it still hears."""

import os
import re
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.worker.guards import guards
from wsrv.engine.ipc.accept import AcceptingSource
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.log.format import Combined
from wsrv.engine.settings import LimitSettings, ListenSettings, ProcessSettings, RuntimeSettings, Settings, SiteSettings
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import Ledger
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker import loop
from wsrv.engine.worker.connection import Connection
from wsrv.engine.worker.hot import HotPath
from wsrv.engine.worker.loop import Worker
from wsrv.engine.worker.station import LEAVING, Station
from wsrv.plugins.policies.lru import Lru
from wsrv.testing.processes import Child, open_fds, wait_readable


def is_waited_on(fd: int) -> bool:
    """Whether the epoll of this process has the descriptor."""
    (epoll,) = [n for n in open_fds() if os.readlink(f"/proc/self/fd/{n}") == "anon_inode:[eventpoll]"]
    text = Path(f"/proc/self/fdinfo/{epoll}").read_text()
    return re.search(rf"^tfd:\s+{fd} ", text, re.MULTILINE) is not None


class Watched(AcceptingSource):
    """Notes at each take, beside how many were taken, whether the loop waited on the listener."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__([listener], select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self.takes: list[tuple[int, bool]] = []

    def take(self) -> list[Arrival]:
        (fd,) = self.fds()
        waited_on = is_waited_on(fd)
        taken = super().take()
        self.takes.append((len(taken), waited_on))
        return taken


GET = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
AT_ONCE_NS = 0
LATE_NS = 3600_000_000_000


class Running:
    """A worker that runs, and what leads to it."""

    def __init__(self, pid: int, listener: socket.socket, line: socket.socket) -> None:
        self.pid = pid
        self._listener = listener
        self._line = line

    def connect(self) -> socket.socket:
        return socket.create_connection(self._listener.getsockname(), 10)

    def drain(self) -> None:
        """Tell it to end, and wait until it takes nothing more."""
        os.kill(self.pid, signal.SIGTERM)
        wait_readable(self._line.fileno())
        assert self._line.recv(64) == LEAVING


@contextmanager
def running(root: Path, check: Callable[[Watched], None] = lambda source: None) -> Iterator[Running]:
    """A worker that serves, until it has ended; `check` is called there with its source."""
    line, their_line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked, their_asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (their_line, their_asked):
        end.setblocking(False)
    ready = os.eventfd(0, os.EFD_CLOEXEC)
    master = os.pidfd_open(os.getpid())
    mapping = Mapping(0, CELL_BYTES, 1)
    settings = Settings(
        SiteSettings(root, root),
        RuntimeSettings(root),
        (ListenSettings(),),
        ProcessSettings(workers=1),
        limits=LimitSettings(head_seconds=5.0, body_seconds=5.0, idle_seconds=5.0, write_seconds=5.0),
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        def work() -> None:
            source = Watched(listener)
            ledger = Ledger(mapping.rows[0], mapping.asleep, mapping.bell)
            station = Station(source, None, guards(4), ledger, their_line, their_asked, master, ready)
            Worker(settings, Lru(1 << 20), Combined(), station).run()
            check(source)

        keep = [listener.fileno(), their_line.fileno(), their_asked.fileno(), ready, master, mapping.bell]
        with Child(work, keep) as worker:
            wait_readable(ready)
            yield Running(worker.pid, listener, line)
    mapping.close()
    for fd in (ready, master):
        os.close(fd)
    for end in (line, their_line, asked, their_asked):
        end.close()


def read_all(client: socket.socket) -> bytes:
    """Everything up to the end."""
    found = b""
    while piece := client.recv(4096):
        found += piece
    return found


def test_a_worker_that_drains_stops_listening_before_it_takes_the_rest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who connects after its last look is another worker's, and must not wake this one."""

    def check(source: Watched) -> None:
        assert source.takes[0] == (1, True), "before the drain it waits"
        assert source.takes[-1] == (0, False), "after the last look nobody can wake it"
        assert [waited_on for _, waited_on in source.takes[1:]] == [False] * len(source.takes[1:])

    monkeypatch.setattr(loop, "FAREWELL_NS", AT_ONCE_NS)
    with running(root, check) as worker, worker.connect() as client:
        client.sendall(GET)
        wait_readable(client.fileno())
        assert client.recv(4096).endswith(b"alpha")
        worker.drain()
        assert client.recv(1) == b""


def test_who_has_just_connected_or_been_answered_is_answered_once_more_in_a_drain(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FAREWELL_NS", LATE_NS)
    with running(root) as worker, worker.connect() as answered, worker.connect() as new:
        answered.sendall(GET)
        assert answered.recv(4096).endswith(b"alpha")
        worker.drain()
        for client in (new, answered):
            client.sendall(GET)
            answer = read_all(client)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nConnection: close\r\n" in answer


def test_who_has_nothing_to_say_in_a_drain_is_closed_after_a_while(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FAREWELL_NS", 1)
    with running(root) as worker, worker.connect() as answered, worker.connect() as new:
        answered.sendall(GET)
        assert answered.recv(4096).endswith(b"alpha")
        worker.drain()
        assert read_all(answered) == read_all(new) == b""


def test_who_is_answered_with_others_is_in_a_crowd(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    turn, crowds = HotPath.turn, tmp_path / "crowds"

    def noting(hot: HotPath, batch: list[Connection], now_ns: int) -> None:
        with crowds.open("a") as file:
            print(len(batch), hot._connections.crowd, file=file)
        turn(hot, batch, now_ns)

    monkeypatch.setattr(HotPath, "turn", noting)
    with running(root) as worker, ExitStack() as stack:
        for number in (3, 1):
            crowds.write_text("")
            os.kill(worker.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, worker.pid, os.WSTOPPED)
            clients = [stack.enter_context(worker.connect()) for _ in range(number)]
            for client in clients:
                client.sendall(GET)
            os.kill(worker.pid, signal.SIGCONT)
            for client in clients:
                assert client.recv(4096).endswith(b"alpha")
            assert crowds.read_text() == f"{number} {number}\n"
        worker.drain()
