# Connections that are none of the hot path's: over TLS, or on a listener that sends everybody to a secure one.
#
# To the slow lane they are connections like all others: what differs is behind the methods of Connection.
"""Connections whose requests all go by the slow lane."""

import contextlib
import html
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from wsrv.engine.http.head import host_of
from wsrv.engine.ipc.closing import TLS_ALERT
from wsrv.engine.ipc.record import RecordFields
from wsrv.engine.static.entity import Entity, of_bytes
from wsrv.engine.worker.connection import ASIDE, Connection
from wsrv.engine.worker.inside import PREFIX
from wsrv.engine.worker.request import Request

if TYPE_CHECKING:
    from wsrv.engine.tls.session import Session

_HTTPS_PORT = 443
_ACME = b"/.well-known/acme-challenge/"


class Aside(Connection):
    """A connection with more to it. `record` is how it came; `tls` its session, None where it is plain.

    `secure_port` is where a client that asks in the clear is sent; 0 to answer it here.
    """

    __slots__ = ("record", "secure_port", "tls")

    REST: ClassVar[int] = ASIDE

    def __init__(self, fd: int, opening: bytes, now_ns: int, record: RecordFields) -> None:
        super().__init__(fd, opening, now_ns)
        self.record = record
        self.tls: Session | None = None
        self.secure_port = 0

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

    def moved(self, request: Request) -> Entity | None:
        """308 to the same target on the secure listener. What proves to a certificate authority whose host this is, and
        what is only for this machine, is answered where it was asked for."""
        line = request.line
        host = host_of(line, request.fields)
        if not self.secure_port or not host or not line.path.startswith(b"/") or line.path.startswith((_ACME, PREFIX)):
            return None
        port = b"" if self.secure_port == _HTTPS_PORT else b":%d" % self.secure_port
        query = b"?" + line.query if line.query else b""
        return _redirect(b"https://%b%b%b%b" % (host, port, line.path, query))


def _redirect(location: bytes) -> Entity:
    shown = html.escape(location.decode("ascii")).encode("ascii")
    page = (
        b'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>308 Permanent Redirect</title>\n'
        b'<p>This is at <a href="%b">%b</a>.</p></html>\n' % (shown, shown)
    )
    return of_bytes(308, b"text/html; charset=utf-8", page, ((b"Location", location),))
