# Where the body of a request ends.
#
# A static server has no use for a body; it reads one only to find the request behind it. Nothing is kept but the
# unfinished line of a chunked body, and that is bounded.
#
#   chunked body      state      next
#   -------------     -------    -------------------------------------------
#   1a;ext CRLF       SIZE       DATA, or TRAILER when the size is 0
#   26 bytes          DATA       DATA_END
#   CRLF              DATA_END   SIZE
#   Name: value CRLF  TRAILER    TRAILER
#   CRLF              TRAILER    DONE
"""A reader that measures and discards the body of a request (RFC 9112 6, 7.1)."""

import re
from typing import Protocol

from wsrv.engine.http.bounds import MAX_FIELDS
from wsrv.engine.http.fields import Fields
from wsrv.engine.http.grammar import FIELD_LINE, TOKEN, Malformed

# Extensions are read only to be thrown away. Precedent: h2o allows 10 KiB; Go 16 bytes a chunk on average.
MAX_CHUNK_LINE_BYTES = 256
# For all trailer lines together. Precedent: Go bounds them like the head.
MAX_TRAILER_BYTES = 8 * 1024

_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
# 15 digits are an exabyte, and fit 64 bits wherever they are read. No whitespace around ; or =: that is allowed to
# nobody who sends, and read differently by those who receive.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|" + _QUOTED + rb"))?)*+\r\n")
# Framing has no place behind the body it frames (RFC 9110 6.5.1), and h11 and httptools refuse it there.
_TRAILER_LINE = re.compile(rb"(?!(?i:content-length|transfer-encoding):)" + FIELD_LINE)

_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class _Framing(Protocol):
    """One way to find the end of a body."""

    @property
    def done(self) -> bool:
        """Whether the body has ended."""

    def feed(self, data: bytes | memoryview) -> int:
        """How many bytes at the front of `data` are the body's. Raises Malformed."""


class BodyReader:
    """Tells body from what follows it, and throws the body away.

    `done` once the body has ended; `received` counts its bytes so far, framing included, for whoever bounds it.
    """

    __slots__ = ("_framing", "received")

    def __init__(self, framing: _Framing) -> None:
        self._framing = framing
        self.received = 0

    @classmethod
    def of(cls, fields: Fields) -> "BodyReader | None":
        """The reader for a request with these fields; None when it has no body (RFC 9112 6.3)."""
        if fields.chunked:
            return cls(_Chunked())
        if fields.content_length:
            return cls(_Measured(fields.content_length))
        return None

    @property
    def done(self) -> bool:
        """Whether the body has ended. What follows is the next request."""
        return self._framing.done

    def feed(self, data: bytes | memoryview) -> int:
        """Take in what came; how many bytes at its front belonged to the body. Raises Malformed (400)."""
        taken = self._framing.feed(data)
        self.received += taken
        return taken


class _Measured:
    """A body as long as Content-Length says."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def done(self) -> bool:
        return self._left == 0

    def feed(self, data: bytes | memoryview) -> int:
        taken = min(self._left, len(data))
        self._left -= taken
        return taken


class _Chunked:
    """A chunked body. The state says what the next byte belongs to; see the table at the top."""

    __slots__ = ("_left", "_line", "_state", "_trailer_bytes", "_trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        # Bytes of the chunk still to come; meaningful in DATA.
        self._left = 0
        # The beginning of a line whose end has not come yet.
        self._line = b""
        self._trailers = 0
        self._trailer_bytes = 0

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def feed(self, data: bytes | memoryview) -> int:
        raw = bytes(data)
        at = 0
        while at < len(raw) and self._state != _DONE:
            if self._state == _DATA:
                taken = min(self._left, len(raw) - at)
                self._left -= taken
                at += taken
                if self._left == 0:
                    self._state = _DATA_END
                continue
            end = raw.find(b"\n", at) + 1
            piece = raw[at : end or len(raw)]
            at += len(piece)
            self._line += piece
            if len(self._line) > self._line_limit():
                raise Malformed(400, "A line of the chunked body is too long.")
            if end:
                line, self._line = self._line, b""
                self._state = self._after(line)
        return at

    def _line_limit(self) -> int:
        if self._state == _SIZE:
            return MAX_CHUNK_LINE_BYTES
        return len(b"\r\n") if self._state == _DATA_END else MAX_TRAILER_BYTES - self._trailer_bytes

    def _after(self, line: bytes) -> int:
        """The state that follows a whole line, its LF included. Raises Malformed."""
        if self._state == _SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise Malformed(400, "A chunk's size is not a hexadecimal number.")
            self._left = int(match[1], 16)
            return _DATA if self._left else _TRAILER
        if self._state == _DATA_END:
            if line != b"\r\n":
                raise Malformed(400, "A chunk is longer than its size.")
            return _SIZE
        if line == b"\r\n":
            return _DONE
        self._trailers += 1
        self._trailer_bytes += len(line)
        if self._trailers > MAX_FIELDS or _TRAILER_LINE.fullmatch(line) is None:
            raise Malformed(400, "A trailer field of the chunked body is malformed.")
        return _TRAILER
