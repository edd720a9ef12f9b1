"""Requirements: what they say, and what they make of a run."""

from typing import Any

import pytest

from wsrv.engine.bench.requirement import FIGURES, Requirement, figure

RUN: dict[str, Any] = {
    "rps": 1000.0,
    "failures": 0,
    "unsent": 0,
    "answers": 5000,
    "latency_ms": {"p50": 1.5, "p99": 12.0, "max": 30.0, "mean": 2.0, "min": 0.1, "sd": None},
    "corrected_ms": {"p99": 900.0},
    "client": {"cpu_share": 0.5},
    "server": {"cpu_us_per_request": 14.0},
}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p99<20ms", True),
        ("p99 < 0.012s", False),
        ("p99<=12000us", True),
        ("corrected.p99<20ms", False),
        ("errors==0", True),
        ("errors!=0", False),
        ("rps>=1000", True),
        ("rps>1000", False),
        ("median<2ms", True),
        ("client.cpu_share<60%", True),
        ("server.cpu_us<13.9", False),
        ("rps>=0.9*baseline", True),
        ("rps >= 1.1 * baseline", False),
        ("p99<=2*baseline", True),
        ("p99<2*baseline", False),
    ],
)
def test_a_requirement_is_met_or_not(text: str, met: bool) -> None:
    baseline = {**RUN, "latency_ms": {"p99": 6.0}}
    missed = Requirement.of(text).unmet(RUN, baseline)
    assert (missed is None) == met
    assert met or text in str(missed)


def test_what_was_not_measured_is_not_met() -> None:
    assert Requirement.of("sd<1ms").unmet(RUN, None) == "sd<1ms: not measured"
    assert Requirement.of("server.cpu_us<1").unmet({**RUN, "server": None}, None) is not None
    assert Requirement.of("rps>=0.9*baseline").unmet(RUN, {}) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99", "not a requirement"),
        ("p99<20", "its unit"),
        ("p99<20%", "its unit"),
        ("errors==0ms", "plain number"),
        ("p98<20ms", "there is no figure p98"),
        ("rps=>3", "not a requirement"),
        ("rps>=-3", "not a requirement"),
    ],
)
def test_what_is_no_requirement_is_told_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Requirement.of(text)


def test_every_figure_is_found_where_it_is_said_to_be() -> None:
    run: dict[str, Any] = {}
    for number, keys in enumerate(dict.fromkeys(FIGURES.values())):
        place = run
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = number
    assert {figure(run, name) for name in FIGURES} == set(map(float, range(len(set(FIGURES.values())))))
