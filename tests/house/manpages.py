# man/ is what this writes, from the same source as --help: `make pages`. A test compares.
#
#   text of a command        paragraphs, those after \b line for line; "Examples:" and "Exit status:" get sections
#   .TH                      without a date: a page changes when its command does
#
# Source of the macros: man(7), groff_man_style(7).
"""Manual pages of every command, as roff."""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tests.support.commands import commands
from wsrv.engine.version import VERSION

FOLDER = Path(__file__).resolve().parents[2] / "man"
_SECTIONS = {"Examples:": "EXAMPLES", "Exit status:": "EXIT STATUS"}
_ESCAPES = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_FLAG = re.compile(r"(?<![^\s])(\\-[^\s,=]+)")


def pages() -> Iterator[tuple[str, str]]:
    """The name of each file, and what is in it."""
    every = list(commands())
    for context in every:
        yield f"{_name(context)}.1", page(context, every)


def page(context: click.Context, every: list[click.Context]) -> str:
    """The page of one command; it points to those above and below it."""
    command = context.command
    summary, *paragraphs = _paragraphs(command.help or "")
    lines = [
        f'.TH "{_name(context).upper()}" "1" "" "wsrv {VERSION}" "Manual of wsrv"',
        ".nh",  # a name of an option or a variable is never divided
        ".ad l",
        ".SH NAME",
        rf"{_name(context)} \- {_text(_joined(summary).partition(': ')[0].rstrip('.'))}",
        ".SH SYNOPSIS",
        rf"\fB{_text(context.command_path)}\fR {_text(' '.join(command.collect_usage_pieces(context)))}",
    ]
    named = dict.fromkeys(_SECTIONS.values(), "")
    plain = []
    for paragraph in [*paragraphs, *_paragraphs(command.epilog or "")]:
        for begins, section in _SECTIONS.items():
            if paragraph.lstrip("\b\n").startswith(begins):
                named[section] = paragraph.lstrip("\b\n").removeprefix(begins).lstrip(" \n")
                break
        else:
            plain.append(paragraph)
    lines += [".SH DESCRIPTION", _text(_joined(summary)), *(line for paragraph in plain for line in _roff(paragraph))]
    below = [each for each in every if each.parent is not None and each.parent.command is command]
    for head, rows in (
        ("COMMANDS", [(rf"\fB{_text(each.info_name or '')}\fR", _summary(each)) for each in below]),
        ("OPTIONS", list(_options(context))),
    ):
        if rows:
            lines += [f".SH {head}"]
            lines += [line for term, text in rows for line in (".TP", term, text)]
    if named["EXAMPLES"]:
        lines += [".SH EXAMPLES", *_verbatim(named["EXAMPLES"])]
    if named["EXIT STATUS"]:
        lines += [".SH EXIT STATUS", _text(_joined(named["EXIT STATUS"]))]
    others = [each for each in every if each is context.parent] + below
    if context.parent is not None:
        others += [each for each in every if each.parent is context.parent and each is not context]
    lines += [".SH SEE ALSO", ",\n".join(rf"\fB{_text(_name(each))}\fR(1)" for each in others)]
    return "\n".join(lines) + "\n"


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _summary(context: click.Context) -> str:
    return _text(_joined(_paragraphs(context.command.help or "")[0]))


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for param in context.command.get_params(context):
        found = param.get_help_record(context)
        if found is not None and isinstance(param, click.Option):
            yield _FLAG.sub(r"\\fB\1\\fR", _text(found[0])), _text(found[1])


def _paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", inspect.cleandoc(text)) if part.strip()]


def _joined(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _roff(paragraph: str) -> list[str]:
    if paragraph.startswith("\b"):
        return [".PP", *_verbatim(paragraph.lstrip("\b\n"))]
    return [".PP", _text(_joined(paragraph))]


def _verbatim(text: str) -> list[str]:
    return [".nf", *(_text(line.strip()) for line in text.splitlines()), ".fi"]


def _text(text: str) -> str:
    """The text as roff takes it for nothing else; as one word or line of it."""
    escaped = "".join(_ESCAPES.get(c, c if c.isascii() else rf"\[u{ord(c):04X}]") for c in text)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def main() -> None:
    """Write man/ anew; with `--show`, the pages to stdout, as JSON."""
    if sys.argv[1:] == ["--show"]:
        print(json.dumps(dict(pages())))
        return
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.1"):
        old.unlink()
    for name, text in pages():
        (FOLDER / name).write_text(text)
    print(f"{len(list(FOLDER.glob('*.1')))} pages in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
