# Content codings put on and taken off.
#
# Rule 1: for pool threads: each call is one long call into C, without the GIL. Levels are chosen in DECISIONS.md.
# Rule 2: the libraries are imported by the first call that needs them, so that who serves no such coding pays for none.
# Rule 3: what does not become smaller stays as it is.
"""Compressing and decompressing entities."""

import sys
import zlib
from collections.abc import Callable
from typing import NamedTuple

from wsrv.engine.http.negotiation import BROTLI, GZIP, ZSTD, Acceptable
from wsrv.engine.static.entity import Entity, NotServed, recoded

_BROTLI_QUALITY = 5
_ZSTD_LEVEL = 9
_ZLIB_LEVEL = 6
# To zlib: the largest window, and gzip's frame around the stream.
_GZIP_WINDOW = 31

# What a coding adds to the head: Content-Encoding, and its mark in the ETag.
_FIELD_BYTES = 40


class Bounds(NamedTuple):
    """The longest bodies that are compressed, and that are decoded, in bytes."""

    compressed: int
    decoded: int


def coding_wanted(entity: Entity, accepted: Acceptable, bounds: Bounds) -> bytes | None:
    """The coding to bring `entity` into for a client that takes `accepted`: b"" for none; None to send it as it is.

    Raises NotServed(406) for what cannot be made acceptable (RFC 9110 12.5.3, 15.5.7).
    """
    if entity.status != 200 or entity.coding in accepted.codings:
        return None
    if not entity.coding:
        if entity.compressible and accepted.codings and entity.length <= bounds.compressed:
            return accepted.codings[0]
        if accepted.identity:
            return None
        raise NotServed(406, "No coding that the client takes can be had, and it refuses the bytes as they are.")
    if accepted.identity and entity.body is not None:
        return b""
    raise NotServed(406, "There are only codings that the client does not take.")


def recode(entity: Entity, coding: bytes, bounds: Bounds) -> Entity:
    """`entity`, which has a body, in `coding`, or without any for b""; itself when it would not become smaller.

    Raises NotServed: 406 for what is decoded to more than the bound, 500 for what cannot be decoded.
    """
    body = entity.body
    assert body is not None, "only what is held can be recoded"
    if not coding:
        return recoded(entity, b"", _decoded(entity.coding, body, bounds.decoded), b"plain")
    coded = _COMPRESS[coding](body)
    if len(coded) + _FIELD_BYTES >= len(body):
        return entity
    # Other versions of the libraries make other bytes of the same content, and the tag has to be strong.
    return recoded(entity, coding, coded, b"%b-%08x" % (coding, zlib.crc32(coded)))


def _brotli(body: bytes) -> bytes:
    import brotli

    coded: bytes = brotli.compress(body, quality=_BROTLI_QUALITY)
    return coded


def _zstd(body: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress(body, _ZSTD_LEVEL)


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, _ZLIB_LEVEL, _GZIP_WINDOW)


_COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {BROTLI: _brotli, ZSTD: _zstd, GZIP: _gzip}


def _decoded(coding: bytes, coded: bytes, max_bytes: int) -> bytes:
    """What `coded` holds. Raises NotServed as `recode`."""
    try:
        body = _DECOMPRESS[coding](coded, max_bytes + 1)
    except Exception as error:
        # Each library has an exception of its own.
        raise NotServed(500, f"a precompressed file is broken: {error}") from error
    if len(body) > max_bytes:
        raise NotServed(406, "There are only codings that the client does not take.")
    return body


def _unbrotli(coded: bytes, limit: int) -> bytes:
    import brotli

    decoder = brotli.Decompressor()
    body: bytes = decoder.process(coded, output_buffer_limit=limit)
    while len(body) < limit and not decoder.is_finished():
        more = decoder.process(b"", output_buffer_limit=limit - len(body))
        if not more:
            raise EOFError("it is cut short")
        body += more
    return body


def _unzstd(coded: bytes, limit: int) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    def frame(rest: bytes, room: int) -> tuple[bytes, bool, bytes]:
        decoder = zstd.ZstdDecompressor()
        return decoder.decompress(rest, room), decoder.eof, decoder.unused_data

    return _all_frames(frame, coded, limit)


def _ungzip(coded: bytes, limit: int) -> bytes:
    def member(rest: bytes, room: int) -> tuple[bytes, bool, bytes]:
        decoder = zlib.decompressobj(_GZIP_WINDOW)
        # Tapes and some tools leave zeros behind the last member.
        return decoder.decompress(rest, room), decoder.eof, decoder.unused_data.lstrip(b"\0")

    return _all_frames(member, coded, limit)


def _all_frames(decode: Callable[[bytes, int], tuple[bytes, bool, bytes]], coded: bytes, limit: int) -> bytes:
    """What the frames of a file hold, one behind the other. `decode` gives a frame's bytes, whether
    that was all of it, and what is left."""
    body, ended = b"", False
    while len(body) < limit and not (ended and not coded):
        more, ended, coded = decode(coded, limit - len(body))
        body += more
        if not ended and len(body) < limit:
            raise EOFError("it is cut short")
    return body


_DECOMPRESS: dict[bytes, Callable[[bytes, int], bytes]] = {BROTLI: _unbrotli, ZSTD: _unzstd, GZIP: _ungzip}
