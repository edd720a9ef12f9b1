# What an answer is made of, short of its Date: a status, fields and bytes that belong together.
#
# Rule 1: the fields of an entity describe its bytes and no others; both come from one open file, or from this program.
# Rule 2: an ETag is strong (RFC 9110 8.8.1): two different contents never share one.
# Rule 3: an entity that is not `settled` may be sent, never kept.
"""Representations, redirects, and the refusal to give either."""

import html
import os
from dataclasses import dataclass
from typing import NamedTuple

from wsrv.engine.http.conditional import Validators
from wsrv.engine.http.dates import http_date
from wsrv.engine.http.head import ALLOW
from wsrv.engine.http.response import HeadTemplate, build_head
from wsrv.engine.static.mime import content_type

_NS = 1_000_000_000

# The kernel stamps files with the time of its last tick: up to 10 ms old at HZ=100. Two writes within a tick look
# like one, so a file must have rested for longer before its stamp can stand for its content.
_GRANULE_NS = 20_000_000
# FAT and old NFS servers keep whole seconds, FAT two of them; their stamps are recognised by the zeros.
_COARSE_GRANULE_NS = 2 * _NS + _GRANULE_NS

# RFC 9110 15.4.5: what a 304 repeats. Last-Modified would only matter without an ETag.
_FIELDS_OF_304 = frozenset((b"ETag", b"Cache-Control", b"Content-Location", b"Expires", b"Vary"))


class NotServed(Exception):
    """There is nothing to give for this path; `status` is what to answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Identity(NamedTuple):
    """One content of one file. The owner of a file can set its mtime, nobody its ctime (inode(7))."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> "Identity":
        """The identity that a stat shows."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(slots=True)
class Entity:
    """A representation, ready to be sent.

    `path`: the file beneath its root, the index for a directory; b"" where no file stands behind it.
    `length`: of the body, in bytes. `body`: the bytes, or None for what is too large to hold and is streamed.
    `etag`, `last_modified`: as they stand in the fields; b"" where there is none. `mtime_seconds`: the same date.
    `fields`: every response field but Server, Date and Connection, in order.
    `settled`: whether `identity` can be trusted to change when the content does; if not, do not keep the entity.
    """

    status: int
    content_type: bytes
    length: int
    etag: bytes
    mtime_seconds: int
    last_modified: bytes
    identity: Identity | None
    body: bytes | None
    fields: tuple[tuple[bytes, bytes], ...]
    path: bytes
    settled: bool

    @property
    def validators(self) -> Validators:
        """What conditions are held against."""
        return Validators(self.etag, self.mtime_seconds if self.last_modified else None)

    def head(self, status: int, connection: bytes = b"") -> HeadTemplate:
        """The head that answers with `status`; that of a 304 carries only what RFC 9110 15.4.5 lets it."""
        if status == 304:
            return build_head(status, [field for field in self.fields if field[0] in _FIELDS_OF_304], connection)
        return build_head(status, self.fields, connection)


class Redirect(Entity):
    """A 301 to a path of this host, with a small page for who does not follow. Depends on the query: never kept."""

    __slots__ = ()

    @classmethod
    def to(cls, location: bytes) -> "Redirect":
        """The redirect to `location`, which is ASCII and safe in a field."""
        shown = html.escape(location.decode("ascii")).encode("ascii")
        body = (
            b'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>301 Moved Permanently</title>\n'
            b'<p>This is at <a href="%b">%b</a>.</p></html>\n' % (shown, shown)
        )
        kind = content_type(b"page.html")
        fields = (*_fields(kind, len(body)), (b"Location", location))
        return cls(301, kind, len(body), b"", 0, b"", None, body, fields, b"", False)


def _fields(kind: bytes, length: int) -> tuple[tuple[bytes, bytes], ...]:
    return (b"Content-Type", kind), (b"Content-Length", b"%d" % length)


def _rests(ctime_ns: int, now_ns: int) -> bool:
    """Whether a write after `now_ns` must carry another ctime. One from the future shows that the clock was set."""
    granule_ns = _GRANULE_NS if ctime_ns % _NS else _COARSE_GRANULE_NS
    return abs(now_ns - ctime_ns) >= granule_ns


def of_file(path: bytes, identity: Identity, body: bytes | None, now_ns: int) -> Entity:
    """The entity of a file: `identity` and `body` were had from one descriptor, `now_ns` (wall clock) before both."""
    settled = _rests(identity.ctime_ns, now_ns)
    # A change of mtime or content always changes ctime, so mtime has nothing to add here.
    etag = b'"%x-%x-%x"' % (identity.ctime_ns, identity.size, identity.ino)
    if not settled:
        # The next content may come with the same stamps. Then it must not match what clients keep of this one.
        etag = b'%b-%x"' % (etag[:-1], now_ns)
    # A date later than that of the answer must not be sent (RFC 9110 8.8.2.1).
    mtime_seconds = min(identity.mtime_ns, now_ns) // _NS
    last_modified = http_date(mtime_seconds)
    kind = content_type(path)
    stamps = ((b"Last-Modified", last_modified), (b"ETag", etag), (b"Accept-Ranges", b"bytes"))
    fields = (*_fields(kind, identity.size), *stamps)
    return Entity(200, kind, identity.size, etag, mtime_seconds, last_modified, identity, body, fields, path, settled)


def of_bytes(status: int, kind: bytes, body: bytes, extra: tuple[tuple[bytes, bytes], ...] = ()) -> Entity:
    """The entity of bytes that this program made, of content type `kind`."""
    return Entity(status, kind, len(body), b"", 0, b"", None, body, (*_fields(kind, len(body)), *extra), b"", False)


def of_options() -> Entity:
    """The answer to OPTIONS: which methods there are (RFC 9110 9.3.7), and no content, so no length (8.6)."""
    return Entity(204, b"", 0, b"", 0, b"", None, b"", ((b"Allow", ALLOW),), b"", True)


def of_page(status: int, page: Entity | None, body: bytes, extra: tuple[tuple[bytes, bytes], ...]) -> Entity:
    """An error's entity, from the file `page` or without one: no ETag, no Last-Modified, nothing to be revalidated."""
    kind = page.content_type if page else content_type(b"page.html")
    fields = (*_fields(kind, len(body)), *extra)
    identity, path, settled = (page.identity, page.path, page.settled) if page else (None, b"", True)
    return Entity(status, kind, len(body), b"", 0, b"", identity, body, fields, path, settled)
