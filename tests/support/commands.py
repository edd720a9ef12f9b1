"""Every command of wsrv, in the order of the help; those of plugins are not among them."""

from collections.abc import Iterator

import click

from wsrv.cli.main import COMMANDS, PROGRAM, program


def commands() -> Iterator[click.Context]:
    """A context for each command, the program's own first; its command_path is what a person types."""
    yield from _below(click.Context(program, info_name=PROGRAM, **program.context_settings), list(COMMANDS))


def _below(context: click.Context, names: list[str]) -> Iterator[click.Context]:
    yield context
    assert isinstance(context.command, click.Group)
    for name in names:
        command = context.command.get_command(context, name)
        assert command is not None, name
        inner = click.Context(command, info_name=name, parent=context, **command.context_settings)
        if isinstance(command, click.Group):
            yield from _below(inner, command.list_commands(inner))
        else:
            yield inner


def named(path: str) -> click.Context:
    """The context of the command that is called so: `cache inspect`."""
    return next(context for context in commands() if context.command_path == f"{PROGRAM} {path}".rstrip())
