"""BENCH.md names what `wsrv bench` prints for programs: all of it, and nothing else."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.test_bench import bench

PAGE = Path(__file__).parents[2] / "BENCH.md"
# What stands in the page where keys are what was seen.
SEEN = {
    "statuses": "STATUS",
    "errors": "KIND",
    "server.refused": "REASON",
    "server.slowest.by_worker": "WORKER",
    "server.slowest.by_cache": "RESULT",
}
# There only when something goes wrong.
FAULTS = {"errors.KIND", "server.refused.REASON"}


def section(heading: str) -> str:
    return PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def documented() -> set[str]:
    rows = re.findall(r"^\| (`.+?) \|", section("The document"), re.M)
    return {name for row in rows for name in re.findall("`([^`]+)`", row)}


def keys(found: Any, place: str = "") -> Iterator[str]:
    """The keys of a document, as the page writes them."""
    if isinstance(found, list) and found and isinstance(found[0], dict):
        for each in found:
            yield from keys(each, f"{place}[]")
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from keys(value, f"{place}.{SEEN.get(place, key)}".lstrip("."))
    else:
        yield place


def test_the_keys_of_the_document_and_the_columns_are_those_of_the_page() -> None:
    how = ("-n", "400", "-c", "4", "--warm-up", "0s", "--rounds", "1", "--compare", "workers=1,2")
    run = bench(*how, "--json", "--", "--log-format", "json")
    runs = json.loads(run.stdout)
    printed = {key for each in runs for key in keys(each)}
    empty = {"errors", "server.refused", "client.limits"}
    assert printed - empty == documented() - FAULTS - {"client.limits"}
    heads, *lines = csv.reader(io.StringIO(bench(*how, "--csv").stdout))
    assert heads == re.split(r"[,\s]+", section("The columns of `--csv`").split("```")[1].strip())
    assert [line[heads.index("contender")] for line in lines] == ["1", "2"]
    assert set(heads) <= documented()
    # Each column has something in it; but these, where nothing of it was wanted.
    assert {head for line in lines for head, text in zip(heads, line, strict=True) if not text} == {
        "settings.rate",
        "settings.server",
    }
