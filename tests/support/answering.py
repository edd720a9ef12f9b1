# Servers that do as a test says: each connection is one conversation, in a thread of its own.
"""Servers of a test's own, for those who ask servers."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Conversation = Callable[[socket.socket], None]


class Answering:
    """A server whose every connection is one `conversation`."""

    def __init__(self, conversation: Conversation, host: str = "127.0.0.1") -> None:
        self._conversation = conversation
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=512)
        self._threads: list[threading.Thread] = []
        self._over = False
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port, *_ = self._listener.getsockname()
        return host, port

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._over:
                sock.close()
                return
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.settimeout(20)
            self._conversation(sock)

    def end(self) -> None:
        self._over = True
        socket.create_connection(self.address).close()
        for thread in [self._acceptor, *self._threads]:
            thread.join(20)
            assert not thread.is_alive()
        self._listener.close()


def requests(sock: socket.socket) -> Iterator[bytes]:
    """Each request that comes, whole."""
    seen = b""
    while piece := sock.recv(65536):
        seen += piece
        while b"\r\n\r\n" in seen:
            head, _, seen = seen.partition(b"\r\n\r\n")
            yield head


def always(answer: bytes) -> Conversation:
    def converse(sock: socket.socket) -> None:
        for _ in requests(sock):
            sock.sendall(answer)

    return converse


Start = Callable[..., tuple[str, int]]


@contextlib.contextmanager
def conversations() -> Iterator[Start]:
    """What starts a server of a conversation, on IPv4 or on another `host`, and says where; all end with the block."""
    servers: list[Answering] = []

    def start(conversation: Conversation, host: str = "127.0.0.1") -> tuple[str, int]:
        servers.append(Answering(conversation, host))
        return servers[-1].address

    yield start
    for server in servers:
        server.end()
