# The PROXY protocol: what a proxy says of its client before the client's own bytes (haproxy.org, proxy-protocol.txt).
#
#   version 1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 CRLF        107 bytes at most; TCP6, UNKNOWN
#
#   version 2   0            12       13       14       16
#               +------------+--------+--------+--------+-----------+------+
#               | signature  | 2 | cmd| family | length | addresses | TLVs |
#               +------------+--------+--------+--------+-----------+------+
#               cmd 0 LOCAL (the proxy speaks for itself), 1 PROXY; length is that of addresses and TLVs
#               family 00 unspecified, 1x IPv4 (12 bytes), 2x IPv6 (36), 3x Unix (216); x1 stream, x2 datagram
#
# Rule: a header is whole and right, or the connection is no good: whoever guesses lets a client say who it is.
"""PROXY protocol headers, versions 1 and 2."""

import re
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = struct.Struct(">BBH")
_FIXED_END = len(_SIGNATURE) + _FIXED.size
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED = 0x00
# The bytes that the addresses of a family take.
_ADDRESS_BYTES = {0x1: 12, 0x2: 36, 0x3: 216}
_STREAM, _DATAGRAM = 0x1, 0x2

_FIRST = b"PROXY "
_MAX_TEXT_BYTES = 107
# TLVs may hold a client's certificate; the field could say 64 KiB.
MAX_BYTES = 16 * 1024
_TEXT = re.compile(rb"PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP[46]) (\S+) (\S+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n")
_MAX_PORT = 65535

Address = IPv4Address | IPv6Address


class BadProxyHeader(ValueError):
    """What came is no header, or not a right one."""


class ProxyHeader(NamedTuple):
    """A header of `length` bytes. `relayed`: somebody is behind the proxy, at `source`; None over a Unix socket."""

    length: int
    relayed: bool
    source: Address | None = None


def parse_proxy_header(seen: bytes) -> ProxyHeader | None:
    """The header at the front of `seen`; None while it is not whole. Raises BadProxyHeader."""
    if seen.startswith(_FIRST):
        return _parse_text(seen)
    if seen.startswith(_SIGNATURE):
        return _parse_binary(seen)
    if _FIRST.startswith(seen) or _SIGNATURE.startswith(seen):
        return None
    raise BadProxyHeader("neither version begins like this")


def _parse_text(seen: bytes) -> ProxyHeader | None:
    end = seen.find(b"\n", 0, _MAX_TEXT_BYTES) + 1
    if not end:
        if len(seen) >= _MAX_TEXT_BYTES:
            raise BadProxyHeader("the line is too long")
        return None
    match = _TEXT.fullmatch(seen, 0, end)
    if match is None:
        raise BadProxyHeader("the line is not as the protocol has it")
    family, source, destination, *ports = match.groups()
    if family is None:
        return ProxyHeader(end, False)
    if any(int(port) > _MAX_PORT for port in ports):
        raise BadProxyHeader("a port is too high")
    kind: type[Address] = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        kind(destination.decode("ascii"))
        return ProxyHeader(end, True, plain(kind(source.decode("ascii"))))
    except ValueError as error:
        raise BadProxyHeader("an address is none of its family") from error


def _parse_binary(seen: bytes) -> ProxyHeader | None:
    if len(seen) < _FIXED_END:
        return None
    command, family, length = _FIXED.unpack_from(seen, len(_SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise BadProxyHeader("the version or the command is unknown")
    if family != _UNSPECIFIED and (family >> 4 not in _ADDRESS_BYTES or family & 0xF not in (_STREAM, _DATAGRAM)):
        raise BadProxyHeader("the family is unknown")
    if length < _ADDRESS_BYTES.get(family >> 4, 0) and command == _PROXY:
        raise BadProxyHeader("it is too short for its addresses")
    end = _FIXED_END + length
    if end > MAX_BYTES:
        raise BadProxyHeader("it is too long")
    if len(seen) < end:
        return None
    if command == _LOCAL or family == _UNSPECIFIED:
        return ProxyHeader(end, False)
    if family >> 4 == 0x1:
        return ProxyHeader(end, True, IPv4Address(seen[_FIXED_END : _FIXED_END + 4]))
    if family >> 4 == 0x2:
        return ProxyHeader(end, True, plain(IPv6Address(seen[_FIXED_END : _FIXED_END + 16])))
    return ProxyHeader(end, True)


def plain(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one, as IPv4 (RFC 4291 2.5.5.2), and no zone."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address
