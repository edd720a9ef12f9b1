# One column a size, one letter a policy:
#
#   50 |a-i
#   40 |     a-d  ab
#      |     e-i  c-i     letters that fall together stand together; three or more in a row are written a-i
#    0 +---------------
#       1KiB 2KiB 4KiB
"""A chart of miss ratios for the terminal, in plain ASCII."""

from collections.abc import Mapping, Sequence
from string import ascii_letters
from textwrap import wrap

HEIGHT = 14
WIDTH = 80


def chart(title: str, columns: Sequence[str], curves: Mapping[str, Sequence[float]], height: int = HEIGHT) -> list[str]:
    """The lines of a chart, `height` of them above zero; `columns` are the labels below, `curves` have a number from 0
    to 100 for each.
    """
    letters = dict(zip(curves, ascii_letters, strict=False))
    top = max((value for curve in curves.values() for value in curve), default=0.0) or 1.0
    cells = [["" for _ in columns] for _ in range(height + 1)]
    for name, letter in letters.items():
        for column, value in enumerate(curves[name]):
            cells[round(value / top * height)][column] += letter
    texts = [[_together(cell) for cell in row] for row in cells]
    width = 1 + max(*(len(label) for label in columns), *(len(text) for row in texts for text in row))
    lines = [title]
    for step in range(height, -1, -1):
        label = f"{top * step / height:5.1f} |" if step % 2 == 0 else "      |"
        lines.append((label + "".join(f"{text:>{width}}" for text in texts[step])).rstrip())
    lines.append("      +" + "-" * width * len(columns))
    lines.append("       " + "".join(f"{label:>{width}}" for label in columns))
    names = " ".join(f"{letter}={name}" for name, letter in letters.items())
    lines += wrap(names, WIDTH, break_long_words=False, break_on_hyphens=False)
    return lines


def _together(letters: str) -> str:
    """The letters, three or more in a row as first-last."""
    runs: list[str] = []
    for letter in letters:
        if runs and ascii_letters.index(letter) == ascii_letters.index(runs[-1][-1]) + 1:
            runs[-1] += letter
        else:
            runs.append(letter)
    return "".join(run if len(run) < 3 else f"{run[0]}-{run[-1]}" for run in runs)
