# Every response that a test reads over a socket goes through httplint, whichever way the test reads it.
#
# The tap stands on socket.recv and socket.recv_into, through which plain reads, http.client and TLS go. It follows each
# socket whose first bytes are those of a response, cuts the stream into responses as RFC 9112 6.3 has it, and has
# each linted. Of heads that differ in Date, lengths and validators only, the first is linted: the suite reads some
# ten thousand.
"""Lint for the responses that tests provoke."""

import re
import socket
import ssl
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from httplint import HttpResponseLinter
from httplint.note import Note, levels

_START = b"HTTP/1."
_HEAD_END = b"\r\n\r\n"
# A body past this is not shown to the linter, only walked over.
_MAX_BODY_BYTES = 256 * 1024
# What makes heads of one kind differ.
_VARIES = re.compile(
    rb"(\r\n(?:Date|ETag|Last-Modified|Content-Length|Age|Expires|Content-Range|Location): |boundary=)[^\r]*",
    re.IGNORECASE,
)
_LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\nTransfer-Encoding:[^\r]*chunked", re.IGNORECASE)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)[^\r]*\r\n")
_WITHOUT_BODY = re.compile(rb"HTTP/1\.[01] (1\d\d|204|304)")

# What httplint calls bad or doubtful and is neither: the name of its note, and the heads that it is argued for.
_ARGUED = {
    # The status says what the client did, and tests do it on purpose.
    "STATUS_BAD_REQUEST": rb"HTTP/1.1 400 ",
    "STATUS_URI_TOO_LONG": rb"HTTP/1.1 414 ",
    "STATUS_VERSION_NOT_SUPPORTED": rb"HTTP/1.1 505 ",
    # An interim response may go without (RFC 9110 6.6.1), and no cache sees it.
    "DATE_CLOCKLESS": rb"HTTP/1.1 100 ",
    # Several parts name their places each for itself, and the head MUST NOT (RFC 9110 15.3.7.2).
    "PARTIAL_WITHOUT_RANGE": rb"HTTP/1.1 206 .*\r\nContent-Type: multipart/byteranges;",
    # Tests name and fill files as they like, and the server goes by the name. Where the server makes the content,
    # which is in all other answers but parts, the note stands.
    "CONTENT_TYPE_MISMATCH": rb"HTTP/1.1 200 ",
    # The linter does not see the request: these 204 answer OPTIONS, and say what a preflight asked for.
    "CORS_PREFLIGHT_ONLY": rb"HTTP/1.1 204 .*\r\nAccess-Control-Allow-Methods: ",
    # What is below this name may be served by others, who have no TLS.
    "HSTS_NO_SUBDOMAINS": rb"HTTP/1.1 ",
}


def _is_argued(note: Note, head: bytes) -> bool:
    pattern = _ARGUED.get(type(note).__name__)
    return pattern is not None and re.match(pattern, head, re.DOTALL) is not None


def faults(head: bytes, body: bytes | None, now: float) -> list[str]:
    """What httplint has against one response, received at `now`; `body` is None where it was not received whole."""
    status_line, *lines = head.removesuffix(_HEAD_END).split(b"\r\n")
    version, status, reason = (*status_line.split(b" ", 2), b"")[:3]
    if status == b"206":
        body = None  # a part of what is compressed decodes to nothing
    linter = HttpResponseLinter(start_time=now, no_content=body is None)
    linter.process_response_topline(version.removeprefix(b"HTTP/"), status, reason)
    linter.process_headers([(name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)])
    if body is not None:
        linter.feed_content(body)
    linter.finish_content(True)
    notes = [note for found in linter.notes for note in (found, *found.subnotes)]
    wrong = [note for note in notes if note.level in (levels.BAD, levels.WARN)]
    return [
        f"{type(note).__name__} ({note.level.value}): {note.summary}\n{head.decode('latin-1')}"
        for note in wrong
        if not _is_argued(note, head)
    ]


