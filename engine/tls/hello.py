# What a client offers by ALPN, read from its first message: the ssl module does not tell of an offer it turned down.
#
#   record   22, version(2), fragment<2>
#   message  1, length(3), version(2), random(32), session id<1>, cipher suites<2>, compressions<1>, extensions<2>
#   ALPN     16 as two bytes, <2> of names<2>, each name<1>                    <n>: n bytes of length stand in front
#
# Rule: what cannot be read offers nothing. It is OpenSSL's to refuse it.
"""The protocols in a ClientHello (RFC 8446 4.1.2, RFC 7301 3.1)."""

_RECORD_HEAD_BYTES = 5
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_FIXED_BYTES = 34
_ALPN = 16
# OpenSSL takes no longer one (SSL3_RT_MAX_PLAIN_LENGTH); with the heads of its records.
_MAX_BYTES = 20 * 1024


def offered_in(raw: bytes) -> tuple[bytes, ...] | None:
    """The protocols that the ClientHello at the front of `raw` offers; None while it is not whole."""
    message = b""
    at = 0
    while len(raw) >= at + _RECORD_HEAD_BYTES and raw[at] == _HANDSHAKE:
        end = at + _RECORD_HEAD_BYTES + int.from_bytes(raw[at + 3 : at + 5], "big")
        message += raw[at + _RECORD_HEAD_BYTES : end]
        at = end
        declared = 4 + int.from_bytes(message[1:4], "big")
        if len(message) >= max(4, declared):
            return _protocols(message[:declared])
    if len(raw) > _MAX_BYTES or (len(raw) > at and raw[at] != _HANDSHAKE):
        return ()
    return None


def _protocols(message: bytes) -> tuple[bytes, ...]:
    if message[0] != _CLIENT_HELLO:
        return ()
    rest = message[4 + _FIXED_BYTES :]
    for width in (1, 2, 1):
        _, rest = _vector(rest, width)
    extensions, _ = _vector(rest, 2)
    while extensions:
        kind = int.from_bytes(extensions[:2], "big")
        content, extensions = _vector(extensions[2:], 2)
        if kind == _ALPN:
            names, _ = _vector(content, 2)
            found = []
            while names:
                name, names = _vector(names, 1)
                found.append(name)
            return tuple(found)
    return ()


def _vector(raw: bytes, width: int) -> tuple[bytes, bytes]:
    """What stands behind a length of `width` bytes, and what follows that; slices end where the bytes do."""
    end = width + int.from_bytes(raw[:width], "big")
    return raw[width:end], raw[end:]
