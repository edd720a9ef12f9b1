# The grammar that request line, fields, chunks and responses share, and the exception for what breaks it.
#
# Patterns are possessive throughout: each byte is looked at once, so no input can make matching slow.
"""Tokens, field lines and authorities of HTTP (RFC 9110 5.6, RFC 9112 5, RFC 3986 3.2)."""

import re
from ipaddress import AddressValueError, IPv6Address

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Name, colon without space before it, value. Obs-text is a value's right (RFC 9110 5.5); no other control than HTAB.
FIELD_LINE = TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n"

# DNS allows 253 bytes of name; with brackets and port nothing honest is longer.
MAX_AUTHORITY_BYTES = 262
MAX_PORT = 65535

# reg-name and IPvFuture go by the grammar, an IPv6 address by its own parser. No userinfo: RFC 9110 4.2.4.
_AUTHORITY = re.compile(
    rb"(?:"
    rb"(?P<name>(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})++)"
    rb"|\[(?P<six>[0-9A-Fa-f:.]++)\]"
    rb"|\[[vV][0-9A-Fa-f]++\.[A-Za-z0-9\-._~!$&'()*+,;=:]++\]"
    rb")(?::(?P<port>[0-9]*+))?"
)


class Malformed(Exception):
    """A request that cannot be taken. `status` answers it, `reason` says why in one short sentence.

    `limit` names the bound that it is past, where it is one that can be set: the name that the count goes by.
    """

    def __init__(self, status: int, reason: str, limit: str = "") -> None:
        super().__init__(status, reason, limit)
        self.status = status
        self.reason = reason
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.status} {self.reason}"


def is_authority(raw: bytes) -> bool:
    """Whether `raw` is host or host:port, the host not empty. The port may be empty (RFC 3986 3.2.3)."""
    match = _AUTHORITY.fullmatch(raw)
    if match is None or len(raw) > MAX_AUTHORITY_BYTES:
        return False
    port = match["port"]
    if port and int(port) > MAX_PORT:
        return False
    six = match["six"]
    if six is not None:
        try:
            IPv6Address(six.decode("ascii"))
        except AddressValueError:
            return False
    return True


def host_in(authority: bytes) -> bytes:
    """The host of a valid `authority` in lower case, without its port; an IPv6 address keeps its brackets."""
    if authority.startswith(b"["):
        return authority[: authority.index(b"]") + 1].lower()
    return authority.partition(b":")[0].lower()
