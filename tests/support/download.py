# Answers that stay under way for as long as the test wants.
"""Downloads that wait for their reader."""

import socket
from pathlib import Path

from tests.support.server import Server

# More than the kernel holds between two sockets, so that a reader who waits keeps the answer under way.
BIG = 64 * 1024 * 1024


def make_big(site: Path) -> None:
    """Put the file `/big` into the site."""
    with (site / "big").open("wb") as file:
        file.truncate(BIG)


def begin_download(server: Server) -> tuple[socket.socket, int]:
    """A connection on which `/big` is under way, and how many bytes of the body have been read."""
    sock = server.connect()
    sock.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(4096)
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d" % BIG in head
    return sock, len(body)


def read_body(sock: socket.socket, got: int) -> int:
    """How many bytes the body has in the end."""
    while piece := sock.recv(1 << 20):
        got += len(piece)
    return got
