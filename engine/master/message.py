# The messages of the control socket: how they travel, and where the socket is.
#
#   0          4
#   +----------+----------------------+
#   | length   | UTF-8 JSON object    |     length: u32, big-endian, of the JSON alone
#   +----------+----------------------+
#
# One request a connection, `{"command": NAME, …}`; then the answer, one message or several, and the end of the stream.
# Each but the last has `"more": true`. An answer with the key `error` says why there is none.
"""Messages between a running server and whoever asks it."""

import json
import os
import struct
from pathlib import Path
from typing import Any

Message = dict[str, Any]

MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 1024 * 1024
LENGTH = struct.Struct(">I")

# sun_path has 108 bytes, the last one a zero (unix(7)).
_MAX_ADDRESS_BYTES = 107


def pack(message: Message, most_bytes: int) -> bytes:
    """The message as it travels. Raises ValueError when it is too long, TypeError or ValueError when it is no JSON."""
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    if len(text) > most_bytes:
        raise ValueError(f"a message of {len(text)} bytes; the most is {most_bytes}")
    return LENGTH.pack(len(text)) + text


def parse(text: bytes) -> Message:
    """The message in the JSON that travelled. Raises ValueError."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ValueError("not a JSON object")
    return message


def address(socket_path: Path, folder_fd: int) -> bytes:
    """What bind and connect take for the socket; a path too long for them goes through its folder, which is open."""
    plain = os.fsencode(socket_path)
    if len(plain) <= _MAX_ADDRESS_BYTES:
        return plain
    return b"/proc/self/fd/%d/%b" % (folder_fd, os.fsencode(socket_path.name))
