# Preconditions of a request against what would be sent.
#
# Evaluated in the order of RFC 9110 13.2.2. A date that cannot be read is as if it were not there; a list of entity
# tags that cannot be read matches nothing.
"""If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since."""

import re
from typing import NamedTuple

from wsrv.engine.http.dates import parse_http_date
from wsrv.engine.http.fields import Fields

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE (RFC 9110 8.8.3). A comma may stand inside.
_ENTITY_TAG = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"'
_FIND_ENTITY_TAG = re.compile(_ENTITY_TAG)
# A list may have empty elements, which count for nothing (RFC 9110 5.6.1.2).
_ENTITY_TAG_LIST = re.compile(rb"[ \t,]*+(?:" + _ENTITY_TAG + rb"[ \t]*+(?:,[ \t,]*+|\Z))++")


class Validators(NamedTuple):
    """What tells one state of a representation from another. `etag` as it is sent: quoted, W/ when weak."""

    etag: bytes
    mtime_seconds: int


def evaluate(method: bytes, fields: Fields, validators: Validators) -> int:
    """200 when the request is to be performed, else 304 or 412 (RFC 9110 13.2.2)."""
    if not fields.conditional:
        return 200
    is_read = method in (b"GET", b"HEAD")

    if_match = fields.get(b"if-match")
    if if_match is not None:
        if not _matches_strongly(if_match, validators.etag):
            return 412
    else:
        unmodified_since = _date_of(fields, b"if-unmodified-since")
        if unmodified_since is not None and validators.mtime_seconds > unmodified_since:
            return 412

    if_none_match = fields.get(b"if-none-match")
    if if_none_match is not None:
        if _matches_weakly(if_none_match, validators.etag):
            return 304 if is_read else 412
    elif is_read:
        modified_since = _date_of(fields, b"if-modified-since")
        if modified_since is not None and validators.mtime_seconds <= modified_since:
            return 304
    return 200


def entity_tags(raw: bytes) -> list[bytes]:
    """The entity tags of a list, as they were sent; none when any part of it is no entity tag."""
    if _ENTITY_TAG_LIST.fullmatch(raw) is None:
        return []
    return _FIND_ENTITY_TAG.findall(raw)


def _date_of(fields: Fields, name: bytes) -> int | None:
    raw = fields.get(name)
    return None if raw is None else parse_http_date(raw)


def _matches_strongly(raw: bytes, etag: bytes) -> bool:
    """Strong comparison: equal, and neither is weak (RFC 9110 8.8.3.2)."""
    return raw == b"*" or (not etag.startswith(b"W/") and etag in entity_tags(raw))


def _matches_weakly(raw: bytes, etag: bytes) -> bool:
    """Weak comparison: equal but for W/ (RFC 9110 8.8.3.2)."""
    if raw == b"*":
        return True
    opaque = etag.removeprefix(b"W/")
    return any(tag.removeprefix(b"W/") == opaque for tag in entity_tags(raw))
