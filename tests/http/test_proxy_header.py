# The headers are made here by hand after the protocol's text; socket.inet_pton is the oracle for addresses.
"""PROXY headers of both versions, whole and in pieces, and everything that is none."""

import socket
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.proxy_header import MAX_BYTES, BadProxyHeader, ProxyHeader, parse_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FOUR = st.ip_addresses(v=4)
SIX = st.ip_addresses(v=6).filter(lambda a: getattr(a, "ipv4_mapped", None) is None)
PAIRS = st.one_of(st.tuples(FOUR, FOUR), st.tuples(SIX, SIX))
PORTS = st.integers(0, 65535)
BEHIND = st.binary(max_size=40)


def binary(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(body) if length is None else length) + body


def packed(address: object, other: object, port: int, other_port: int) -> bytes:
    """The addresses of IPv4 or IPv6 as version 2 has them."""
    family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
    both = (socket.inet_pton(family, str(one)) for one in (address, other))
    return b"".join(both) + struct.pack(">HH", port, other_port)


def assert_whole_and_in_pieces(header: bytes, behind: bytes, relayed: bool, source: object) -> None:
    """Nothing is said before the last byte, and what is behind does not matter."""
    assert parse_proxy_header(header + behind) == ProxyHeader(len(header), relayed, source)  # type: ignore[arg-type]
    for end in range(len(header)):
        assert parse_proxy_header(header[:end]) is None


@given(PAIRS, PORTS, PORTS, BEHIND)
def test_text_names_the_client(pair: tuple[object, object], port: int, other_port: int, behind: bytes) -> None:
    source, destination = pair
    family = "TCP6" if ":" in str(source) else "TCP4"
    header = f"PROXY {family} {source} {destination} {port} {other_port}\r\n".encode()
    assert_whole_and_in_pieces(header, behind, True, source)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80), BEHIND)
def test_text_without_a_client_names_none(words: str, behind: bytes) -> None:
    for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN " + words.encode() + b"\r\n"):
        assert_whole_and_in_pieces(header, behind, False, None)


@given(PAIRS, PORTS, PORTS, st.binary(max_size=60), BEHIND, st.booleans())
def test_binary_names_the_client_whatever_else_it_holds(
    pair: tuple[object, object], port: int, other_port: int, more: bytes, behind: bytes, datagram: bool
) -> None:
    source, destination = pair
    family = (0x20 if ":" in str(source) else 0x10) | (2 if datagram else 1)
    header = binary(0x21, family, packed(source, destination, port, other_port) + more)
    assert_whole_and_in_pieces(header, behind, True, source)


@given(st.binary(min_size=216, max_size=300), BEHIND)
def test_binary_over_a_unix_socket_names_no_address(body: bytes, behind: bytes) -> None:
    assert_whole_and_in_pieces(binary(0x21, 0x31, body), behind, True, None)


@given(st.binary(max_size=60), BEHIND)
def test_what_the_proxy_says_for_itself_or_cannot_say_names_nobody(body: bytes, behind: bytes) -> None:
    for header in (binary(0x20, 0x00, body), binary(0x20, 0x11, body), binary(0x21, 0x00, body)):
        assert_whole_and_in_pieces(header, behind, False, None)


def test_an_ipv4_client_behind_ipv6_is_an_ipv4_client() -> None:
    expected = ProxyHeader(0, True, ip_address("192.0.2.1"))[1:]
    text = parse_proxy_header(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n")
    assert text is not None
    assert text[1:] == expected
    mapped = parse_proxy_header(binary(0x21, 0x21, packed("::ffff:192.0.2.1", "::1", 1, 2)))
    assert mapped is not None
    assert mapped[1:] == expected


@pytest.mark.parametrize(
    "seen",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXZ",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY UNKNOWN \x00\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * 101,
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        SIGNATURE + b"\x11\x11\x00\x0c",
        SIGNATURE + b"\x31\x11\x00\x0c",
        SIGNATURE + b"\x22\x11\x00\x0c",
        SIGNATURE + b"\x21\x13\x00\x0c",
        SIGNATURE + b"\x21\x10\x00\x0c",
        SIGNATURE + b"\x21\x41\x00\x0c",
        SIGNATURE + b"\x21\x11\x00\x0b",
        SIGNATURE + b"\x21\x21\x00\x23",
        SIGNATURE + b"\x21\x31\x00\xd7",
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE[:-1] + b"X",
    ],
)
def test_what_is_no_right_header_is_refused_as_soon_as_it_is_seen(seen: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        parse_proxy_header(seen)


@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_for_and_never_believed(noise: bytes) -> None:
    for seen in (noise, b"PROXY " + noise, SIGNATURE + noise):
        try:
            header = parse_proxy_header(seen)
        except BadProxyHeader:
            continue
        if header is not None:
            assert seen.startswith((b"PROXY ", SIGNATURE))
            assert 0 < header.length <= len(seen)
        else:
            assert len(seen) < MAX_BYTES
