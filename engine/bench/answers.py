# Where an answer ends. To a generator that is all there is to know of it, and its status.
#
# Answers to the same request have the same head, but for its Date: a head that was read before is found by one
# look-up, and says how long the answer is. Bodies in chunks, which have no length, are left to httptools.
"""Framing of responses (RFC 9112 6.3)."""

from typing import NamedTuple

_HEAD_END = b"\r\n\r\n"
# Heads that are remembered: some files, a second each; none that is so long that those of a second would fill memory.
_HEADS, _REMEMBERED_BYTES = 4096, 8 * 1024
# An answer's head past this is not HTTP.
_MAX_HEAD_BYTES = 256 * 1024


class Malformed(ValueError):
    """What came is no answer."""


class Shape(NamedTuple):
    """What a head says of its answer. `length`: of head and body; None where chunks or the end of the stream end it."""

    status: int
    length: int | None
    chunked: bool
    close: bool


class Done(NamedTuple):
    """An answer that has come whole."""

    status: int
    close: bool


class Shapes:
    """The shapes of heads, remembered."""

    def __init__(self) -> None:
        self.known: dict[bytes, Shape] = {}

    def of(self, head: bytes) -> Shape:
        """The shape that `head` announces, which is without its empty line. Raises Malformed."""
        shape = self.known.get(head)
        if shape is None:
            if len(self.known) >= _HEADS:
                self.known.clear()
            shape = _shape(head)
            if len(head) <= _REMEMBERED_BYTES:
                self.known[head] = shape
        return shape


def _shape(head: bytes) -> Shape:
    start, *lines = head.split(b"\r\n")
    version, _, rest = start.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise Malformed(f"an answer begins with {start[:40]!r}")
    status = int(rest[:3])
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    connection = fields.get(b"connection", b"").lower()
    close = b"close" in connection or (version == b"HTTP/1.0" and b"keep-alive" not in connection)
    if status < 200 or status in (204, 304):
        return Shape(status, len(head) + len(_HEAD_END), False, close)
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        return Shape(status, None, True, close)
    length = fields.get(b"content-length")
    if length is None:
        return Shape(status, None, False, True)
    if not length.isdigit():
        raise Malformed(f"an answer has the length {length[:40]!r}")
    return Shape(status, len(head) + len(_HEAD_END) + int(length), False, close)


class Reader:
    """Cuts the stream of one connection into answers."""

    __slots__ = ("_buffer", "_chunks", "_left", "_shape", "_shapes")

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._buffer = b""
        self._shape: Shape | None = None
        # Bytes of the answer under way that have not come yet.
        self._left = 0
        self._chunks: _Chunks | None = None

    @property
    def is_between(self) -> bool:
        """Whether no answer has begun."""
        return self._shape is None and not self._buffer and (self._chunks is None or self._chunks.is_between)

    @property
    def is_plain(self) -> bool:
        """Whether nothing of what it has read bears on what follows."""
        return self._chunks is None and self.is_between

    def feed(self, piece: bytes) -> list[Done]:
        """The answers that end in `piece`. Raises Malformed."""
        done: list[Done] = []
        while piece:
            if self._chunks is not None:
                return done + self._chunks.feed(piece)
            if self._shape is None:
                piece = self._begin(piece)
                continue
            if self._shape.length is None:
                return done
            taken = min(self._left, len(piece))
            self._left -= taken
            piece = piece[taken:]
            if not self._left:
                shape, self._shape = self._shape, None
                if shape.status >= 200:
                    done.append(Done(shape.status, shape.close))
        return done

    def end(self) -> Done | None:
        """The answer that the end of the stream ends, if it does. Raises Malformed where it cuts one short."""
        shape = self._shape
        if shape is not None and shape.length is None:
            self._shape = None
            return Done(shape.status, True)
        if not self.is_between:
            raise Malformed("an answer is cut short")
        return None

    def _begin(self, piece: bytes) -> bytes:
        """Look at a head; what is to be read on from: the answer's first byte, or nothing while the head has no end."""
        seen = self._buffer + piece
        end = seen.find(_HEAD_END)
        if (len(seen) if end < 0 else end) > _MAX_HEAD_BYTES:
            raise Malformed("an answer's head does not end")
        if end < 0:
            self._buffer = seen
            return b""
        self._buffer = b""
        shape = self._shapes.of(seen[:end])
        if shape.chunked:
            self._chunks = _Chunks()
        else:
            self._shape = shape
            self._left = shape.length or 0
        return seen


class _Chunks:
    """Reads a stream from its first answer in chunks on. Called back by httptools."""

    def __init__(self) -> None:
        import httptools

        self._error = httptools.HttpParserError
        self._parser = httptools.HttpResponseParser(self)
        self._done: list[Done] = []
        self.is_between = True

    def on_message_begin(self) -> None:
        self.is_between = False

    def on_message_complete(self) -> None:
        self.is_between = True
        status = self._parser.get_status_code()
        if status >= 200:
            self._done.append(Done(status, not self._parser.should_keep_alive()))

    def feed(self, piece: bytes) -> list[Done]:
        try:
            self._parser.feed_data(piece)
        except self._error as error:
            raise Malformed(str(error)) from error
        done, self._done = self._done, []
        return done
