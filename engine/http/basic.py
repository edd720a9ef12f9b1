# Credentials of the Basic scheme.
"""Authorization: Basic (RFC 7617)."""

import base64
import binascii
from typing import NamedTuple


class Credentials(NamedTuple):
    """A user and a password as the client sent them, which is UTF-8 where it heeds the charset that it was told."""

    user: bytes
    password: bytes


def credentials_in(authorization: bytes | None) -> Credentials | None:
    """What an Authorization field says; None when it is not there, of another scheme, or cannot be read."""
    scheme, _, token = (authorization or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        pair = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = pair.partition(b":")
    return Credentials(user, password) if colon else None


def challenge(realm: str) -> bytes:
    """The value of WWW-Authenticate: the realm as a quoted string, and that names and passwords are UTF-8."""
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8")
    return b'Basic realm="%b", charset="UTF-8"' % quoted
