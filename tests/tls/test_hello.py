"""The protocols that a client offers, in messages that OpenSSL makes, whole, cut and broken."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.tls.hello import offered_in


def hello(*protocols: str, name: str = "localhost", most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first message of a client that offers these."""
    context = ssl.create_default_context()
    context.maximum_version = most
    if protocols:
        context.set_alpn_protocols(protocols)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


WHOLE = hello("h2", "http/1.1")


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("protocols", [(), ("h2",), ("h2", "http/1.1"), ("x" * 255, "y")])
def test_an_offer_is_read_as_openssl_writes_it(protocols: tuple[str, ...], most: ssl.TLSVersion) -> None:
    assert offered_in(hello(*protocols, most=most)) == tuple(name.encode() for name in protocols)


def test_nothing_is_known_before_the_message_is_whole() -> None:
    assert {offered_in(WHOLE[:length]) for length in range(len(WHOLE))} == {None}
    assert offered_in(WHOLE + b"more") == (b"h2", b"http/1.1")


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_a_message_in_several_records_is_one(piece: int) -> None:
    message = WHOLE[5:]
    pieces = [message[at : at + piece] for at in range(0, len(message), piece)]
    records = b"".join(bytes((22, 3, 1, 0, len(one))) + one for one in pieces)
    assert offered_in(records) == (b"h2", b"http/1.1")
    assert offered_in(records[:-1]) is None


def test_a_message_without_end_is_not_waited_for() -> None:
    assert offered_in(bytes((22, 3, 1, 0xFF, 0xFF, 1, 0xFF, 0xFF, 0xFF)) + bytes(30_000)) == ()


def test_another_record_or_message_offers_nothing() -> None:
    assert offered_in(WHOLE[:5] + b"\x02" + WHOLE[6:]) == ()
    assert offered_in(bytes((22, 3, 1, 0, 1, 1, 21, 3, 1, 0, 2, 1, 0))) == ()


@given(st.integers(5, len(WHOLE) - 1), st.integers(0, 255))
def test_a_broken_byte_breaks_nothing(place: int, value: int) -> None:
    broken = WHOLE[:place] + bytes((value,)) + WHOLE[place + 1 :]
    found = offered_in(broken)
    assert found is None or all(isinstance(name, bytes) for name in found)
