"""The record that travels with a connection: 32 bytes as drawn, and the address as the log writes it."""

import ipaddress
import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.ipc.record import RECORD, RECORD_BYTES, RecordFields, peer_text

records = st.tuples(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 255),
    st.sampled_from([int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)]),
    st.binary(min_size=16, max_size=16),
)


@given(record=records)
def test_a_record_travels_unchanged(record: RecordFields) -> None:
    packed = RECORD.pack(*record)
    assert len(packed) == RECORD_BYTES == 32
    assert RECORD.unpack(packed) == record


def test_each_part_lies_where_it_is_drawn() -> None:
    packed = RECORD.pack(1, 2, 3, 4, 5, bytes(range(16)))
    assert struct.unpack_from("=Q", packed, 0) == (1,)
    assert struct.unpack_from("=I", packed, 8) == (2,)
    assert struct.unpack_from("=H", packed, 12) == (3,)
    assert packed[14:16] == b"\4\5"
    assert packed[16:] == bytes(range(16))


@given(address=st.ip_addresses(v=4))
def test_an_ipv4_address_is_written_with_dots(address: ipaddress.IPv4Address) -> None:
    assert peer_text(socket.AF_INET, address.packed + bytes(12)) == str(address).encode()


@given(address=st.ip_addresses(v=6))
def test_an_ipv6_address_is_written_so_that_it_reads_back(address: ipaddress.IPv6Address) -> None:
    text = peer_text(socket.AF_INET6, address.packed)
    assert ipaddress.ip_address(text.decode()) == (address.ipv4_mapped or address)
    assert b" " not in text


@given(address=st.ip_addresses(v=4))
def test_a_client_over_ipv4_looks_the_same_on_a_listener_for_both(address: ipaddress.IPv4Address) -> None:
    mapped = bytes(10) + b"\xff\xff" + address.packed
    assert peer_text(socket.AF_INET6, mapped) == str(address).encode()


def test_a_unix_socket_has_no_address() -> None:
    assert peer_text(socket.AF_UNIX, bytes(16)) == b"-"
