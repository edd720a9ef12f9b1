"""--help: what it is to have, for every command."""

import re
import shlex

import click
import pytest

from tests.support.commands import commands
from wsrv.cli.main import PROGRAM
from wsrv.cli.table import FILE_VARIABLE, SETTINGS
from wsrv.plugins.entrypoints import DISABLE_VARIABLE

CONTEXTS = {context.command_path: context for context in commands()}
# What ends a call, in a line of a shell.
_ENDS = ("|", ";", "&&", ">", ">>", "&")
_COMMENT = re.compile(r"(?<=\S)\s{2,}(?=\S).*")


@pytest.fixture(params=CONTEXTS)
def context(request: pytest.FixtureRequest) -> click.Context:
    return CONTEXTS[request.param]


def help_of(context: click.Context) -> str:
    return context.command.get_help(context)


def examples(text: str) -> list[str]:
    """The lines under "Examples:", without what is said of them."""
    _, _, after = text.partition("  Examples:\n")
    lines = after.partition("\n\n")[0].splitlines()
    return [_COMMENT.sub("", line.strip()) for line in lines]


def calls(line: str) -> list[list[str]]:
    """The arguments of each call of wsrv in a line for a shell."""
    inner = re.search(r"\$\((.*)\)", line)
    words = shlex.split(inner[1] if inner else line)
    found: list[list[str]] = []
    is_ours = False
    for place, word in enumerate(words):
        if word == PROGRAM and not is_ours:
            assert all("=" in before for before in words[:place]) or words[place - 1] in _ENDS, line
            found.append([])
            is_ours = True
        elif word in _ENDS:
            is_ours = False
        elif is_ours:
            found[-1].append(word)
    return found


def parse(args: list[str]) -> str:
    """What a person would get for these arguments, but that nothing is done: the command's path. Raises UsageError."""
    path = PROGRAM
    while isinstance(CONTEXTS[path].command, click.Group):
        path, args = f"{path} {args[0]}", args[1:]
    found = CONTEXTS[path]
    found.command.make_context(found.info_name, list(args), parent=found.parent)
    return path


def test_there_are_examples_and_each_is_understood(context: click.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = examples(help_of(context))
    assert len(lines) >= 2
    meant = [parse(args) for line in lines for args in calls(line)]
    assert len(meant) >= len(lines)
    assert any(path.startswith(context.command_path) for path in meant)


def test_an_example_that_is_wrong_would_be_seen() -> None:
    assert calls("A=1 wsrv stats --json | jq .x && wsrv reload") == [["stats", "--json"], ["reload"]]
    for line in ("wsrv stats --jason", "wsrv bench -c many", "wsrv log tail --status 6xx"):
        with pytest.raises(click.UsageError):
            parse(*calls(line))


@pytest.mark.parametrize("width", [80, 160])
def test_help_fits_its_terminal(context: click.Context, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert [line for line in help_of(context).splitlines() if len(line) > min(width, 100)] == []


def test_every_option_says_what_it_does_and_what_it_is_without(context: click.Context) -> None:
    for option in context.command.get_params(context):
        if not isinstance(option, click.Option):
            continue
        said = option.get_help_record(context)
        assert said is not None, option.name
        _, text = said
        assert text[:1].isupper(), f"{option.name}: {text!r}"
        if option.to_info_dict()["default"] and not option.is_flag:
            assert "default: " in text, f"{option.name}: {text!r}"


def test_lists_of_commands_cut_no_sentence_off(context: click.Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    if isinstance(context.command, click.Group):
        _, _, listed = help_of(context).partition("\nCommands:\n")
        assert listed
        assert all(line.endswith(".") for line in listed.partition("\n\n")[0].splitlines())


def test_every_variable_that_is_named_is_one(context: click.Context) -> None:
    known = {setting.variable for setting in SETTINGS} | {FILE_VARIABLE, DISABLE_VARIABLE}
    assert set(re.findall(r"\bWSRV_[A-Z_]+", help_of(context))) <= known
