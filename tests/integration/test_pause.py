# The limit of a running worker is lowered from outside, below what it has open: no descriptor is to be had then.
"""A worker that accepts and has no descriptor left pauses, and goes on when there is one."""

import os
import re
import resource
from pathlib import Path

from tests.integration.transports import GET, GET_AND_CLOSE, every_accepting
from tests.support.crowd import Crowd
from tests.support.launch import Launcher, environment
from tests.support.server import read_answer, wait_for

_LISTEN = "0A"


def listener_of(pid: int, port: int) -> int:
    """The descriptor on which the process listens."""
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {line[9] for line in fields if line[1].endswith(f":{port:04X}") and line[3] == _LISTEN}
    sockets = {f"socket:[{inode}]" for inode in inodes}
    (fd,) = [fd for fd in os.listdir(f"/proc/{pid}/fd") if name_of(pid, fd) in sockets]
    return int(fd)


def is_waited_on(pid: int, fd: int) -> bool:
    """Whether the epoll of the process has this descriptor."""
    (epoll,) = [n for n in os.listdir(f"/proc/{pid}/fd") if name_of(pid, n) == "anon_inode:[eventpoll]"]
    text = Path(f"/proc/{pid}/fdinfo/{epoll}").read_text()
    return re.search(rf"^tfd:\s+{fd} ", text, re.MULTILINE) is not None


def name_of(pid: int, fd: str) -> str:
    """What the descriptor is; nothing when it was closed meanwhile."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except FileNotFoundError:
        return ""


@every_accepting
def test_at_its_limit_a_worker_listens_no_more_serves_whom_it_has_and_goes_on_after(
    launch: Launcher, site: Path, ipc: str
) -> None:
    # Looked at again, a file would want a descriptor too.
    server = launch(site, "--workers", "1", "--ipc", ipc, env=environment(WSRV_CACHE_REVALIDATE="1h"))
    (worker,) = server.workers()
    fd = listener_of(worker.pid, server.port)
    soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    with server.connect() as before:
        before.sendall(GET)
        assert read_answer(before).status == 200
        assert is_waited_on(worker.pid, fd)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, hard))
        with Crowd(server.port, 20, GET_AND_CLOSE) as crowd:
            crowd.ask()
            wait_for(lambda: not is_waited_on(worker.pid, fd), "it to listen no more")
            before.sendall(GET)
            assert read_answer(before).status == 200
            assert not crowd.outcomes()
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (soft, hard))
            assert crowd.hear() == {200: 20}
    assert is_waited_on(worker.pid, fd)
    stats = server.stats()
    assert stats["workers"][0]["restarts"] == 0
    assert stats["troubles"]["accept_paused"] > 0
