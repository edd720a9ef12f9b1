# A group of commands. What a command needs is imported when it is meant, and not to list it.
"""Commands below a command."""

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click

# By name: the module with its `command`, and what the list says of it.
Subcommands = Mapping[str, tuple[str, str]]


class LazyGroup(click.Group):
    """A group whose commands are imported one by one: `subcommands`, set by whoever makes one of it."""

    subcommands: ClassVar[Subcommands]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.subcommands:
            return None
        found: click.Command = import_module(self.subcommands[cmd_name][0]).command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in self.subcommands.items()])


def lazy(subcommands: Subcommands) -> type[LazyGroup]:
    """The class of a group of these."""
    return type("LazyGroup", (LazyGroup,), {"subcommands": subcommands})
