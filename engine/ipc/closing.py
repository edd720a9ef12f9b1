# Ways of closing, for descriptors that are bare numbers.
#
# close_all: many at once. A batch mostly has consecutive numbers: the kernel gives out the lowest free one,
# and the batch before has just given its own back.
"""Closing a batch of descriptors, and one direction of a connection."""

import os
import socket
from collections.abc import Sequence

# A fatal alert, internal_error, from a server that ends a connection before any handshake (RFC 8446 6).
TLS_ALERT = bytes((0x15, 3, 3, 0, 2, 2, 80))


def close_all(fds: Sequence[int]) -> None:
    """Close every one of `fds`, all of which are open; each run of consecutive numbers by one close_range(2)."""
    first = after = -1
    for fd in fds:
        if fd != after:
            if first != after:
                os.closerange(first, after)
            first = fd
        after = fd + 1
    if first != after:
        os.closerange(first, after)


def half_close(fd: int) -> None:
    """Send no more on the connection `fd`, which stays open and its owner's. Raises OSError when the client is gone."""
    half = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        half.shutdown(socket.SHUT_WR)
    finally:
        half.detach()