class _Stream:
    """What came over one socket, cut into responses."""

    def __init__(self, judge: Callable[[bytes, bytes | None], None]) -> None:
        self._judge = judge
        self._bytes = bytearray()
        self._skip = 0
        self._is_other: bool | None = None

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        if self._is_other:
            return
        passed = min(self._skip, len(piece))
        self._skip -= passed
        self._bytes += piece[passed:]
        if self._is_other is None and len(self._bytes) >= len(_START):
            self._is_other = not self._bytes.startswith(_START)
        while self._is_other is False and self._cut():
            continue

    def end(self) -> None:
        """No more will come: a head without a body answered a HEAD, or the test had seen enough."""
        at = self._bytes.find(_HEAD_END) if self._is_other is False else -1
        if at >= 0:
            head, body = bytes(self._bytes[: at + 4]), bytes(self._bytes[at + 4 :])
            framed = _LENGTH.search(head) or _CHUNKED.search(head)
            self._judge(head, None if framed else body)
        self._bytes.clear()
        self._is_other = True

    def _cut(self) -> bool:
        """Take one response off the front, if there is one whole."""
        at = self._bytes.find(_HEAD_END)
        if at < 0:
            return False
        head, after = bytes(self._bytes[: at + 4]), self._bytes[at + 4 :]
        length = _LENGTH.search(head)
        if _WITHOUT_BODY.match(head) or (len(after) >= len(_START) and after.startswith(_START)):
            # In the place of a body the next response: this one answered a HEAD.
            return self._take(head, b"" if _WITHOUT_BODY.match(head) else None, 0)
        if _CHUNKED.search(head):
            body, taken = _unchunked(bytes(after))
            return body is not None and self._take(head, body, taken)
        if length is None:
            return False
        wanted = int(length[1])
        if wanted > _MAX_BODY_BYTES and len(after) >= len(_START):
            self._skip = max(wanted - len(after), 0)
            return self._take(head, None, min(wanted, len(after)))
        return len(after) >= wanted and self._take(head, bytes(after[:wanted]), wanted)

    def _take(self, head: bytes, body: bytes | None, taken: int) -> bool:
        del self._bytes[: len(head) + taken]
        self._judge(head, body)
        if self._bytes and not self._bytes.startswith(_START[: len(self._bytes)]):
            self._judge(bytes(self._bytes), None)
            self._is_other = True
        return True


def _unchunked(coded: bytes) -> tuple[bytes | None, int]:
    """The content of a chunked body and how many bytes it took, or None until it is whole."""
    at, pieces = 0, []
    while line := _CHUNK_LINE.match(coded, at):
        size = int(line[1], 16)
        pieces.append(coded[line.end() : line.end() + size])
        at = line.end() + size + 2
        if size == 0:
            return (b"".join(pieces), at) if len(coded) >= at else (None, 0)
    return None, 0


class Tap:
    """Looks on at what sockets receive while it is open, and remembers what httplint has against it."""

    def __init__(self) -> None:
        self._streams: weakref.WeakKeyDictionary[socket.socket, _Stream] = weakref.WeakKeyDictionary()
        self._open: list[_Stream] = []
        self._seen: set[tuple[bytes, bool]] = set()
        self._faults: list[str] = []
        self.linted = 0

    def verdict(self) -> list[str]:
        """The faults since the last time; what was half received then is judged by what there is of it."""
        streams, self._open = self._open, []
        for stream in streams:
            stream.end()
        self._streams.clear()
        found, self._faults = self._faults, []
        return found

    def received(self, sock: socket.socket, piece: bytes) -> None:
        """A piece of what came over `sock`."""
        stream = self._streams.get(sock)
        if stream is None:
            stream = self._streams[sock] = _Stream(self._judge)
            self._open.append(stream)
        stream.feed(piece)

    def _judge(self, head: bytes, body: bytes | None) -> None:
        if not head.startswith(_START):
            self._faults.append(f"after the end of a response came, instead of another: {head[:200]!r}")
            return
        kind = _VARIES.sub(rb"\1", head), body is None
        if kind not in self._seen:
            self._seen.add(kind)
            self.linted += 1
            self._faults += faults(head, body, time.time())

    @contextmanager
    def open(self) -> Iterator[None]:
        """Stand on the sockets of this process."""
        kept: list[tuple[Any, str, Any]] = []
        for kind in (socket.socket, ssl.SSLSocket):
            kept += [(kind, name, kind.__dict__.get(name)) for name in ("recv", "recv_into")]
            self._stand_on(kind)
        try:
            yield
        finally:
            for kind, name, original in kept:
                if original is None:
                    delattr(kind, name)
                else:
                    setattr(kind, name, original)

    def _stand_on(self, kind: type[socket.socket]) -> None:
        recv, recv_into = kind.recv, kind.recv_into

        def tapped_recv(sock: socket.socket, bufsize: int, flags: int = 0) -> bytes:
            piece = recv(sock, bufsize, flags)
            if not flags & socket.MSG_PEEK:
                self._received(kind, sock, piece)
            return piece

        def tapped_recv_into(sock: socket.socket, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
            got = recv_into(sock, buffer, nbytes, flags)
            if not flags & socket.MSG_PEEK:
                self._received(kind, sock, bytes(memoryview(buffer).cast("B")[:got]))
            return got

        setattr(kind, "recv", tapped_recv)  # noqa: B010  # mypy permits no other assignment to a method
        setattr(kind, "recv_into", tapped_recv_into)  # noqa: B010

    def _received(self, kind: type, sock: socket.socket, piece: bytes) -> None:
        # A TLS socket reads through its own method, which may go on to the plain one.
        if isinstance(sock, ssl.SSLSocket) == (kind is ssl.SSLSocket):
            self.received(sock, piece)
