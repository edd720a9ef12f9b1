# The head of a request: its request line, and the rules that tie line and fields together.
#
# Rule 1: what is accepted here, httptools and h11 accept too and read alike; a test holds that.
# Rule 2: whoever reads a head asks in this order: parse_request_line, parse_fields, check, refusal_of. Each later
#         answer presumes the earlier ones.
# Rule 3: no bound depends on how the bytes arrive: that of the head holds for line, fields and blank line together.
# Rule 4: an empty line before a request is the reader's to skip (RFC 9112 2.2); here it is malformed.
"""Request line, cross rules, methods and persistence (RFC 9112 3, 9.3; RFC 9110 7, 9)."""

import re
from dataclasses import dataclass

from wsrv.engine.http.bounds import DEFAULT_BOUNDS, Bounds
from wsrv.engine.http.fields import Fields, parse_fields
from wsrv.engine.http.grammar import TOKEN, Malformed, host_in, is_authority

__all__ = [
    "ALLOW",
    "ALLOWED_METHODS",
    "KNOWN_METHODS",
    "Fields",
    "Malformed",
    "RequestLine",
    "awaits_continue",
    "check",
    "host_of",
    "parse_fields",
    "parse_request_line",
    "persistent",
    "refusal_of",
    "refusal_of_partial",
]

ALLOWED_METHODS = (b"GET", b"HEAD", b"OPTIONS")
# What the Allow field says: the same everywhere, as no resource takes anything in.
ALLOW = b", ".join(ALLOWED_METHODS)
# Methods that mean something here, allowed or not: RFC 9110 9, RFC 5789 (PATCH), RFC 4918 (WebDAV).
KNOWN_METHODS = frozenset(
    b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK".split()
)

# Visible ASCII but for what no target of any form may hold raw: # " < > \ ^
_LINE = re.compile(rb"(" + TOKEN + rb") ([!$-;=?-\[\]_-~]++) HTTP/1\.([0-9])")
_LOOSE_LINE = re.compile(rb"(" + TOKEN + rb") ([^ ]++) (HTTP/[0-9]\.[0-9])")
_ABSOLUTE = re.compile(rb"https?://([^/?]*+)([^?]*+)\??(.*+)", re.IGNORECASE)
# What can never become part of a head, wherever it stands: a control, CR without LF, LF without CR.
_HOPELESS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?=[^\n])|(?<!\r)\n")


@dataclass(slots=True, frozen=True)
class RequestLine:
    """A request line. `path` and `query` are as they were sent, without the `?` between them.

    path       at least b"/"; b"*" in asterisk-form; b"" in authority-form, which only CONNECT has.
    minor      of the version, 0 or 1: a higher one is taken for the highest that is known (RFC 9110 2.5).
    authority  of absolute-form and authority-form, else None.
    """

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    minor: int
    authority: bytes | None


def parse_request_line(line: bytes, bounds: Bounds = DEFAULT_BOUNDS) -> RequestLine:
    """The parts of `line`, which comes without its CRLF.

    Raises Malformed: 414 for a target past its bound, 505 for another version of HTTP, 400 for all else. That
    includes the request of HTTP/0.9, which has no version (RFC 9112 3).
    """
    match = _LINE.fullmatch(line)
    if match is None or len(line) > bounds.target_bytes:
        match = _second_look(line, bounds)
    method, target, minor = match.groups()
    if target.startswith(b"/") and method != b"CONNECT":
        path, _, query = target.partition(b"?")
        return RequestLine(method, target, path, query, int(minor != b"0"), None)
    return _other_form(method, target, int(minor != b"0"))


def _second_look(line: bytes, bounds: Bounds) -> re.Match[bytes]:
    """The match of a long line that is within its bound after all. Raises Malformed for any other."""
    if len(line) > bounds.line_bytes:
        raise Malformed(414, "The request line is too long.", "target_size")
    loose = _LOOSE_LINE.fullmatch(line)
    if loose is None:
        raise Malformed(400, "The request line is not method, target and version with one space between.")
    if not loose[3].startswith(b"HTTP/1."):
        raise Malformed(505, "The version is not HTTP/1.0 or HTTP/1.1.")
    if len(loose[2]) > bounds.target_bytes:
        raise Malformed(414, "The request target is too long.", "target_size")
    match = _LINE.fullmatch(line)
    if match is None:
        raise Malformed(400, "The request target holds a character that must be percent-encoded.")
    return match


