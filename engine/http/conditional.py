# Preconditions of a request against what would be sent.
#
# Evaluated in the order of RFC 9110 13.2.2. A date that cannot be read is as if it were not there; a list of entity
# tags that cannot be read matches nothing.
#
# Rule: who asks has found a representation already. Where the answer would be an error or a redirect, conditions are
#       not looked at (RFC 9110 13.2.1): what is not there is 404, not 412.
"""If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range."""

import re
from typing import NamedTuple

from wsrv.engine.http.dates import http_date, parse_http_date
from wsrv.engine.http.fields import Fields

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE (RFC 9110 8.8.3). A comma may stand inside.
_ENTITY_TAG = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"'
_FIND_ENTITY_TAG = re.compile(_ENTITY_TAG)
# A list may have empty elements, which count for nothing (RFC 9110 5.6.1.2).
_ENTITY_TAG_LIST = re.compile(rb"[ \t,]*+(?:" + _ENTITY_TAG + rb"[ \t]*+(?:,[ \t,]*+|\Z))++")


class Validators(NamedTuple):
    """What tells one state of a representation from another.

    `etag` as it is sent: quoted, W/ when weak; b"" where there is none. `mtime_seconds`: Last-Modified; None where
    there is none, and dates mean nothing then (RFC 9110 13.1.3, 13.1.4).
    """

    etag: bytes
    mtime_seconds: int | None


def evaluate(method: bytes, fields: Fields, validators: Validators) -> int:
    """200 when the request is to be performed, else 304 or 412 (RFC 9110 13.2.2)."""
    if not fields.conditional:
        return 200
    is_read = method in (b"GET", b"HEAD")

    if_match = fields.get(b"if-match")
    if if_match is not None:
        if not _matches_strongly(if_match, validators.etag):
            return 412
    elif _modified_after(validators, fields.get(b"if-unmodified-since")) is True:
        return 412

    if_none_match = fields.get(b"if-none-match")
    if if_none_match is not None:
        if _matches_weakly(if_none_match, validators.etag):
            return 304 if is_read else 412
    elif is_read and _modified_after(validators, fields.get(b"if-modified-since")) is False:
        return 304
    return 200


def range_counts(fields: Fields, validators: Validators, seen_seconds: int) -> bool:
    """Whether Range is to be looked at: If-Range is not there, or names exactly what would be sent (RFC 9110 13.1.5).

    A tag must be strong. A date must be Last-Modified to the letter, and lie in a second that was over when the
    representation was last seen unchanged, at `seen_seconds`: within it there may have been two (RFC 9110 8.8.2.2).
    """
    if_range = fields.get(b"if-range")
    if if_range is None:
        return True
    if if_range.startswith(b'"'):
        return if_range == validators.etag
    mtime_seconds = validators.mtime_seconds
    return mtime_seconds is not None and mtime_seconds < seen_seconds and if_range == http_date(mtime_seconds)


def entity_tags(raw: bytes) -> list[bytes]:
    """The entity tags of a list, as they were sent; none when any part of it is no entity tag."""
    if _ENTITY_TAG_LIST.fullmatch(raw) is None:
        return []
    return _FIND_ENTITY_TAG.findall(raw)


def _modified_after(validators: Validators, raw: bytes | None) -> bool | None:
    """Whether the representation is newer than the date `raw`; None where there is no date on either side."""
    if raw is None or validators.mtime_seconds is None:
        return None
    since = parse_http_date(raw)
    return None if since is None else validators.mtime_seconds > since


def _matches_strongly(raw: bytes, etag: bytes) -> bool:
    """Strong comparison: equal, and neither is weak (RFC 9110 8.8.3.2)."""
    return raw == b"*" or (not etag.startswith(b"W/") and etag in entity_tags(raw))


def _matches_weakly(raw: bytes, etag: bytes) -> bool:
    """Weak comparison: equal but for W/ (RFC 9110 8.8.3.2)."""
    if raw == b"*":
        return True
    opaque = etag.removeprefix(b"W/")
    return any(tag.removeprefix(b"W/") == opaque for tag in entity_tags(raw))
