# Heads of responses, built ahead of time.
#
#   HTTP/1.1 STATUS REASON CRLF
#   Server: wsrv CRLF
#   Date: <29 bytes, the only ones that change> CRLF
#   the fields given, in their order
#   Connection: ... CRLF          when asked for
#   CRLF
"""Response heads with a hole for the Date."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from wsrv.engine.http.grammar import TOKEN
from wsrv.engine.http.status import REASONS

SERVER = b"wsrv"
DATE_BYTES = 29

_NAME = re.compile(TOKEN)
# Stricter than the CR, LF and NUL that would end a field: no control but HTAB (RFC 9110 5.5).
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_CONNECTIONS = (b"", b"close", b"keep-alive")


@dataclass(slots=True, frozen=True)
class HeadTemplate:
    """A head in two parts; the Date goes between them."""

    before: bytes
    after: bytes

    def render(self, date: bytes) -> bytes:
        """The head as it is sent, blank line included."""
        return self.before + date + self.after


def build_head(status: int, fields: Iterable[tuple[bytes, bytes]], connection: bytes = b"") -> HeadTemplate:
    """The head of a response with `status` and `fields`, in their order.

    Raises ValueError for a status without reason phrase, a name that is no token, a value with CR, LF, NUL or another
    control, and a `connection` other than nothing, close and keep-alive.
    """
    reason = REASONS.get(status)
    if reason is None:
        raise ValueError(f"status {status} has no reason phrase in engine.http.status")
    if connection not in _CONNECTIONS:
        raise ValueError(f"connection must be empty, close or keep-alive, not {connection!r}")
    lines = []
    for name, value in fields:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"field name {name!r} is no token")
        if _VALUE.fullmatch(value) is None:
            raise ValueError(f"value {value!r} of field {name!r} holds a control character")
        lines.append(b"%b: %b\r\n" % (name, value))
    if connection:
        lines.append(b"Connection: %b\r\n" % connection)
    before = b"HTTP/1.1 %d %b\r\nServer: %b\r\nDate: " % (status, reason, SERVER)
    return HeadTemplate(before, b"\r\n" + b"".join(lines) + b"\r\n")
