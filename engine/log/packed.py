# Logs and lists may be compressed by gzip. The content tells, not the name.
"""Reading what may be compressed."""

import gzip
import zlib
from typing import IO, cast

GZIP_MAGIC = b"\x1f\x8b"
# What reading raises where a compressed file is damaged or breaks off.
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """`stream`, which can be looked into without taking from it, as what it was before it was compressed.

    To close what comes back does not close `stream`.
    """
    if not is_packed(stream.peek(len(GZIP_MAGIC))):  # type: ignore[attr-defined]  # of a BufferedReader
        return stream
    return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))


def is_packed(beginning: bytes) -> bool:
    """Whether bytes that begin so are compressed."""
    return beginning.startswith(GZIP_MAGIC)
