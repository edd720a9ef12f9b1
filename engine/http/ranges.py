# Parts of a representation: which bytes a Range asks for, and how a 206 carries them.
#
#   one span        Content-Range: bytes FIRST-LAST/LENGTH, and the bytes
#   several         --BOUNDARY CRLF
#                   Content-Type: the representation's CRLF
#                   Content-Range: bytes FIRST-LAST/LENGTH CRLF CRLF
#                   the bytes CRLF
#                   …
#                   --BOUNDARY-- CRLF
#
# Rule 1: a Range may be ignored at any time (RFC 9110 14.2), and then the whole is sent: always right, never more than
#         anybody gets who asks without it. So whatever is not clear is ignored.
# Rule 2: no byte is sent twice. Spans that overlap or touch are one (RFC 9110 15.3.7.2).
# Rule 3: nothing here sees the bytes: spans are positions, and lengths are known before anything is read.
"""Range, Content-Range and multipart/byteranges (RFC 9110 14, 15.3.7)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from wsrv.engine.http.conditional import Validators, evaluate, range_counts
from wsrv.engine.http.fields import Fields

# A request for more parts is answered with the whole. Precedent: Apache's MaxRanges 200. A part costs its head of some
# 100 bytes and a system call or two, so this bounds what one request can cost, and leaves viewers of documents and
# delta downloaders what they ask for.
MAX_RANGES = 200

# FIRST-LAST, FIRST- or -SUFFIX. Some write 2^64 - 1, which has 20 digits, for the end; a longer number is no position
# in anything.
_SPEC = re.compile(rb"([0-9]{1,32})-([0-9]{0,32})|-([0-9]{1,32})")

_MULTIPART = b"multipart/byteranges; boundary="


class Span(NamedTuple):
    """Consecutive bytes."""

    offset: int
    length: int


class Partial(NamedTuple):
    """A 206, short of its Date: fields in their order, and a body of framing and of spans of the representation."""

    fields: list[tuple[bytes, bytes]]
    body: list[bytes | Span]


def spans_of(raw: bytes, length: int) -> list[Span] | None:
    """The spans of a representation of `length` bytes that the Range `raw` asks for, in the order of asking.

    Empty when it asks for nothing that is there (416). None when it is to be ignored: another unit, not readable,
    a last position before the first, more than MAX_RANGES. RFC 9110 14.1.2, 14.2, 15.3.7.2.
    """
    unit, _, listed = raw.partition(b"=")
    if unit.lower() != b"bytes" or listed.startswith((b" ", b"\t")):
        return None
    # A list may have empty elements (RFC 9110 5.6.1.2).
    specs = [spec for element in listed.split(b",") if (spec := element.strip(b" \t"))]
    if not 1 <= len(specs) <= MAX_RANGES:
        return None
    found = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        first_raw, last_raw, suffix_raw = match.groups()
        if suffix_raw:
            suffix = int(suffix_raw)
            if suffix and not length:
                # Satisfiable, says RFC 9110 14.1.2, but Content-Range has no words for no bytes.
                return None
            first, end = max(0, length - suffix), length
        else:
            first = int(first_raw)
            end = int(last_raw) + 1 if last_raw else max(first + 1, length)
            if end <= first:
                return None
        if first < length:
            found.append((first, min(end, length)))
    return _coalesced(found)


def choose(
    method: bytes, fields: Fields, validators: Validators, length: int, seen_seconds: int
) -> tuple[int, list[Span]]:
    """What answers a request for a representation of `length` bytes: 200, 304, 412, 416, or 206 with its spans.

    Preconditions first, then If-Range, then Range (RFC 9110 13.2.2). Range means something to GET alone (14.2), and
    here only for what a strong tag tells apart: whoever has two parts must be able to know that they belong together.
    `seen_seconds` as for range_counts.
    """
    status = evaluate(method, fields, validators)
    if status != 200 or fields.range is None or method != b"GET" or not validators.etag.startswith(b'"'):
        return status, []
    if not range_counts(fields, validators, seen_seconds):
        return 200, []
    spans = spans_of(fields.range, length)
    if spans is None:
        return 200, []
    return (206, spans) if spans else (416, [])


def partial_content(
    fields: Sequence[tuple[bytes, bytes]], length: int, spans: Sequence[Span], boundary: bytes
) -> Partial:
    """The 206 that carries `spans` of a representation of `length` bytes whose 200 has `fields`.

    `boundary` separates several: at most 70 letters and digits (RFC 2046 5.1.1) that occur in none of them, as long
    ones made by chance do not.
    """
    if len(spans) == 1:
        [span] = spans
        added = [(b"Content-Range", _content_range(span, length))]
        return Partial(_with(fields, {b"Content-Length": b"%d" % span.length}) + added, [span])
    kind = next((value for name, value in fields if name == b"Content-Type"), None)
    type_line = b"" if kind is None else b"Content-Type: %b\r\n" % kind
    body: list[bytes | Span] = []
    opening = b"--"
    for span in spans:
        body.append(
            b"%b%b\r\n%bContent-Range: %b\r\n\r\n" % (opening, boundary, type_line, _content_range(span, length))
        )
        body.append(span)
        opening = b"\r\n--"
    body.append(b"\r\n--%b--\r\n" % boundary)
    total = sum(part.length if isinstance(part, Span) else len(part) for part in body)
    return Partial(_with(fields, {b"Content-Type": _MULTIPART + boundary, b"Content-Length": b"%d" % total}), body)


def unsatisfied(length: int) -> tuple[bytes, bytes]:
    """The field by which a 416 tells how long the representation is (RFC 9110 15.5.17)."""
    return b"Content-Range", b"bytes */%d" % length


def _coalesced(found: Sequence[tuple[int, int]]) -> list[Span]:
    """Spans for (begin, end), those that overlap or touch made one, which stands where the first of them stood."""
    runs: list[list[int]] = []  # begin, end, place
    for begin, end, place in sorted((begin, end, place) for place, (begin, end) in enumerate(found)):
        if runs and begin <= runs[-1][1]:
            run = runs[-1]
            run[1] = max(run[1], end)
            run[2] = min(run[2], place)
        else:
            runs.append([begin, end, place])
    runs.sort(key=lambda run: run[2])
    return [Span(begin, end - begin) for begin, end, _ in runs]


def _content_range(span: Span, length: int) -> bytes:
    return b"bytes %d-%d/%d" % (span.offset, span.offset + span.length - 1, length)


def _with(fields: Sequence[tuple[bytes, bytes]], others: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """`fields` with the values of `others` in their places; a field of `others` that is not there comes last."""
    changed = [(name, others.get(name, value)) for name, value in fields]
    names = {name for name, _ in fields}
    return changed + [field for field in others.items() if field[0] not in names]
