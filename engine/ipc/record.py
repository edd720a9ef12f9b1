# The record that travels with each descriptor.
#
#   0        8          12     14       15      16              32
#   +--------+----------+------+--------+-------+---------------+
#   | accept | genera-  | port | listen | family|    address    |
#   |  ns u64| tion u32 | u16  | er u8  |  u8   |  16 bytes     |
#   +--------+----------+------+--------+-------+---------------+
#
# accept_ns is CLOCK_MONOTONIC, which master and workers share. generation counts the connections of a listener, so that
# two that had the same descriptor number can be told apart. family is AF_INET, AF_INET6 or AF_UNIX; an IPv4
# address fills the first four bytes of the address, the rest is zero. Ports are in host order.
"""The record of one accepted connection: 32 bytes."""

import socket
import struct

RECORD = struct.Struct("=QIHBB16s")
RECORD_BYTES = RECORD.size


_MAPPED = bytes(10) + b"\xff\xff"
# A descriptor that is now the taker's to close, and its record as the bare tuple that struct yields, in the order of
# the drawing: on the hot path a NamedTuple would cost more to build than the whole parse.
RecordFields = tuple[int, int, int, int, int, bytes]
Arrival = tuple[int, RecordFields]


def peer_text(family: int, address: bytes) -> bytes:
    """The client address as the access log writes it; `-` for a Unix socket."""
    if family == socket.AF_INET:
        return socket.inet_ntop(family, address[:4]).encode()
    if family == socket.AF_INET6:
        # An IPv4 client of a listener that takes both (RFC 4291 2.5.5.2).
        if address.startswith(_MAPPED):
            return socket.inet_ntop(socket.AF_INET, address[len(_MAPPED) :]).encode()
        return socket.inet_ntop(family, address).encode()
    return b"-"
