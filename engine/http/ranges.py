# Parts of a representation.
#
# Rule: nothing here sees bytes: spans are positions, and lengths are known before anything is read.
"""Spans of a representation."""

from typing import NamedTuple


class Span(NamedTuple):
    """Consecutive bytes."""

    offset: int
    length: int
