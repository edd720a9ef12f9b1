# What an answer is made of, short of its Date: a status, fields and bytes that belong together.
#
# Rule 1: the fields of an entity describe its bytes and no others; both come from one open file, or from this program.
# Rule 2: an ETag is strong (RFC 9110 8.8.1): two different contents never share one, nor do two codings of one.
# Rule 3: an entity that is not `settled` may be sent, never kept.
"""Representations, redirects, and the refusal to give either."""

import html
import os
from dataclasses import dataclass, replace
from typing import NamedTuple

from wsrv.engine.http.conditional import Validators
from wsrv.engine.http.dates import http_date
from wsrv.engine.http.head import ALLOW
from wsrv.engine.http.response import HeadTemplate, build_head
from wsrv.engine.http.status import REASONS
from wsrv.engine.static.mime import content_type

_NS = 1_000_000_000

# The kernel stamps files with the time of its last tick: up to 10 ms old at HZ=100. Two writes within a tick look
# like one, so a file must have rested for longer before its stamp can stand for its content.
_GRANULE_NS = 20_000_000
# FAT and old NFS servers keep whole seconds, FAT two of them; their stamps are recognised by the zeros.
_COARSE_GRANULE_NS = 2 * _NS + _GRANULE_NS

# RFC 9110 15.4.5: what a 304 repeats. Last-Modified would only matter without an ETag.
# The browser takes the fields of a 304 for those of what it has: without the last it would withhold it from a page.
_FIELDS_OF_304 = frozenset(
    (b"etag", b"cache-control", b"content-location", b"expires", b"vary", b"access-control-allow-origin")
)


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

    def is_older(self, other: "Identity") -> bool:
        """Whether it was modified before `other`. A stamp of whole seconds, as some tools set it, is compared so."""
        if self.mtime_ns % _NS:
            return self.mtime_ns < other.mtime_ns
        return self.mtime_ns < other.mtime_ns // _NS * _NS


class Sibling(NamedTuple):
    """A file that holds another in a content coding: `x.js.br` beside `x.js`."""

    coding: bytes
    identity: Identity


class Basis(NamedTuple):
    """What decided on a representation of a path: an equal one later says that the choice would be the same.

    `plain` is None where there are only siblings; `siblings` where nobody asked for them.
    """

    plain: Identity | None
    siblings: tuple[Sibling, ...] | None = None

    def current(self) -> dict[bytes, Identity]:
        """By coding, the siblings that were not left behind when the plain file was modified."""
        plain = self.plain
        return {s.coding: s.identity for s in self.siblings or () if plain is None or not s.identity.is_older(plain)}


