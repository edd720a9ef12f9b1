# What the master asks its workers, and how they answer: one JSON object a packet, over a pair of SOCK_SEQPACKET.
#
#   master ─> worker   {"number": 7, "ask": "entries", …}     a question; the rest of it is the question's own
#                      {"number": 7, "go": "on"}               the next page, please
#                      {"number": 7, "go": "away"}             nobody wants the pages that are left
#   worker ─> master   {"number": 7, "more": true, …}         a page; the next one comes when it is asked for
#                      {"number": 7, "more": false, …}        the last page, or the only one
#
# Rule 1: a page that was not asked for is not sent, so a line never fills with what nobody reads.
# Rule 2: a last page with `error` says why there is no answer.
"""Questions to workers: how they and their answers travel."""

import json
from typing import Any

Message = dict[str, Any]

# A glob of 1,024 characters, each escaped, and some words around it.
MOST_QUESTION_BYTES = 16 * 1024
# The kernel takes 208 KiB on a pair of sockets that nobody has asked for more (net.core.wmem_default).
MOST_PAGE_BYTES = 64 * 1024

# The keeper of a shared cache is asked like a worker; this is its number.
KEEPER = -1

ON = "on"
AWAY = "away"


def pack(message: Message, most_bytes: int) -> bytes:
    """The message as a packet. Raises ValueError when it is too long or no JSON."""
    packet = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    if len(packet) > most_bytes:
        raise ValueError(f"a packet of {len(packet)} bytes; the most is {most_bytes}")
    return packet


def unpack(packet: bytes) -> Message:
    """The message in a packet. Raises ValueError."""
    message = json.loads(packet)
    if not isinstance(message, dict) or not isinstance(message.get("number"), int):
        raise ValueError("a packet without a number")
    return message
