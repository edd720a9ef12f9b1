# As much of a certificate as a server must know of its own: for which names it is, and for how long.
#
#   Certificate ::= SEQUENCE { tbs, algorithm, signature }                                   (RFC 5280 4.1)
#   tbs         ::= SEQUENCE { [0] version, serial, algorithm, issuer, validity, subject, key, …, [3] extensions }
#   validity    ::= SEQUENCE { notBefore, notAfter }         UTCTime or GeneralizedTime, always in Z
#   extensions  ::= SEQUENCE OF SEQUENCE { OID, critical?, OCTET STRING }
#
# Rule: nothing here is checked for the sake of trust; OpenSSL does that. What cannot be read is an X509Error.
"""Names and validity out of a DER certificate."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import NamedTuple

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_SEQUENCE, _OID, _OCTETS = 0x30, 0x06, 0x04
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_SUBJECT_ALT_NAME = bytes((0x55, 0x1D, 0x11))
_COMMON_NAME = bytes((0x55, 0x04, 0x03))


class X509Error(ValueError):
    """This is no certificate, or none that can be read."""


class Certificate(NamedTuple):
    """What a certificate says. `names` are in lower case, addresses among them; the subject's when it has no others."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def first_certificate(pem: bytes) -> Certificate:
    """The first certificate of a PEM file: the server's own. Raises X509Error."""
    block = _BLOCK.search(pem)
    if block is None:
        raise X509Error("there is no PEM certificate in it")
    try:
        return parse(b64decode(b"".join(block[1].split()), validate=True))
    except Base64Error as error:
        raise X509Error("its base64 is broken") from error


def parse(der: bytes) -> Certificate:
    """What the certificate in `der` says. Raises X509Error."""
    try:
        return _parse(der)
    except (IndexError, ValueError, StopIteration) as error:
        raise X509Error("it is no X.509 certificate") from error


def _parse(der: bytes) -> Certificate:
    tbs = next(_elements(_only(der, _SEQUENCE)))[1]
    parts = list(_elements(tbs))
    if parts[0][0] == _VERSION:
        del parts[0]
    validity, subject = parts[3][1], parts[4][1]
    begin, end = (_time(tag, value) for tag, value in _elements(validity))
    extensions = next((value for tag, value in parts if tag == _EXTENSIONS), b"")
    names = tuple(_alternative_names(extensions)) if extensions else ()
    return Certificate(names or tuple(_common_names(subject)), begin, end)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of what stands in a row (X.690 8.1)."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4:
                raise ValueError("a length that no certificate has")
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("it ends too early")
        yield tag, der[at : at + length]
        at += length


def _only(der: bytes, wanted: int) -> bytes:
    """The content of the first element, which must have this tag."""
    tag, content = next(_elements(der))
    if tag != wanted:
        raise ValueError(f"tag {tag:#x} instead of {wanted:#x}")
    return content


def _time(tag: int, value: bytes) -> datetime:
    """RFC 5280 4.1.2.5: two digits of a year are 1950 to 2049."""
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _alternative_names(extensions: bytes) -> Iterator[str]:
    for _, extension in _elements(_only(extensions, _SEQUENCE)):
        parts = list(_elements(extension))
        if parts[0] != (_OID, _SUBJECT_ALT_NAME) or parts[-1][0] != _OCTETS:
            continue
        for tag, value in _elements(_only(parts[-1][1], _SEQUENCE)):
            if tag == _DNS_NAME:
                yield value.decode("ascii").lower()
            elif tag == _IP_ADDRESS:
                yield str(ip_address(value))


def _common_names(subject: bytes) -> Iterator[str]:
    for _, relative in _elements(subject):
        for _, attribute in _elements(relative):
            (_, oid), (_, value) = _elements(attribute)
            if oid == _COMMON_NAME:
                yield value.decode("utf-8", "replace").lower()
