# Which media types a client asks for, as far as a static server has a choice.
"""Accept (RFC 9110 12.5.1): whether a page is wanted, or JSON; and which format of metrics."""

import re

_HTML = (b"text/html", b"application/xhtml+xml")
_JSON = b"application/json"
_OPENMETRICS, _PLAIN = b"application/openmetrics-text", b"text/plain"
_WEIGHT = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# An Accept of more ranges is not looked at further. Precedent: browsers send up to 8.
_MOST_RANGES = 64


def names_html(accept: bytes | None) -> bool:
    """Whether the client names pages among what it takes, as a browser does that navigates; `*/*` names nothing."""
    weights = _weights(accept)
    return any(weights.get(kind, 0.0) > 0 for kind in _HTML)


def takes_anything(accept: bytes | None) -> bool:
    """Whether the client has no wish at all, as curl: it says `*/*`, or nothing (RFC 9110 12.5.1)."""
    return (accept or b"*/*").strip() == b"*/*"


def prefers_json(accept: bytes | None) -> bool:
    """Whether the client takes JSON rather than a page; it has to name it."""
    weights = _weights(accept)
    json = weights.get(_JSON, 0.0)
    html = max((weights[kind] for kind in _HTML if kind in weights), default=0.0)
    return json > html


def prefers_openmetrics(accept: bytes | None) -> bool:
    """Whether the client takes OpenMetrics rather than Prometheus' own text; it has to name it."""
    weights = _weights(accept)
    return weights.get(_OPENMETRICS, 0.0) > weights.get(_PLAIN, 0.0)


def _weights(accept: bytes | None) -> dict[bytes, float]:
    """The weight of each media range; what has no valid one counts as refused."""
    found: dict[bytes, float] = {}
    for part in (accept or b"").split(b",", _MOST_RANGES)[:_MOST_RANGES]:
        kind, *parameters = (piece.strip() for piece in part.lower().split(b";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            if name.strip() == b"q":
                value = value.strip()
                weight = float(value) if _WEIGHT.fullmatch(value) else 0.0
        found[kind] = max(found.get(kind, 0.0), weight)
    return found
