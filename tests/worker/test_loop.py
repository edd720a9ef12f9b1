# The whole worker, in a process of its own, with a listener that notes at each take whether the loop still waits on it.
"""The loop of a worker: the order of a drain."""

import os
import re
import select
import signal
import socket
from pathlib import Path

from tests.worker.guards import guards
from wsrv.engine.ipc.accept import AcceptingSource
from wsrv.engine.ipc.record import Arrival
from wsrv.engine.log.format import Combined
from wsrv.engine.settings import LimitSettings, ListenSettings, ProcessSettings, RuntimeSettings, Settings, SiteSettings
from wsrv.engine.shm.mapping import Mapping
from wsrv.engine.shm.row import Ledger
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker.loop import LEAVING, Station, Worker
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


def test_a_worker_that_drains_stops_listening_before_it_takes_the_rest(root: Path) -> None:
    """Who connects after its last look is another worker's, and must not wake this one."""
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
            assert source.takes[0] == (1, True), "before the drain it waits"
            assert source.takes[-1] == (0, False), "after the last look nobody can wake it"
            assert [waited_on for _, waited_on in source.takes[1:]] == [False] * len(source.takes[1:])

        keep = [listener.fileno(), their_line.fileno(), their_asked.fileno(), ready, master, mapping.bell]
        with Child(work, keep) as worker:
            wait_readable(ready)
            with socket.create_connection(listener.getsockname()) as client:
                client.sendall(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
                wait_readable(client.fileno())
                assert client.recv(4096).endswith(b"alpha")
                os.kill(worker.pid, signal.SIGTERM)
                wait_readable(line.fileno())
                assert line.recv(64) == LEAVING
                assert client.recv(1) == b""
    mapping.close()
    for fd in (ready, master):
        os.close(fd)
    for end in (line, their_line, asked, their_asked):
        end.close()
