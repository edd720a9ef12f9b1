# What a client sent, made fit for a line of a log.
#
# Rule: no byte leaves here that could end a quoted string or a line, move a terminal's cursor, or be taken for an
# escape that the client did not send.
"""Escaping of client bytes for the access log."""

import re

# Precedent: nginx escapes `"`, `\` and everything outside 0x20-0x7e as \xHH in its default log format.
_UNSAFE = re.compile(rb"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_ESCAPES = [b"\\x%02X" % byte for byte in range(256)]
_ESCAPE_BYTES = len(_ESCAPES[0])

# A request line within bounds passes whole, unless most of it needs escaping.
LIMIT_BYTES = 8 * 1024 + 64


def log_escape(raw: bytes, limit_bytes: int = LIMIT_BYTES) -> bytes:
    r"""`raw` with controls, DEL, non-ASCII bytes, `"` and `\` as \xHH; cut to at most `limit_bytes`.

    A cut never leaves part of an escape.
    """
    # Nothing gets shorter, so what lies past the limit cannot matter: the work is bounded too.
    raw = raw[:limit_bytes]
    if _UNSAFE.search(raw) is None:
        return raw
    escaped = _UNSAFE.sub(lambda match: _ESCAPES[match[0][0]], raw)
    if len(escaped) <= limit_bytes:
        return escaped
    # `\` occurs only where an escape begins.
    begin = escaped.rfind(b"\\", 0, limit_bytes)
    return escaped[: begin if begin >= 0 and limit_bytes - begin < _ESCAPE_BYTES else limit_bytes]
