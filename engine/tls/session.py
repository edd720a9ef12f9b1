# One client's TLS over a descriptor that never waits.
#
#   descriptor ─raw─> incoming BIO ─> SSLObject ─> plain          plain ─> SSLObject ─> outgoing BIO ─raw─> descriptor
#
# Rule 1: what is said to be gone is gone. Plain bytes count as written when all of their records are in the kernel;
#         what is encrypted and not yet there is `owed`, and the caller comes again with the same bytes first.
# Rule 2: every failure is an OSError, as a plain descriptor's would be; nothing to do is BlockingIOError.
# Rule 3: an end without close_notify is an end all the same: what was asked for whole is answered, nothing else is.
"""A TLS session: handshake, read, write, send a file, end."""

import contextlib
import os
import ssl
from collections.abc import Sequence

from wsrv.engine.tls.hello import offered_in
from wsrv.engine.tls.step import NotTls, Step

PROTOCOL = "http/1.1"
# A fatal alert, no_application_protocol, in the clear: no keys have been agreed on yet (RFC 7301 3.2).
_NO_PROTOCOL = bytes((0x15, 3, 3, 0, 2, 2, 120))

# A record is 16 KiB of plain bytes at most (RFC 8446 5.1); this takes one and a bit in.
_RAW_BYTES = 17 * 1024
_PLAIN_BYTES = 16 * 1024
# What is encrypted at a time: it stays in memory for a client that takes nothing.
_CHUNK_BYTES = 64 * 1024
# Of what answers the protocol itself, a client leaves less than this unread, or it is at some game.
_UNREAD_BYTES = 16 * 1024
_HANDSHAKE_RECORD = 0x16


class Session:
    """The TLS of one connection.

    `begun` once the client has said something, `ended` once it has said that it sends no more. `version` of the
    protocol, as `TLSv1.3`, once it stands.
    """

    __slots__ = (
        "_early",
        "_hello",
        "_incoming",
        "_object",
        "_outgoing",
        "_over",
        "_owed",
        "_pending",
        "_stands",
        "begun",
        "ended",
        "version",
    )

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pending: memoryview | None = None
        self._owed = 0
        self._early = b""
        # What came so far, until it is known which protocols the client offers.
        self._hello: bytes | None = b""
        self.version = b""
        self.begun = self._stands = self._over = self.ended = False

    def unread(self, seen: bytes) -> None:
        """Begin with `seen`, which was read before the handshake began."""
        self._early = seen

    def handshake(self, fd: int) -> Step:
        """Go on with the handshake. Raises OSError when it has failed; the client has been told then, if it listens."""
        if self._pending is not None and not self._push(fd):
            return Step.WRITES
        if self._stands:
            return Step.DONE
        try:
            seen, self._early = self._early or os.read(fd, _RAW_BYTES), b""
        except BlockingIOError:
            return Step.READS
        if not seen:
            raise ConnectionResetError("the client left during the handshake")
        first, self.begun = not self.begun, True
        if first and seen[0] != _HANDSHAKE_RECORD:
            raise NotTls(seen)
        self._agree(fd, seen)
        self._incoming.write(seen)
        try:
            self._object.do_handshake()
            self._stands = True
            self.version = (self._object.version() or "").encode()
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self._push(fd)
            raise
        if not self._push(fd):
            return Step.WRITES
        return Step.DONE if self._stands else Step.READS

    def _agree(self, fd: int, seen: bytes) -> None:
        """Refuse a client that offers protocols, and none that is spoken here. Raises OSError for such a one."""
        if self._hello is None:
            return
        self._hello += seen
        offered = offered_in(self._hello)
        if offered is None:
            return
        self._hello = None
        if offered and PROTOCOL.encode() not in offered:
            with contextlib.suppress(OSError):
                os.write(fd, _NO_PROTOCOL)
            raise ConnectionAbortedError("the client speaks only other protocols")

    def read(self, fd: int) -> bytes:
        """What the client says; empty when it says no more. After end() raw bytes, to be read past. Raises OSError."""
        if self.ended:
            return b""
        if self._over:
            return os.read(fd, _RAW_BYTES)
        if self._pending is not None and not self._owed and len(self._pending) > _UNREAD_BYTES:
            raise ConnectionAbortedError("the client asks for new keys and takes none")
        try:
            seen = os.read(fd, _RAW_BYTES)
        except BlockingIOError:
            # Behind the handshake there may be more that has been read.
            if not self._incoming.pending:
                raise
        else:
            if seen:
                self._incoming.write(seen)
            else:
                self._incoming.write_eof()
        pieces = []
        try:
            while piece := self._object.read(_PLAIN_BYTES):
                pieces.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            if not pieces:
                raise BlockingIOError from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self.ended = True
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                self._push(fd)
            raise
        # A change of keys is answered (RFC 8446 4.6.3).
        self._push(fd)
        return b"".join(pieces)

    def write(self, fd: int, parts: Sequence[bytes | memoryview]) -> int:
        """Send from the front of `parts`; how many bytes are gone. Raises OSError."""
        if not self._owed:
            chunk = memoryview(parts[0])[:_CHUNK_BYTES]
            if len(parts) > 1 and len(chunk) < _CHUNK_BYTES:
                chunk = memoryview(_joined(parts))
            self._object.write(chunk)
            self._owed = len(chunk)
        if not self._push(fd):
            raise BlockingIOError
        gone, self._owed = self._owed, 0
        return gone

    def send_file(self, fd: int, file: int, offset: int, count: int) -> int:
        """Send bytes of the open file; how many are gone, none at its end. Raises OSError."""
        if self._owed:
            return self.write(fd, ())
        piece = os.pread(file, min(count, _CHUNK_BYTES), offset)
        return self.write(fd, (piece,)) if piece else 0

    def end(self, fd: int) -> None:
        """Say that nothing more is sent (close_notify), if the client takes it at once and nothing is owed."""
        self._over = True
        if self._stands and not self._owed and self._pending is None:
            with contextlib.suppress(OSError):
                self._object.unwrap()
            with contextlib.suppress(OSError):
                self._push(fd)

    def _push(self, fd: int) -> bool:
        """Write what is encrypted; whether all of it is gone. Raises OSError."""
        if self._outgoing.pending:
            fresh = self._outgoing.read()
            self._pending = memoryview(fresh if self._pending is None else bytes(self._pending) + fresh)
        while self._pending is not None:
            try:
                gone = os.write(fd, self._pending)
            except BlockingIOError:
                return False
            self._pending = self._pending[gone:] if gone < len(self._pending) else None
        return True


def _joined(parts: Sequence[bytes | memoryview]) -> bytearray:
    """The front of `parts` in one piece, so that a head and a small body are one record."""
    chunk = bytearray()
    for part in parts:
        chunk += memoryview(part)[: _CHUNK_BYTES - len(chunk)]
        if len(chunk) == _CHUNK_BYTES:
            break
    return chunk
