# Numbers in few columns.
"""Sizes, durations and counts for tables."""

from collections.abc import Mapping, Sequence
from typing import Any


def size(value: float) -> str:
    """Bytes in five columns: `980`, `1.4K`, `83M`."""
    if value < 1000:
        return f"{value:.0f}"
    for unit in "KMGT":
        value /= 1024
        if value < 999.5 or unit == "T":
            break
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


def duration(seconds: float) -> str:
    """A time in four columns: `0.3s`, `42s`, `5m`, `3h`, `12d`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for length, unit, next_length in ((1, "s", 60), (60, "m", 3600), (3600, "h", 86400)):
        if seconds < next_length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds / 86400:.0f}d"


def state(words: Mapping[str, Any]) -> str:
    """What a policy says of a key: `main x3`, `ahead marked`."""
    texts = []
    for name, value in words.items():
        if isinstance(value, bool):
            texts += [name] if value else []
        elif isinstance(value, str):
            texts.append(value)
        elif name == "frequency":
            texts.append(f"x{value}")
        else:
            texts.append(f"{name} {value:.4g}" if isinstance(value, (int, float)) else f"{name} {value}")
    return plain(" ".join(texts)) or "-"


def plain(text: str) -> str:
    """The text, doing nothing to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shortened(text: str, width: int) -> str:
    """The text in `width` columns, the middle left out where it is too long."""
    if len(text) <= width:
        return text
    head = (width - 1) // 3
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lines: columns as wide as they must be, flush right, but for the last, which gets the rest of `width`."""
    widths = [max(map(len, column)) for column in zip(heads[:-1], *(row[:-1] for row in rows), strict=True)]
    rest = max(8, width - sum(widths) - 2 * len(widths))
    lines = []
    for row in (heads, *rows):
        cells = [f"{text:>{columns}}" for text, columns in zip(row[:-1], widths, strict=True)]
        lines.append("  ".join([*cells, shortened(row[-1], rest)]).rstrip())
    return lines
