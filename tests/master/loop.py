# The part of the master that the control socket needs: an epoll loop, in a thread of its own.
"""A control server that runs."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from wsrv.engine.master.control import ControlServer, Handler, LateHandler

_TICK_SECONDS = 0.05


@contextmanager
def control_loop(
    listener: socket.socket, handlers: Mapping[str, Handler], late: Mapping[str, LateHandler] | None = None
) -> Iterator[ControlServer]:
    """Answer on `listener` until the block ends."""
    server = ControlServer(listener, handlers, late or {})
    ended = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def run() -> None:
        with select.epoll() as epoll:
            epoll.register(ended, select.EPOLLIN)
            server.register(epoll)
            while True:
                for fd, events in epoll.poll(_TICK_SECONDS):
                    if fd == ended:
                        server.close()
                        return
                    if server.owns(fd):
                        server.handle(fd, events)
                server.tick(time.monotonic_ns())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server
    finally:
        os.eventfd_write(ended, 1)
        thread.join()
        os.close(ended)
