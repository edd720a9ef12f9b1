"""The table of faults in ARCHITECTURE.md names tests that there are, and every fault that `make chaos` does."""

import ast
import re
from pathlib import Path

from tests.chaos.faults import FAULTS

REPOSITORY = Path(__file__).resolve().parents[2]


def shown_by() -> list[list[str]]:
    """What shows each fault of the table."""
    text = (REPOSITORY / "ARCHITECTURE.md").read_text()
    section = text.partition("\n## Faults\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")][1:]
    return [re.findall(r"`([^`]+)`", row[4]) for row in rows]


def names_there() -> set[str]:
    """The names of all tests."""
    found = set()
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.add(node.name)
    return found


def test_every_fault_of_the_table_is_shown_by_something_that_there_is() -> None:
    rows = shown_by()
    assert len(rows) > 20
    assert all(rows)
    assert {name for row in rows for name in row} - names_there() - set(FAULTS) == set()


def test_every_fault_of_chaos_is_in_the_table() -> None:
    assert set(FAULTS) - {name for row in shown_by() for name in row} == set()
