# Two panels, one below the other, the same sizes along both: each twice as far to the right as the one before it is
# large. The bound is dashed. No script, no font of its own, nothing fetched: it opens anywhere. Who reads on dark paper
# gets dark paper; a program that knows no style sheets gets white.
"""A plot of miss ratios as an SVG file."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 860
PANEL_HEIGHT = 320
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 40, 50

# Told apart by people who see colours differently (Okabe, Ito), then the same with dots.
COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#0072b2", "#cc79a7", "#a6761d", "#666666")
BOUND_COLOUR = "#888888"
STEPS = 5

# The colours above that would not be seen on dark paper are other ones there; line-0 is black.
STYLE = """\
text { fill: #111111 }
@media (prefers-color-scheme: dark) {
  .paper { fill: #161616 }
  text { fill: #dddddd }
  .grid { stroke: #3a3a3a }
  .tick, .line-0 { stroke: #ffffff }
  .line-5 { stroke: #7388ff }
  .line-8 { stroke: #aaaaaa }
}"""

Curves = Mapping[str, Sequence[float]]


def plot(
    title: str, sizes_bytes: Sequence[int], labels: Sequence[str], panels: Mapping[str, Curves], bound: str
) -> str:
    """The text of the file. `panels` has for each heading the curves by name, in percent; `bound` names the dashed."""
    height = PANEL_HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        '<rect class="paper" width="100%" height="100%" fill="#ffffff"/>',
    ]
    for number, (heading, curves) in enumerate(panels.items()):
        parts += [f'<g transform="translate(0 {number * PANEL_HEIGHT})">']
        parts += _panel(f"{heading} ({title})", sizes_bytes, labels, curves, bound)
        parts += ["</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(heading: str, sizes_bytes: Sequence[int], labels: Sequence[str], curves: Curves, bound: str) -> list[str]:
    across, down = WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM
    top = max((value for curve in curves.values() for value in curve), default=0.0) or 1.0
    logs = [math.log2(max(size, 1)) for size in sizes_bytes]
    span = (logs[-1] - logs[0]) or 1.0
    x = [LEFT + across * (log - logs[0]) / span for log in logs]

    def y(value: float) -> float:
        return TOP + down * (1 - value / top)

    parts = [f'<text x="{LEFT}" y="{TOP - 16}" font-size="14">{escape(heading)}</text>']
    for step in range(STEPS + 1):
        value = top * step / STEPS
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + across}" y1="{y(value):.1f}" y2="{y(value):.1f}"'
            ' stroke="#dddddd"/>',
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f} %</text>',
        ]
    for place, label in zip(x, labels, strict=True):
        parts += [
            f'<line class="tick" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP + down}" y2="{TOP + down + 5}"'
            ' stroke="#000000"/>',
            f'<text x="{place:.1f}" y="{TOP + down + 19}" text-anchor="middle">{escape(label)}</text>',
        ]
    for number, (name, curve) in enumerate(curves.items()):
        colour = BOUND_COLOUR if name == bound else COLOURS[number % len(COLOURS)]
        dashes = ' stroke-dasharray="6 4"' if name == bound else ' stroke-dasharray="2 3"' * (number >= len(COLOURS))
        kind = "bound" if name == bound else f"line-{number % len(COLOURS)}"
        points = " ".join(f"{place:.1f},{y(value):.1f}" for place, value in zip(x, curve, strict=True))
        below = TOP + 8 + 18 * number
        parts += [
            f'<polyline class="{kind}" points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>',
            f'<line class="{kind}" x1="{LEFT + across + 14}" x2="{LEFT + across + 40}" y1="{below}" y2="{below}"'
            f' stroke="{colour}" stroke-width="2"{dashes}/>',
            f'<text x="{LEFT + across + 46}" y="{below + 4}">{escape(name)}</text>',
        ]
    return parts
