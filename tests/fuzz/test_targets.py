# Every file of the corpus once; then what Hypothesis makes up, of what is in the corpus and of nothing.
"""Nothing that is sent or written breaks what reads it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.http.heads import mutated

CORPUS = Path(__file__).parent / "corpus"
SEEDS = {name: [path.read_bytes() for path in sorted((CORPUS / name).iterdir())] for name in TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_before_holds(name: str) -> None:
    assert SEEDS[name]
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_made_up_holds(name: str) -> None:
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.one_of(mutated(st.sampled_from(SEEDS[name])), st.binary(max_size=200)))
    def holds(raw: bytes) -> None:
        TARGETS[name](raw)

    holds()


def test_every_folder_of_the_corpus_has_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