@dataclass(slots=True)
class Entity:
    """A representation, ready to be sent.

    `path`: the file beneath its root, the index for a directory; b"" where no file stands behind it. Of a sibling, the
    file that it stands beside.
    `length`: of the body, in bytes. `body`: the bytes, or None for what is too large to hold and is streamed.
    `etag`, `last_modified`: as they stand in the fields; b"" where there is none. `mtime_seconds`: the same date.
    `fields`: every response field but Server, Date and Connection, in order.
    `settled`: whether `identity` can be trusted to change when the content does; if not, do not keep the entity.
    `coding`: the content coding of the bytes; b"" for none. `basis`: None where there is nothing to negotiate.
    `compressible`: the bytes, which have no coding, are worth one.
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
    coding: bytes = b""
    basis: Basis | None = None
    compressible: bool = False

    @property
    def validators(self) -> Validators:
        """What conditions are held against."""
        return Validators(self.etag, self.mtime_seconds if self.last_modified else None)

    def head(self, status: int, connection: bytes = b"") -> HeadTemplate:
        """The head that answers with `status`; that of a 304 carries only what RFC 9110 15.4.5 lets it."""
        if status == 304:
            return build_head(
                status, [field for field in self.fields if field[0].lower() in _FIELDS_OF_304], connection
            )
        return build_head(status, self.fields, connection)


# A cache may keep 301 and 308 for as long as it likes (RFC 9110 15.4), and browsers do so for good, past the end of the
# rule or the folder that they came from.
_UNREMEMBERED = (b"Cache-Control", b"no-store")


class Redirect(Entity):
    """The way elsewhere, with a small page for who does not follow. May depend on the query: never kept."""

    __slots__ = ()

    @classmethod
    def to(cls, location: bytes, status: int = 301) -> "Redirect":
        """The redirect to `location`, which is ASCII and safe in a field."""
        title = b"%d %b" % (status, REASONS[status])
        shown = html.escape(location.decode("ascii")).encode("ascii")
        body = (
            b'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>%b</title>\n'
            b'<p>This is at <a href="%b">%b</a>.</p></html>\n' % (title, shown, shown)
        )
        kind = content_type(b"page.html")
        fields = (*_fields(kind, len(body)), (b"Location", location), _UNREMEMBERED)
        return cls(status, kind, len(body), b"", 0, b"", None, body, fields, b"", False)


def _fields(kind: bytes, length: int) -> tuple[tuple[bytes, bytes], ...]:
    return (b"Content-Type", kind), (b"Content-Length", b"%d" % length)


def rests(ctime_ns: int, now_ns: int) -> bool:
    """Whether a write after `now_ns` must carry another ctime. One from the future shows that the clock was set."""
    granule_ns = _GRANULE_NS if ctime_ns % _NS else _COARSE_GRANULE_NS
    return abs(now_ns - ctime_ns) >= granule_ns


class Negotiated(NamedTuple):
    """What there is to say of a file where one path may have several representations. As in Entity."""

    coding: bytes = b""
    basis: Basis | None = None
    compressible: bool = False


_ALONE = Negotiated()


def of_file(
    path: bytes, identity: Identity, body: bytes | None, now_ns: int, kind: bytes, negotiated: Negotiated = _ALONE
) -> Entity:
    """The entity of a file: `identity` and `body` were had from one descriptor, `now_ns` (wall clock) before both."""
    settled = rests(identity.ctime_ns, now_ns)
    coding, basis, compressible = negotiated
    # A change of mtime or content always changes ctime, so mtime has nothing to add here.
    etag = b'"%x-%x-%x"' % (identity.ctime_ns, identity.size, identity.ino)
    if not settled:
        # The next content may come with the same stamps. Then it must not match what clients keep of this one.
        etag = _extended(etag, b"%x" % now_ns)
    if coding:
        # One file may be reached as itself and as another's sibling.
        etag = _extended(etag, coding)
    # A date later than that of the answer must not be sent (RFC 9110 8.8.2.1).
    mtime_seconds = min(identity.mtime_ns, now_ns) // _NS
    last_modified = http_date(mtime_seconds)
    stamps = ((b"Last-Modified", last_modified), (b"ETag", etag), (b"Accept-Ranges", b"bytes"))
    fields = [*_fields(kind, identity.size), *stamps]
    if coding:
        fields.insert(2, (b"Content-Encoding", coding))
    if basis is not None:
        fields.append((b"Vary", b"Accept-Encoding"))
    return Entity(
        status=200,
        content_type=kind,
        length=identity.size,
        etag=etag,
        mtime_seconds=mtime_seconds,
        last_modified=last_modified,
        identity=identity,
        body=body,
        fields=tuple(fields),
        path=path,
        settled=settled,
        coding=coding,
        basis=basis,
        compressible=compressible,
    )


def recoded(entity: Entity, coding: bytes, body: bytes, mark: bytes) -> Entity:
    """The entity of the same content in another coding, or in none. `mark` tells its bytes from others made so."""
    etag = _extended(entity.etag, mark)
    fields: list[tuple[bytes, bytes]] = []
    for name, value in entity.fields:
        if name == b"Content-Length":
            fields.append((name, b"%d" % len(body)))
            if coding:
                fields.append((b"Content-Encoding", coding))
        elif name != b"Content-Encoding":
            fields.append((name, etag if name == b"ETag" else value))
    return replace(
        entity, length=len(body), etag=etag, body=body, fields=tuple(fields), coding=coding, compressible=False
    )


def _extended(etag: bytes, word: bytes) -> bytes:
    return b'%b-%b"' % (etag[:-1], word)


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