def _other_form(method: bytes, target: bytes, minor: int) -> RequestLine:
    """A target that is not in origin-form (RFC 9112 3.2.2 to 3.2.4). Raises Malformed."""
    if method == b"CONNECT":
        if not is_authority(target) or not target.rpartition(b":")[2].isdigit():
            raise Malformed(400, "The target of CONNECT must be a host and a port.")
        return RequestLine(method, target, b"", b"", minor, target)
    if target == b"*":
        if method != b"OPTIONS":
            raise Malformed(400, "Only OPTIONS may have the target *.")
        return RequestLine(method, target, target, b"", minor, None)
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise Malformed(400, "The request target is neither a path nor an http or https URI.")
    authority, path, query = match.groups()
    if not is_authority(authority):
        raise Malformed(400, "The request target names no valid host.")
    return RequestLine(method, target, path or b"/", query, minor, authority)


def refusal_of_partial(buffered: bytes, scanned: int = 0, bounds: Bounds = DEFAULT_BOUNDS) -> Malformed | None:
    """Why `buffered`, in which no blank line ends the head yet, can never become a head; None when it still can.

    `scanned` bytes at its front were asked about before, and need not be looked at again.
    """
    if _HOPELESS.search(buffered, max(0, scanned - 1)) is not None:
        return Malformed(400, "The head holds a control character or a bare CR or LF.")
    if len(buffered) > bounds.line_bytes and buffered.find(b"\r\n", 0, bounds.line_bytes + 2) < 0:
        return Malformed(414, "The request line is too long.", "target_size")
    if len(buffered) >= bounds.head_bytes:
        return Malformed(431, "The header fields are too large.", "head_size")
    if (end := buffered.find(b"\r\n", max(0, scanned - 1))) >= 0 and buffered.find(b"\r\n") == end:
        # The line is whole now: no need to wait for fields when it is none, as that of HTTP/0.9.
        try:
            parse_request_line(buffered[:end], bounds)
        except Malformed as refusal:
            return refusal
    return None


def check(line: RequestLine, fields: Fields) -> None:
    """The rules that need line and fields both. Raises Malformed."""
    if line.minor == 0:
        # Its framing is not to be trusted (RFC 9112 6.1). An expectation means nothing in 1.0 (RFC 9110 10.1.1).
        if fields.has_transfer_encoding:
            raise Malformed(400, "HTTP/1.0 has no Transfer-Encoding.")
        return
    if fields.host is None:
        raise Malformed(400, "The Host field is missing.")
    if fields.other_expectation:
        raise Malformed(417, "No expectation but 100-continue can be met.")


def host_of(line: RequestLine, fields: Fields) -> bytes:
    """The host that the request is for, in lower case, without port; b"" when it names none.

    The authority of the target outranks Host (RFC 9112 3.2.2).
    """
    return host_in(line.authority or fields.host or b"")


def persistent(line: RequestLine, fields: Fields) -> bool:
    """Whether the client lets the connection go on after this request (RFC 9112 9.3)."""
    return not fields.close and (line.minor == 1 or fields.keep_alive)


def awaits_continue(line: RequestLine, fields: Fields) -> bool:
    """Whether the client may hold its body back until it sees 100 (RFC 9110 10.1.1)."""
    return fields.expect_continue and line.minor == 1 and (fields.chunked or bool(fields.content_length))


def refusal_of(method: bytes) -> int | None:
    """None for a method that is served, 405 for one that is known, 501 for any other (RFC 9110 9.1)."""
    if method in ALLOWED_METHODS:
        return None
    return 405 if method in KNOWN_METHODS else 501
