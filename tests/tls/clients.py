# A client's TLS over one end of a socket pair, and the session under test over the other.
"""Both ends of a TLS connection, without a loop."""

import contextlib
import socket
import ssl
from types import TracebackType
from typing import Self

from wsrv.engine.tls.certificates import Certificates
from wsrv.engine.tls.step import Step


class Ends:
    """A client, and the session of a server. `fd` is the server's descriptor."""

    def __init__(self, certificates: Certificates, context: ssl.SSLContext, name: str = "localhost") -> None:
        self.near, self.far = socket.socketpair()
        for end in (self.near, self.far):
            end.setblocking(False)
        self.fd = self.near.fileno()
        self.session = certificates.session()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def said(self) -> bytes:
        """The bytes that the client would send now."""
        return self._outgoing.read()

    def send(self) -> None:
        """Send what the client has to send."""
        self.far.sendall(self.said())

    def hear(self) -> int:
        """Take in what has come; how many bytes."""
        count = 0
        while True:
            try:
                seen = self.far.recv(1 << 20)
            except BlockingIOError:
                return count
            if not seen:
                self._incoming.write_eof()
                return count
            count += len(seen)
            self._incoming.write(seen)

    def shake_hands(self) -> None:
        """The whole handshake, its tickets read."""
        step = Step.READS
        while step is not Step.DONE:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.send()
            step = self.session.handshake(self.fd)
            self.hear()
        assert self.received() == b""

    def received(self) -> bytes:
        """All plain bytes that the client can read now. Raises SSLEOFError when they are cut off."""
        self.hear()
        pieces = []
        try:
            while piece := self.client.read(1 << 20):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)

    def fill(self) -> int:
        """Fill the way to the client until it takes nothing more; how many bytes it took."""
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += self.near.send(bytes(4096))
        return filled

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.near.close()
        self.far.close()
