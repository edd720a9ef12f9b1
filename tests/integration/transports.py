# What the tests over every transport share.
"""Transports by kind, requests, and stopping workers."""

import signal

import psutil
import pytest

from tests.support.server import Server, wait_for
from wsrv.plugins.registry import load

TRANSPORTS = load().transports
DISPATCHING = [name for name, transport in TRANSPORTS.items() if transport.DISPATCHES]
ACCEPTING = [name for name, transport in TRANSPORTS.items() if not transport.DISPATCHES]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

OTHERS = [name for name in TRANSPORTS if name != "socketpair"]
every_transport = pytest.mark.parametrize("ipc", TRANSPORTS)
every_dispatching = pytest.mark.parametrize("ipc", DISPATCHING)
every_accepting = pytest.mark.parametrize("ipc", ACCEPTING)


def stop(*workers: psutil.Process) -> None:
    """Stop them, and wait until they stand still."""
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    for worker in workers:
        wait_for(lambda w=worker: w.status() == psutil.STATUS_STOPPED, "the worker to stop")  # type: ignore[misc]


def go_on(*workers: psutil.Process) -> None:
    for worker in workers:
        worker.send_signal(signal.SIGCONT)


def refused(server: Server) -> dict[str, int]:
    """Connections refused so far, by reason."""
    found: dict[str, int] = server.stats()["connections_refused"]
    return found
