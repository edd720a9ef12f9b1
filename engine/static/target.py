# From the path of a request target to a path beneath the root, in bytes.
#
#     "/a/./b%20c/../d/"  ->  "a/d/"        "/"  ->  ""
#
# What comes out has no leading slash, no empty, "." or ".." segment and no NUL. The kernel guards the root once
# more (openat2.py); this file is there so that odd targets get an honest answer and one file has one name.
"""Decoding and normalising request paths (RFC 3986)."""

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

_INVALID_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

# Names that are plain on sight: nothing to decode, no segment that could be empty or begin with a dot.
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?")

# The one dot name that the web reserves for everyone to read (RFC 8615).
_WELL_KNOWN = b".well-known"

# RFC 3986 3.3: what a path segment may hold as it is, and the slash. "\" is not among them: browsers read it as "/".
_SAFE_IN_PATH = "/:@!$&'()*+,;=~"
# A query came as it is and goes back so; what is escaped in it already stays escaped.
_SAFE_IN_QUERY = _SAFE_IN_PATH + "?%"


class BadTarget(Exception):
    """The target names nothing that could be served; `status` is what to answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def to_path(raw: bytes) -> bytes:
    """The path beneath the root that `raw` (a target up to its "?") means; b"" is the root.

    Escapes are decoded once, then dot segments removed (RFC 3986 5.2.4), so an encoded dot is a dot; runs of
    slashes collapse; a trailing slash stays. Raises BadTarget: 400 for a broken escape, NUL, a path that climbs
    above the root or does not begin with a slash; 404 for an encoded slash, which no file name can hold.
    """
    if _PLAIN.fullmatch(raw):
        return raw[1:]
    if not raw.startswith(b"/"):
        raise BadTarget(400, "The path does not begin with a slash.")
    if _INVALID_ESCAPE.search(raw):
        raise BadTarget(400, "A percent sign is not followed by two hexadecimal digits.")
    segments = [unquote_to_bytes(segment) for segment in raw.split(b"/")]
    if any(b"\0" in segment for segment in segments):
        raise BadTarget(400, "The path holds a NUL.")
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise BadTarget(400, "The path climbs above the root.")
            kept.pop()
        elif segment and segment != b".":
            kept.append(segment)
    if any(b"/" in segment for segment in segments):
        raise BadTarget(404, "A segment of the path holds an encoded slash.")
    if kept and segments[-1] in (b"", b".", b".."):
        kept.append(b"")
    return b"/".join(kept)


def is_hidden(path: bytes) -> bool:
    """Whether a segment of `path`, as `to_path` gives it, begins with a dot; ".well-known" does not count."""
    if not path.startswith(b".") and b"/." not in path:
        return False
    return any(segment.startswith(b".") and segment != _WELL_KNOWN for segment in path.split(b"/"))


def location_of_directory(raw: bytes, query: bytes) -> bytes:
    """What Location says for a directory asked for without its slash: a path of this very host, always.

    It is made anew from the decoded path, so that no "//host", "/\\host" or line break of the target survives.
    Raises BadTarget as `to_path` does.
    """
    path = to_path(raw).rstrip(b"/")
    location = "/" + quote_from_bytes(path, safe=_SAFE_IN_PATH) + ("/" if path else "")
    if query:
        location += "?" + quote_from_bytes(query, safe=_SAFE_IN_QUERY)
    return location.encode("ascii")
