# Connections that are none of the hot path's: over TLS, from named proxies, or on a listener that sends everybody to a
# secure one.
#
# To the slow lane they are connections like all others: what differs is behind the methods of Connection.
"""Connections whose requests all go by the slow lane."""

import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from wsrv.engine.http.fields import Fields
from wsrv.engine.http.forwarded import Client
from wsrv.engine.http.head import host_of
from wsrv.engine.http.proxy_header import Address
from wsrv.engine.ipc.closing import TLS_ALERT
from wsrv.engine.static.rules import Redirection
from wsrv.engine.worker.connection import ASIDE, Connection
from wsrv.engine.worker.inside import PREFIX
from wsrv.engine.worker.request import Request

if TYPE_CHECKING:
    from wsrv.engine.tls.session import Session
    from wsrv.engine.worker.proxies import Proxies

_HTTPS_PORT = 443
# To encrypt costs ten times what sendfile does.
_TLS_TURN_BYTES = 64 * 1024
_ACME = b"/.well-known/acme-challenge/"


class Aside(Connection):
    """A connection with more to it. `tls` is its session, None where it is plain.

    `secure_port` is where a client that asks in the clear is sent; 0 to answer it here. `proxies` is set when the other
    end is a named proxy; `awaits_header` while it has not said in a PROXY header for whom it speaks.
    """

    __slots__ = ("_client", "awaits_header", "parked", "peer", "proxies", "secure_port", "tls")

    REST: ClassVar[int] = ASIDE

    def __init__(self, fd: int, opening: bytes, now_ns: int, peer: Address | None) -> None:
        super().__init__(fd, opening, now_ns)
        self.tls: Session | None = None
        self.secure_port = 0
        self.peer = peer
        self.proxies: Proxies | None = None
        self.awaits_header = False
        # In line for the next step of its greeting.
        self.parked = False
        self._client: Client | None = None

    @property
    def turn_bytes(self) -> int:
        return super().turn_bytes if self.tls is None else _TLS_TURN_BYTES

    @property
    def is_secure(self) -> bool:
        return self.tls is not None

    @property
    def secured_by(self) -> bytes:
        return b"" if self.tls is None else self.tls.version

    @property
    def ended(self) -> bool:
        """A close_notify is the end of what a client sends, though the connection may stand."""
        return self.tls is not None and self.tls.ended

    def read(self) -> bytes:
        return super().read() if self.tls is None else self.tls.read(self.fd)

    def write(self, parts: Sequence[bytes | memoryview]) -> int:
        return super().write(parts) if self.tls is None else self.tls.write(self.fd, parts)

    def send_file(self, file: int, offset: int, count: int) -> int:
        if self.tls is None:
            return super().send_file(file, offset, count)
        return self.tls.send_file(self.fd, file, offset, count)

    def half_close(self) -> None:
        self.take_leave()
        super().half_close()

    def refuse_curtly(self) -> bool:
        if self.tls is None:
            return False
        with contextlib.suppress(OSError):
            os.write(self.fd, TLS_ALERT)
        return True

    def take_leave(self) -> None:
        if self.tls is not None:
            self.tls.end(self.fd)

    def relayed_for(self, source: Address | None, proxies: "Proxies") -> None:
        """A PROXY header has said who is at the other end."""
        if self.peer is None:
            # Over a Unix socket only what the proxy says of the scheme could send anybody elsewhere.
            self.secure_port = 0
        self.peer = source
        self.opening = proxies.opening(source)
        self.proxies = proxies if proxies.names(source) else None

    def hear(self, fields: Fields) -> None:
        if self.proxies is not None:
            self._client = self.proxies.client_of(self.peer, fields)
            self.opening = self.proxies.opening(self._client.address)

    def is_told(self) -> bool:
        return self._client is not None and self._client.told

    def client_address(self) -> Address | None:
        if self._client is None or not self._client.told:
            return self.peer
        if self._client.address is None:
            raise PermissionError("the proxy does not say for whom it asks")
        return self._client.address

    def moved(self, request: Request) -> Redirection | None:
        """308 to the same target on the secure listener. What proves to a certificate authority whose host this is, and
        what is only for this machine, is answered where it was asked for."""
        line = request.line
        host = host_of(line, request.fields)
        if not self.secure_port or not host or not line.path.startswith(b"/") or line.path.startswith((_ACME, PREFIX)):
            return None
        # Behind a proxy only the proxy knows how the client asked.
        if self.proxies is not None and (self._client is None or self._client.scheme != b"http"):
            return None
        port = b"" if self.secure_port == _HTTPS_PORT else b":%d" % self.secure_port
        query = b"?" + line.query if line.query else b""
        return Redirection(308, b"https://%b%b%b%b" % (host, port, line.path, query))
