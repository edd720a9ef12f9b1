# What other origins' pages may read (Fetch, "CORS protocol").
#
# Rule 1: for everybody it is a field that never changes, so it is part of what is held. For a list of origins the
#         answer names the one that asks, so it is made for that request alone.
# Rule 2: credentials are never allowed: a page of another origin gets what anybody gets.
"""Cross-origin fields for a request."""

import re

from wsrv.engine.http.grammar import TOKEN
from wsrv.engine.http.head import ALLOW
from wsrv.engine.static.rules import Field, Rules

_NAMES = re.compile(TOKEN + rb"(?:[ \t]*+,[ \t]*+" + TOKEN + rb")*+")
# Longer lists of names are not repeated to the client; no browser sends one.
_MAX_NAMES_BYTES = 1024
# Chromium remembers a preflight for two hours at most.
_MAX_AGE: Field = (b"Access-Control-Max-Age", b"7200")


def shared_with(rules: Rules, origin: bytes | None) -> tuple[Field, ...]:
    """The fields that let `origin`, one of a list, read the answer; none for everybody else."""
    if origin is None or origin not in rules.origins:
        return ()
    return (b"Access-Control-Allow-Origin", origin), (b"Access-Control-Expose-Headers", b"*")


def preflight(rules: Rules, origin: bytes | None, method: bytes | None, names: bytes | None) -> tuple[Field, ...]:
    """The fields that answer a preflight; none for what is none, or comes from an origin that may not ask.

    `method` and `names`: the values of Access-Control-Request-Method and -Headers.
    """
    if origin is None or method is None or not (rules.any_origin or origin in rules.origins):
        return ()
    allowed = b"*" if rules.any_origin else origin
    fields: list[Field] = [(b"Access-Control-Allow-Origin", allowed), (b"Access-Control-Allow-Methods", ALLOW)]
    if names is not None and len(names) <= _MAX_NAMES_BYTES and _NAMES.fullmatch(names):
        # Whatever a page sends along, a file stays the same: all are welcome.
        fields.append((b"Access-Control-Allow-Headers", names))
    return (*fields, _MAX_AGE, (b"Vary", b"Origin, Access-Control-Request-Headers"))
