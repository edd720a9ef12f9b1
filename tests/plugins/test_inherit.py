# What only this transport promises; the rest is in the contract suite.
"""Inherit: a connection does not wake every worker."""

import os
import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.server import wait_for
from wsrv.plugins.transports.inherit import Inherit
from wsrv.testing.processes import Child, Gate, wait_readable

WORKERS = 4


def test_a_connection_does_not_wake_every_worker() -> None:
    """Each worker says at its end whether its epoll had the listener among what is ready."""
    gates = [Gate() for _ in range(WORKERS)]
    pipe, report = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:

        def wait(gate: Gate) -> None:
            source = channel.source()
            with select.epoll() as epoll:
                epoll.register(source.fds()[0], source.events)
                epoll.register(gate.fd, select.EPOLLIN)
                ready = [fd for fd, _ in epoll.poll()]
                os.write(report, b"woken" if source.fds()[0] in ready else b"asleep")

        workers = []
        for channel, gate in zip(Inherit.open([listener], WORKERS, 1), gates, strict=True):
            keep = [*channel.kept_fds(), gate.fd, report]
            workers.append(stack.enter_context(Child(lambda g=gate: wait(g), keep)))  # type: ignore[misc]
        for worker in workers:
            wait_for(lambda w=worker: _sleeps_in_epoll(w.pid), "it to wait")  # type: ignore[misc]
        with socket.create_connection(listener.getsockname()):
            wait_readable(pipe)
            said = os.read(pipe, 5)
            assert said == b"woken"
            for gate in gates:
                gate.open()
            for worker in workers:
                worker.join()
        said += os.read(pipe, 100)
    for gate in gates:
        gate.close()
    for fd in (pipe, report):
        os.close(fd)
    assert said.count(b"woken") + said.count(b"asleep") == WORKERS
    assert said.count(b"woken") < WORKERS


def _sleeps_in_epoll(pid: int) -> bool:
    return Path(f"/proc/{pid}/wchan").read_text() in ("ep_poll", "do_epoll_wait")


def test_nothing_can_be_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (channel,) = Inherit.open([listener], 1, 1)
        with pytest.raises(AssertionError, match="does not dispatch"):
            channel.send([])
