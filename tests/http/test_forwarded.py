"""Whom a proxy asks for: the nearest that is no named proxy, and nobody when that cannot be known."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.fields import Fields
from wsrv.engine.http.forwarded import FORWARDED, X_FORWARDED_FOR, client_of, forwarded_hops, x_forwarded_hops

Address = IPv4Address | IPv6Address
NAMED = ip_network("10.0.0.0/8")
PEER = ip_address("10.0.0.1")
ADDRESSES = st.ip_addresses().filter(lambda a: getattr(a, "ipv4_mapped", None) is None)
OWN = st.integers(0, 2**24 - 1).map(lambda n: IPv4Address(0x0A000000 + n))


def named(address: Address) -> bool:
    return address in NAMED


def heard(which: str = "any", peer: Address | None = PEER, **values: Any) -> tuple[str | None, str, bool]:
    """The client's address, its scheme, and whether a proxy told it."""
    fields = Fields({name.replace("_", "-").encode(): value.encode("latin-1") for name, value in values.items()})
    found = client_of(peer, fields, named, which)
    return None if found.address is None else str(found.address), found.scheme.decode(), found.told


def node(address: Address, port: str = "") -> str:
    """As RFC 7239 6 writes it, in quotes where it must be."""
    text = f"[{address}]" if address.version == 6 else str(address)
    return f'"{text}{port}"' if address.version == 6 or port else text


@given(st.lists(ADDRESSES, max_size=4), ADDRESSES.filter(lambda a: a not in NAMED), st.lists(OWN, max_size=4))
def test_the_nearest_that_is_not_named_is_the_client(
    made_up: list[Address], client: Address, own: list[Address]
) -> None:
    """Whatever the client has written before it."""
    hops = [*made_up, client, *own]
    assert heard(x_forwarded_for=", ".join(map(str, hops)))[0] == str(client)
    assert heard(forwarded=", ".join(f"for={node(hop)}" for hop in hops))[0] == str(client)
    assert heard(forwarded=",".join(f"proto=https;For={node(hop, ':80')};by=_x" for hop in hops))[0] == str(client)


@given(st.lists(OWN, min_size=1, max_size=5))
def test_when_all_are_named_the_farthest_is_the_client(own: list[Address]) -> None:
    assert heard(x_forwarded_for=",".join(map(str, own)))[0] == str(own[0])


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8080", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.9, 192.0.2.1 , 10.9.9.9", "192.0.2.1"),
        ("192.0.2.1, unknown", None),
        ("192.0.2.1,", None),
        ("", None),
        ("unknown", None),
        ("192.0.2", None),
        ("192.0.2.01", None),
        ("300.0.0.1", None),
        ("192.0.2.1:x", None),
        ('"192.0.2.1"', None),
        ("192.0.2.1\t", "192.0.2.1"),
        (", ".join(["10.0.0.2"] * 65), None),
    ],
)
def test_x_forwarded_for_is_read_as_proxies_write_it(value: str, client: str | None) -> None:
    assert heard(x_forwarded_for=value) == (client, "", True)


@pytest.mark.parametrize(
    ("value", "client", "scheme"),
    [
        ("for=192.0.2.1", "192.0.2.1", ""),
        ("For=192.0.2.1;PROTO=HTTPS", "192.0.2.1", "https"),
        ('for="192.0.2.1:47011"', "192.0.2.1", ""),
        ('for="[2001:db8::1]:47011";by=10.0.0.1;host=a.test', "2001:db8::1", ""),
        ('for="192.0.2.1:_port"', "192.0.2.1", ""),
        (r'for="19\2.0.2.1"', "192.0.2.1", ""),
        ("for=192.0.2.9;proto=http, for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", "192.0.2.1", "https"),
        ("for=192.0.2.1 , for=10.0.0.2", "192.0.2.1", ""),
        ("for=192.0.2.1;", "192.0.2.1", ""),
        (";for=192.0.2.1", "192.0.2.1", ""),
        (",for=192.0.2.1,", "192.0.2.1", ""),
        ("for=unknown", None, ""),
        ("for=_hidden", None, ""),
        ("for=192.0.2.1, for=_hidden", None, ""),
        ("proto=https", None, "https"),
        ("for=[2001:db8::1]", None, ""),
        ("for=192.0.2.1:80", None, ""),
        ('for="192.0.2.1', None, ""),
        ("for=192.0.2.1;for=192.0.2.2", None, ""),
        ("for =192.0.2.1", None, ""),
        ("for=192.0.2.1 x", None, ""),
        ("192.0.2.1", None, ""),
        ('evil="a,for=192.0.2.1", for=192.0.2.7', "192.0.2.7", ""),
        ('evil="', None, ""),
        (", ".join(["for=10.0.0.2"] * 65), None, ""),
    ],
)
def test_forwarded_is_read_as_the_rfc_writes_it(value: str, client: str | None, scheme: str) -> None:
    assert heard(forwarded=value) == (client, scheme, True)


def test_without_a_field_the_proxy_asks_for_itself() -> None:
    assert heard() == (str(PEER), "", False)
    assert heard(peer=None) == (None, "", False)
    assert heard(x_forwarded_proto="https") == (str(PEER), "https", False)


def test_where_two_fields_disagree_the_client_is_unknown() -> None:
    assert heard(forwarded="for=192.0.2.1", x_forwarded_for="192.0.2.1") == ("192.0.2.1", "", True)
    assert heard(forwarded="for=192.0.2.1", x_forwarded_for="192.0.2.2") == (None, "", True)
    assert heard(forwarded="nonsense", x_forwarded_for="192.0.2.2") == (None, "", True)


def test_the_setting_says_which_field_counts() -> None:
    both: dict[str, Any] = {
        "forwarded": "for=192.0.2.1;proto=http",
        "x_forwarded_for": "192.0.2.2",
        "x_forwarded_proto": "https",
    }
    assert heard(FORWARDED, **both) == ("192.0.2.1", "http", True)
    assert heard(X_FORWARDED_FOR, **both) == ("192.0.2.2", "https", True)
    assert heard(FORWARDED, x_forwarded_for="192.0.2.2", x_forwarded_proto="https") == (str(PEER), "", False)
    assert heard(X_FORWARDED_FOR, forwarded="for=192.0.2.1") == (str(PEER), "", False)


def test_the_nearest_proxy_has_the_last_word_on_the_scheme() -> None:
    assert heard(x_forwarded_for="192.0.2.1", x_forwarded_proto="https, http")[1] == "http"
    assert heard(x_forwarded_for="192.0.2.1", x_forwarded_proto=" HTTPS ")[1] == "https"


@given(st.binary(max_size=120))
def test_nothing_that_is_sent_raises(value: bytes) -> None:
    for read in (forwarded_hops, x_forwarded_hops):
        assert isinstance(read(value), list)
