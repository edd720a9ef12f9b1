"""Targets: what comes over the control socket, and over the lines between master and workers."""

import json
import os
import select
import socket
import struct
from typing import Any

from wsrv.engine.ipc import question
from wsrv.engine.master.control import ControlServer, Reply
from wsrv.engine.master.message import parse

_HANDLERS = {"echo": lambda request: {"echo": request}}
_ANSWER_BYTES = 1 << 20


def control(raw: bytes) -> None:
    """A client is answered once, with an object, or is not done yet; and nobody else suffers."""
    for read in (parse, question.unpack):
        try:
            read(raw)
        except ValueError:
            continue
    _over_a_socket(raw)
    _over_a_socket(struct.pack(">I", len(raw)) + raw)


def _late(request: dict[str, Any], reply: Reply) -> None:
    reply.end({"late": True})


def _over_a_socket(raw: bytes) -> None:
    name = b"\0wsrv fuzz %d" % os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener, select.epoll() as epoll:
        listener.bind(name)
        listener.listen(2)
        server = ControlServer(listener, _HANDLERS, {"late": _late})
        server.register(epoll)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ANSWER_BYTES)
            client.connect(name)
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while events := epoll.poll(0):
                for fd, flags in events:
                    if server.owns(fd):
                        server.handle(fd, flags)
                client.setblocking(False)
                try:
                    answer += client.recv(_ANSWER_BYTES)
                except (BlockingIOError, ConnectionResetError):
                    continue
            assert len(server.fds()) == 1, "the client is still there"
        server.close()
    if answer:
        assert struct.unpack(">I", answer[:4]) == (len(answer) - 4,)
        assert isinstance(json.loads(answer[4:]), dict)
