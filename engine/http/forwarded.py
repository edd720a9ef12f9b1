# Who is behind a proxy, by its own words: Forwarded (RFC 7239) or X-Forwarded-For.
#
# Each proxy appends whom it heard. So the list is read from its end, the nearest first, and believed for as long as the
# one that said it is a named proxy: the first that is none is the client. What stands before it the client may have
# made up.
#
# Rule: where the two fields disagree, or what is to be believed cannot be read, the client is unknown; never somebody.
"""The client's address and scheme out of what proxies say."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple

from wsrv.engine.http.fields import Fields
from wsrv.engine.http.grammar import TOKEN
from wsrv.engine.http.proxy_header import Address, plain

_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
_PAIR = re.compile(rb"(" + TOKEN + rb")=(" + TOKEN + rb"|" + _QUOTED + rb")")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
# An address, with a port perhaps; IPv6 in brackets where there is one.
_NODE = re.compile(rb"(?:\[([0-9A-Fa-f:.]++)\]|([0-9.]++))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]++))?")
# A proxy chain is a few hops; a longer list is somebody's game.
_MAX_HOPS = 64

ANY, FORWARDED, X_FORWARDED_FOR = "any", "forwarded", "x-forwarded-for"

_Named = Callable[[Address], bool]


class Hop(NamedTuple):
    """One step: whom the proxy heard, None when it does not say or it cannot be read; and by which scheme."""

    address: Address | None
    scheme: bytes = b""


class Client(NamedTuple):
    """Who asks. `address` None: unknown. `told`: a named proxy has said so."""

    address: Address | None
    scheme: bytes
    told: bool


def client_of(peer: Address | None, fields: Fields, named: _Named, which: str = ANY) -> Client:
    """Who is behind `peer`, itself a named proxy; None for one at the other end of a Unix socket.

    `which` is the field that counts; with ANY each does, and both must agree.
    """
    found: list[Hop] = []
    if which != X_FORWARDED_FOR and (value := fields.get(b"forwarded")) is not None:
        found.append(_client(forwarded_hops(value), named))
    if which != FORWARDED and (value := fields.get(b"x-forwarded-for")) is not None:
        found.append(Hop(_client(x_forwarded_hops(value), named).address, _scheme(fields)))
    if not found:
        return Client(peer, b"" if which == FORWARDED else _scheme(fields), False)
    address = found[0].address
    if any(hop.address != address for hop in found):
        address = None
    scheme = next((hop.scheme for hop in found if hop.scheme), b"")
    return Client(address, scheme, True)


def _scheme(fields: Fields) -> bytes:
    """What X-Forwarded-Proto says; of several the nearest proxy's."""
    return (fields.get(b"x-forwarded-proto") or b"").rpartition(b",")[2].strip().lower()


def _client(hops: list[Hop], named: _Named) -> Hop:
    """The nearest that is no named proxy; the farthest when all are."""
    hop = Hop(None)
    for hop in reversed(hops):
        if hop.address is None or not named(hop.address):
            break
    return hop


def forwarded_hops(value: bytes) -> list[Hop]:
    """The elements of Forwarded, the nearest last (RFC 7239 4). What cannot be read is one hop that is unknown."""
    hops: list[Hop] = []
    at = 0
    while at <= len(value):
        pairs, at = _element(value, at)
        if pairs is None or len(hops) == _MAX_HOPS:
            return [Hop(None)]
        if pairs:
            hops.append(Hop(_node(pairs.get(b"for", b"")), pairs.get(b"proto", b"").lower()))
    return hops


def _element(value: bytes, at: int) -> tuple[dict[bytes, bytes] | None, int]:
    """The pairs of one element, and where the next begins; None when it breaks the grammar."""
    pairs: dict[bytes, bytes] = {}
    at = _after_space(value, at)
    while at < len(value) and value[at : at + 1] != b",":
        if value[at : at + 1] != b";":
            match = _PAIR.match(value, at)
            if match is None or match[1].lower() in pairs:
                return None, at
            text = match[2]
            pairs[match[1].lower()] = _ESCAPED.sub(rb"\1", text[1:-1]) if text.startswith(b'"') else text
            at = match.end()
            if value[at : at + 1] not in (b";", b",", b" ", b"\t", b""):
                return None, at
        else:
            at += 1
        at = _after_space(value, at)
    return pairs, at + 1


def _after_space(value: bytes, at: int) -> int:
    while value[at : at + 1] in (b" ", b"\t"):
        at += 1
    return at


def x_forwarded_hops(value: bytes) -> list[Hop]:
    """The elements of X-Forwarded-For, the nearest last."""
    parts = value.split(b",", _MAX_HOPS)
    return [Hop(None)] if len(parts) > _MAX_HOPS else [Hop(_node(part.strip())) for part in parts]


def _node(text: bytes) -> Address | None:
    """The address of a node; None for `unknown`, an obfuscated one, or what is none (RFC 7239 6)."""
    match = _NODE.fullmatch(text)
    # X-Forwarded-For has IPv6 addresses without brackets too.
    bare = text if match is None else match[1] or match[2]
    try:
        return plain(ip_address(bare.decode("ascii")))
    except ValueError:
        return None
