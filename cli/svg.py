# Panels, one below the other, with curves or with bars. No script, no font of its own, nothing fetched: it opens
# anywhere. Who reads on dark paper gets dark paper; a program that knows no style sheets gets white.
"""Plots as SVG files."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 860
PANEL_HEIGHT = 320
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 40, 50
BARS_LEFT = 130
BAR_HEIGHT, BAR_STEP = 22, 34

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
# What was found, and between what it lies.
Span = tuple[float, float, float]


def plot(
    title: str,
    places: Sequence[float],
    labels: Sequence[str],
    panels: Mapping[str, Curves],
    *,
    dashed: str = "",
    form: str = "{:.1f} %",
) -> str:
    """The text of the file. `panels` has for each heading the curves by name, a number for each of `places`, which are
    where the `labels` stand along the axis, on any scale; `form` is how the numbers are written.
    """
    return _paper(
        title,
        PANEL_HEIGHT,
        [_panel(f"{heading} ({title})", places, labels, curves, dashed, form) for heading, curves in panels.items()],
    )


def bars(title: str, panels: Mapping[str, Mapping[str, Span]]) -> str:
    """The text of the file. `panels` has for each heading by name what a bar reaches, and between what it lies."""
    height = TOP + 20 + BAR_STEP * max(map(len, panels.values()))
    return _paper(title, height, [_bars(f"{heading} ({title})", spans) for heading, spans in panels.items()])


def _paper(title: str, height: int, panels: Sequence[Sequence[str]]) -> str:
    """Panels of so many pixels, one below the other."""
    whole = height * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" width="{WIDTH}" height="{whole}"'
        ' font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        '<rect class="paper" width="100%" height="100%" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {number * height})">', *panel, "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _bars(heading: str, spans: Mapping[str, Span]) -> list[str]:
    across = WIDTH - BARS_LEFT - RIGHT
    top = max((high for _, _, high in spans.values()), default=0.0) or 1.0
    parts = [f'<text x="{BARS_LEFT}" y="{TOP - 16}" font-size="14">{escape(heading)}</text>']
    for number, (name, (value, low, high)) in enumerate(spans.items()):
        y = TOP + BAR_STEP * number
        middle = y + BAR_HEIGHT / 2
        ends = [BARS_LEFT + across * bound / top for bound in (low, high)]
        text = "{} ({}-{})".format(*(f"{each:,.0f}" if each >= 1000 else f"{each:.2f}" for each in (value, low, high)))
        parts += [
            f'<text x="{BARS_LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{BARS_LEFT}" y="{y}" width="{across * value / top:.1f}" height="{BAR_HEIGHT}"'
            f' fill="{COLOURS[2]}"/>',
            f'<line class="tick" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{middle}" y2="{middle}" stroke="#000000"'
            ' stroke-width="2"/>',
            *(
                f'<line class="tick" x1="{end:.1f}" x2="{end:.1f}" y1="{middle - 5}" y2="{middle + 5}"'
                ' stroke="#000000" stroke-width="2"/>'
                for end in ends
            ),
            f'<text x="{BARS_LEFT + across + 8}" y="{middle + 4}">{escape(text)}</text>',
        ]
    return parts


def _panel(
    heading: str, places: Sequence[float], labels: Sequence[str], curves: Curves, dashed: str, form: str
) -> list[str]:
    across, down = WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM
    top = max((value for curve in curves.values() for value in curve), default=0.0) or 1.0
    span = (places[-1] - places[0]) or 1.0
    x = [LEFT + across * (place - places[0]) / span for place in places]

    def y(value: float) -> float:
        return TOP + down * (1 - value / top)

    parts = [f'<text x="{LEFT}" y="{TOP - 16}" font-size="14">{escape(heading)}</text>']
    for step in range(STEPS + 1):
        value = top * step / STEPS
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{LEFT + across}" y1="{y(value):.1f}" y2="{y(value):.1f}"'
            ' stroke="#dddddd"/>',
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{form.format(value)}</text>',
        ]
    for place, label in zip(x, labels, strict=True):
        parts += [
            f'<line class="tick" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP + down}" y2="{TOP + down + 5}"'
            ' stroke="#000000"/>',
            f'<text x="{place:.1f}" y="{TOP + down + 19}" text-anchor="middle">{escape(label)}</text>',
        ]
    for number, (name, curve) in enumerate(curves.items()):
        colour = BOUND_COLOUR if name == dashed else COLOURS[number % len(COLOURS)]
        dashes = ' stroke-dasharray="6 4"' if name == dashed else ' stroke-dasharray="2 3"' * (number >= len(COLOURS))
        kind = "bound" if name == dashed else f"line-{number % len(COLOURS)}"
        points = " ".join(f"{place:.1f},{y(value):.1f}" for place, value in zip(x, curve, strict=True))
        below = TOP + 8 + 18 * number
        parts += [
            f'<polyline class="{kind}" points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>',
            f'<line class="{kind}" x1="{LEFT + across + 14}" x2="{LEFT + across + 40}" y1="{below}" y2="{below}"'
            f' stroke="{colour}" stroke-width="2"{dashes}/>',
            f'<text x="{LEFT + across + 46}" y="{below + 4}">{escape(name)}</text>',
        ]
    return parts
