# Eighths of a block: a column one line high has nine heights.
"""Charts in few characters: sparklines, taller ones, bars."""

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LEFT_EIGHTHS = " ▏▎▍▌▋▊▉█"


def columns(values: Sequence[float], width: int, height: int = 1, top: float | None = None) -> list[str]:
    """`height` lines of `width` characters, the highest first; the last of `values` is the rightmost column.

    `top` is the value of a full column, the highest of all unless it is given. What is not nothing is seen.
    """
    shown = list(values)[-width:]
    most = max(top or 0.0, *shown, 0.0) if shown else 0.0
    steps = 8 * height
    heights = [max(1, round(value / most * steps)) if value > 0 else 0 for value in shown]
    return [
        "".join(_EIGHTHS[min(8, max(0, high - 8 * row))] for high in heights).rjust(width)
        for row in range(height - 1, -1, -1)
    ]


def bar(share: float, width: int) -> str:
    """A bar that fills `share` of `width` characters; what is not nothing is seen."""
    eighths = min(8 * width, max(1 if share > 0 else 0, round(share * 8 * width)))
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_LEFT_EIGHTHS[rest] if rest else "")).ljust(width)
