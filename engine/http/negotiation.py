# Which content codings a client takes, by its field Accept-Encoding.
#
#     gzip, deflate;q=0.5, br, *;q=0   ->   (br, gzip), identity refused
#
# Rule 1: what is returned is small and canonical, so that fields that mean the same find the same prebuilt answers.
# Rule 2: nothing is understood by halves: a field that breaks the grammar says nothing, and is as if it were not there.
"""Negotiation of content codings (RFC 9110 12.5.3)."""

import re
from typing import NamedTuple

from wsrv.engine.http.grammar import TOKEN

BROTLI, ZSTD, GZIP = b"br", b"zstd", b"gzip"
IDENTITY = b"identity"
# Among those that a client likes equally, the first is taken: brotli makes a site's files smallest, gzip largest.
CODINGS = (BROTLI, ZSTD, GZIP)

_ELEMENT = (
    rb"(?P<coding>" + TOKEN + rb")[ \t]*+(?:;[ \t]*+[qQ]=(?P<weight>0(?:\.[0-9]{0,3}+)?+|1(?:\.0{0,3}+)?+)[ \t]*+)?+"
)
_FIND_ELEMENT = re.compile(_ELEMENT)
# A list may have empty elements, which count for nothing (RFC 9110 5.6.1.2).
_UNNAMED = re.sub(rb"\?P<[a-z]+>", rb"?:", _ELEMENT)
_LIST = re.compile(rb"[ \t,]*+(?:" + _UNNAMED + rb"(?:,[ \t,]*+|\Z))*+")

_MOST = 1000
# A longer field counts as none. Browsers send 30 bytes; one of 15 KB would hold the loop up for 5 ms.
MAX_FIELD_BYTES = 512


class Acceptable(NamedTuple):
    """What a client takes: `codings`, the most welcome first, then the bytes as they are, if `identity`.

    Codings that are less welcome than the bytes as they are do not appear.
    """

    codings: tuple[bytes, ...]
    identity: bool


# RFC 9110 lets a server send any coding to a client that names none. Those that name none decode none.
AS_IT_IS = Acceptable((), True)


def acceptable(field: bytes | None) -> Acceptable:
    """What a client takes that sends `field` as Accept-Encoding, None when it sends none (RFC 9110 12.5.3).

    `x-gzip` is gzip (8.4.1.3). Where one coding is named twice, the lower weight counts: what was refused once is not
    sent. A field that breaks the grammar, or is longer than MAX_FIELD_BYTES, counts as none.
    """
    if not field or len(field) > MAX_FIELD_BYTES:
        return AS_IT_IS
    if _LIST.fullmatch(field) is None:
        return AS_IT_IS
    weights: dict[bytes, int] = {}
    for element in _FIND_ELEMENT.finditer(field):
        coding = element["coding"].lower()
        if coding == b"x-gzip":
            coding = GZIP
        weights[coding] = min(_thousandths(element["weight"]), weights.get(coding, _MOST))
    others = weights.get(b"*", 0)
    # Not named, the bytes as they are remain acceptable, the last of all; "*" names them too.
    as_it_is = weights.get(IDENTITY, others)
    refused = as_it_is == 0 and (IDENTITY in weights or b"*" in weights)
    ranked = sorted(CODINGS, key=lambda coding: -weights.get(coding, others))
    return Acceptable(tuple(c for c in ranked if weights.get(c, others) >= max(as_it_is, 1)), not refused)


def _thousandths(weight: bytes | None) -> int:
    return _MOST if weight is None else round(float(weight) * _MOST)
