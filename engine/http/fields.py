# The field block of a request: everything after the request line, blank line included.
#
# Rule 1: a Fields depends on the bytes of its block and on nothing else, and nobody changes it once made. So whoever
#         sees the same block again may use the same Fields.
# Rule 2: our own rules come first; httptools then splits what they let through, and may refuse it still. Neither is
#         trusted alone: httptools passes things that RFC 9112 forbids, and what only one of two parsers accepts is what
#         request smuggling is made of.
"""Parsing of a field block into Fields."""

import re

import httptools

from wsrv.engine.http.bounds import DEFAULT_BOUNDS, Bounds
from wsrv.engine.http.grammar import FIELD_LINE, TOKEN, Malformed, is_authority

# 18 digits are an exabyte, and fit 64 bits wherever they are read.
MAX_LENGTH_DIGITS = 18

_BLOCK = re.compile(rb"(?:" + FIELD_LINE + rb")*+\r\n")
_NAME = re.compile(TOKEN)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS = re.compile(rb"[0-9]+")

# httptools wants a request line before the fields. This one lets every block be read by itself.
_REQUEST_LINE = b"GET / HTTP/1.1\r\n"

_UNREADABLE = "The header fields cannot be read."

_CONDITIONS = frozenset((b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"))


class Fields:
    """What the field block of a request says. Made by parse_fields; not to be changed.

    host               Host as it was sent, port included; b"" when sent empty, None when not sent.
    close, keep_alive  whether Connection names them.
    content_length     None when not sent.
    chunked            the body is chunked: the one transfer coding that is understood.
    expect_continue    Expect is 100-continue. other_expectation: Expect is anything else.
    upgrade            Upgrade is there. No protocol is ever switched; the body still belongs to this request.
    conditional        any of the four preconditions that evaluate() reads is there.
    """

    __slots__ = (
        "_values",
        "chunked",
        "close",
        "conditional",
        "content_length",
        "expect_continue",
        "has_transfer_encoding",
        "host",
        "keep_alive",
        "other_expectation",
        "range",
        "referer",
        "upgrade",
        "user_agent",
    )

    def __init__(self, values: dict[bytes, bytes]) -> None:
        """`values` by lower-case name, those of one name joined. Raises Malformed."""
        self._values = values
        get = values.get

        self.host = get(b"host")
        if self.host and not is_authority(self.host):
            raise Malformed(400, "The Host field is not a host with an optional port.")

        connection = get(b"connection")
        if connection is None:
            self.close = self.keep_alive = False
        else:
            options = _list_of(connection)
            self.close = b"close" in options
            self.keep_alive = b"keep-alive" in options

        coding = get(b"transfer-encoding")
        length = get(b"content-length")
        if length is not None and coding is not None:
            raise Malformed(400, "Content-Length and Transfer-Encoding exclude each other.")
        if coding is not None and coding.lower() != b"chunked":
            raise _refused_coding(coding)
        self.has_transfer_encoding = self.chunked = coding is not None
        self.content_length = None if length is None else _length_of(length)

        expectation = get(b"expect")
        self.expect_continue = expectation is not None and expectation.lower() == b"100-continue"
        self.other_expectation = expectation is not None and not self.expect_continue

        self.upgrade = b"upgrade" in values
        self.conditional = not _CONDITIONS.isdisjoint(values)
        self.range = get(b"range")
        self.referer = get(b"referer", b"")
        self.user_agent = get(b"user-agent", b"")

    def get(self, name_lower: bytes) -> bytes | None:
        """The value of a field, or None when it was not sent; fields of one name are joined by ", " (RFC 9110 5.3).

        A field that may stand only once is thereby no valid value when it was sent twice.
        """
        return self._values.get(name_lower)


class _Collector:
    """Takes the fields from httptools as it finds them."""

    __slots__ = ("count", "repeated", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.repeated: list[bytes] = []
        self.count = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        # Whitespace at the end is left to us (llhttp strips only the front); no other than SP and HTAB got here.
        name = name.lower()
        self.count += 1
        if name in self.values:
            self.repeated.append(name)
            self.values[name] = self.values[name] + b", " + value.strip()
        else:
            self.values[name] = value.strip()


def parse_fields(block: bytes, bounds: Bounds = DEFAULT_BOUNDS) -> Fields:
    """The fields of `block`: all after the request line's CRLF, up to and including the blank line.

    Raises Malformed: 431 past a bound, 501 for a transfer coding that is not understood, 400 for all else
    (RFC 9112 2.2, 5, 6; RFC 9110 5, 7.2, 8.6).
    """
    if len(block) > bounds.head_bytes:
        raise Malformed(431, "The header fields are too large.", "head_size")
    count = block.count(b"\n") - 1
    if count > bounds.fields:
        raise Malformed(431, "There are too many header fields.", "fields")
    if _BLOCK.fullmatch(block) is None:
        raise Malformed(400, _fault_in(block))

    found = _Collector()
    try:
        httptools.HttpRequestParser(found).feed_data(_REQUEST_LINE + block)
    except httptools.HttpParserUpgrade:
        # Says only that a client asked for another protocol; the fields are read all the same.
        pass
    except httptools.HttpParserError:
        # What httptools refuses our rules mostly refuse as well, and they say better why.
        _by_our_rules(_split(block))
        raise Malformed(400, _UNREADABLE) from None
    if found.count != count:
        raise Malformed(400, _UNREADABLE)
    return _by_our_rules(found)


def _split(block: bytes) -> _Collector:
    """The fields of a block that _BLOCK matches, by our own hand."""
    found = _Collector()
    for line in block.split(b"\r\n")[:-2]:
        name, _, value = line.partition(b":")
        found.on_header(name, value)
    return found


def _by_our_rules(found: _Collector) -> Fields:
    """Refuses a second Host and a second Content-Length, an equal one included: httptools would not have it either."""
    if b"host" in found.repeated:
        raise Malformed(400, "There is more than one Host field.")
    if b"content-length" in found.repeated:
        raise Malformed(400, "There is more than one Content-Length field.")
    return Fields(found.values)


def _list_of(value: bytes) -> list[bytes]:
    """The elements of a comma-separated list, in lower case."""
    return [element.strip() for element in value.lower().split(b",")]


def _length_of(value: bytes) -> int:
    if _DIGITS.fullmatch(value) is None:
        raise Malformed(400, "Content-Length is not a number.")
    if len(value) > MAX_LENGTH_DIGITS:
        raise Malformed(400, "Content-Length is absurdly large.")
    return int(value)


def _refused_coding(value: bytes) -> Malformed:
    """Why Transfer-Encoding is not the single word chunked (RFC 9112 6.1, 6.3)."""
    codings = _list_of(value)
    if codings[-1] != b"chunked":
        return Malformed(400, "The last transfer coding must be chunked.")
    if any(coding in (b"", b"chunked") for coding in codings[:-1]):
        return Malformed(400, "Transfer-Encoding must name chunked once.")
    return Malformed(501, "No transfer coding but chunked is understood.")


def _fault_in(block: bytes) -> str:
    """What is wrong with a block that the rules refuse, by its first bad line."""
    lines = block.split(b"\r\n")
    if lines[-2:] != [b"", b""]:
        return "The header fields do not end with a blank line."
    for position, line in enumerate(lines[:-2]):
        if b"\r" in line or b"\n" in line:
            return "A header field holds a bare CR or LF."
        if not line:
            return "The header fields end before their block does."
        if line.startswith((b" ", b"\t")):
            return "A folded header field is not allowed." if position else "Whitespace precedes the header fields."
        name, colon, value = line.partition(b":")
        if not colon:
            return "A header field has no colon."
        if name.endswith((b" ", b"\t")):
            return "Whitespace stands between a header field's name and its colon."
        if _NAME.fullmatch(name) is None:
            return "A header field's name is not a token."
        if _CONTROL.search(value) is not None:
            return "A header field's value holds a control character."
    return _UNREADABLE
