# The group `wsrv log`. What a subcommand needs is imported when it is meant.
"""The commands of `wsrv log`."""

from importlib import import_module

import click

# Name, module with its `command`, what the list says of it.
SUBCOMMANDS = {"tail": ("wsrv.cli.logtail", "Show the last lines of an access log, and follow it.")}


class Subcommands(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        found: click.Command = import_module(SUBCOMMANDS[cmd_name][0]).command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in SUBCOMMANDS.items()])


@click.command("log", cls=Subcommands)
def command() -> None:
    """Read the access log."""
