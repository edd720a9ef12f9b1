"""man/: what the commands say of themselves, and clean roff."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.house.manpages import FOLDER
from tests.support.commands import commands

pytestmark = pytest.mark.once("of the repository, not of the server")

FILES = sorted(path.name for path in FOLDER.glob("*"))
_BACKSPACED = re.compile(r".\x08")


def rendered(path: Path) -> str:
    """The page as man shows it on 80 columns, without bold."""
    environment = {"PATH": os.environ["PATH"], "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"}
    command = ["man", "--warnings=w", "-l", str(path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, ""), path.name
    return _BACKSPACED.sub("", run.stdout)


def test_pages_in_the_repository_are_what_the_commands_say() -> None:
    # In a process of its own, as `make pages` does: nothing that other tests did to a command is in them.
    command = [sys.executable, "-m", "tests.house.manpages", "--show"]
    shown = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, timeout=60)
    assert shown.returncode == 0, shown.stderr.decode()
    wanted = json.loads(shown.stdout)
    assert sorted(wanted) == FILES, "make pages"
    for name, text in wanted.items():
        assert (FOLDER / name).read_text().splitlines() == text.splitlines(), "make pages"


@pytest.mark.parametrize("name", FILES)
def test_groff_finds_nothing_wrong(name: str) -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(FOLDER / name)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_what_is_shown_has_all_of_the_help_in_it() -> None:
    for context in commands():
        shown = rendered(FOLDER / f"{context.command_path.replace(' ', '-')}.1")
        assert [line for line in shown.splitlines() if len(line) > 80] == []
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "SEE ALSO"):
            assert f"\n{section}\n" in shown, f"{context.command_path}: {section}"
        words = " ".join(shown.split())
        for option in context.command.get_params(context):
            if isinstance(option, click.Option):
                flags, text = option.get_help_record(context) or ("", "")
                assert " ".join(f"{flags} {text}".split()) in words, f"{context.command_path} {flags}"
        for line in (context.command.help or "").partition("Examples:\n")[2].partition("\n\n")[0].splitlines():
            assert line.strip() in shown, context.command_path
