# The cells of the last test were written down once; what changes them changes what workers and simulations agree on.
"""The sketch never counts too low, seldom too high, and forgets nothing when it grows."""

import random

from hypothesis import given
from hypothesis import strategies as st

from wsrv.plugins.policies.sketch import MOST, Sketch

COUNTS = st.dictionaries(st.binary(max_size=8), st.integers(0, MOST), max_size=200)


@given(counts=COUNTS, grown=st.integers(0, 3))
def test_no_count_is_too_low_however_often_it_has_grown(counts: dict[bytes, int], grown: int) -> None:
    sketch = Sketch()
    for key, count in counts.items():
        sketch.raise_to(key, count)
    before = {key: sketch.count(key) for key in counts}
    for _ in range(grown):
        sketch.grow()
    assert {key: sketch.count(key) for key in counts} == before
    assert all(before[key] >= count for key, count in counts.items())


@given(counts=COUNTS)
def test_halving_halves(counts: dict[bytes, int]) -> None:
    sketch = Sketch()
    for key, count in counts.items():
        sketch.raise_to(key, count)
    before = {key: sketch.count(key) for key in counts}
    sketch.halve()
    assert {key: sketch.count(key) for key in counts} == {key: count // 2 for key, count in before.items()}


def test_few_counts_are_too_high_when_a_cell_serves_one_key() -> None:
    sketch = Sketch()
    while sketch.cells < 1024:
        sketch.grow()
    draw = random.Random(1)
    counts = {b"/file-%d" % number: draw.choice((1, 1, 1, 2, 8)) for number in range(1000)}
    for key, count in counts.items():
        sketch.raise_to(key, count)
    wrong = sum(sketch.count(key) != count for key, count in counts.items())
    assert wrong < 150
    strangers = sum(sketch.count(b"/other-%d" % number) > 1 for number in range(1000))
    assert strangers < 150


def test_a_key_has_the_same_cells_in_every_process() -> None:
    sketch = Sketch()
    sketch.raise_to(b"/index.html", 5)
    assert [row.index(5) for row in sketch._rows] == [254, 75, 32, 216]
