# What two other parsers make of the same bytes.
#
# A Reading is what must agree for a request not to be smuggled: where it ends, what it asks for, and of whom.
"""Readings of a request by httptools and by h11."""

from typing import NamedTuple

import h11
import httptools

# Longer bodies are not made up only to ask h11 what comes after them.
_LONGEST_BODY_BYTES = 1000


class Reading(NamedTuple):
    """A request as one parser sees it. `persistent` is None where the parser does not say."""

    method: bytes
    target: bytes
    minor: int
    hosts: list[bytes]
    content_length: int | None
    chunked: bool
    persistent: bool | None


class _Listener:
    def __init__(self) -> None:
        self.target = b""
        self.pairs: list[tuple[bytes, bytes]] = []
        self.parser = httptools.HttpRequestParser(self)
        self.persistent = False
        self.head_complete = False
        self.message_complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.head_complete = True
        # The flags it goes by are gone when the message is complete.
        self.persistent = self.parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.message_complete = True


def _reading(
    method: bytes, target: bytes, version: bytes, pairs: list[tuple[bytes, bytes]], persistent: bool | None
) -> Reading:
    lengths = [value for name, value in pairs if name == b"content-length"]
    codings = [value.lower() for name, value in pairs if name == b"transfer-encoding"]
    return Reading(
        method,
        target,
        int(version.removeprefix(b"1.")),
        [value for name, value in pairs if name == b"host"],
        int(lengths[0]) if lengths else None,
        codings == [b"chunked"],
        persistent,
    )


def _connection_options(pairs: list[tuple[bytes, bytes]]) -> list[bytes]:
    values = [value.lower() for name, value in pairs if name == b"connection"]
    return [option.strip() for value in values for option in value.split(b",")]


def httptools_reading(head: bytes) -> Reading | None:
    """The head as httptools reads it, or None when it refuses."""
    listener = _Listener()
    try:
        listener.parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    if not listener.head_complete:
        return None
    version = listener.parser.get_http_version().encode()
    # It takes Proxy-Connection for Connection, which no RFC does, and in HTTP/1.0 lets keep-alive outrank close.
    misled = any(name == b"proxy-connection" for name, _ in listener.pairs) or (
        version == b"1.0" and b"close" in _connection_options(listener.pairs)
    )
    persistent = None if misled else listener.persistent
    return _reading(listener.parser.get_method(), listener.target, version, listener.pairs, persistent)


def h11_reading(head: bytes) -> Reading | None:
    """The head as h11 reads it, or None when it refuses. It keeps no HTTP/1.0 connection, so says nothing of those."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.Request):
        return None
    reading = _reading(event.method, event.target, event.http_version, list(event.headers), None)
    return reading._replace(persistent=_kept_by(connection, reading))


def _kept_by(connection: h11.Connection, reading: Reading) -> bool | None:
    """Whether h11 keeps the connection, which it says once the body has come."""
    length = reading.content_length or 0
    if reading.minor == 0 or length > _LONGEST_BODY_BYTES:
        return None
    connection.receive_data(b"0\r\n\r\n" if reading.chunked else b"x" * length)
    while not isinstance(connection.next_event(), h11.EndOfMessage):
        pass
    # A third state is that it waits to switch protocols.
    return {h11.DONE: True, h11.MUST_CLOSE: False}.get(connection.their_state)


def httptools_body_bytes(head: bytes, body: bytes) -> int | None:
    """How many bytes of `body` httptools takes for the body; None when it refuses them or has not seen the end."""
    listener = _Listener()
    listener.parser.feed_data(head)
    for taken, byte in enumerate(body):
        if listener.message_complete:
            return taken
        try:
            listener.parser.feed_data(bytes((byte,)))
        except httptools.HttpParserError:
            return None
    return len(body) if listener.message_complete else None


def h11_body_bytes(head: bytes, body: bytes) -> int | None:
    """How many bytes of `body` h11 takes for the body; None when it refuses them or has not seen the end."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    connection.receive_data(head + body)
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return None
        if event is h11.NEED_DATA:
            return None
        if isinstance(event, h11.EndOfMessage):
            return len(body) - len(connection.trailing_data[0])
