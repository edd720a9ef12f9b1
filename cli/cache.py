# The group `wsrv cache`. What a subcommand needs is imported when it is meant.
"""The commands of `wsrv cache`."""

from importlib import import_module

import click

# Name, module with its `command`, what the list says of it.
SUBCOMMANDS = {
    "inspect": ("wsrv.cli.cacheinspect", "List what the cache of a running server holds."),
    "show": ("wsrv.cli.cacheshow", "Say everything about one entry of it."),
    "clear": ("wsrv.cli.cacheclear", "Drop entries from it."),
    "warm": ("wsrv.cli.cachewarm", "Load files into it before they are asked for."),
    "policy": ("wsrv.cli.cachepolicy", "Change the policy of a running server."),
    "simulate": ("wsrv.cli.simulate", "Replay a log through every policy at many sizes."),
}


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


@click.command("cache", cls=Subcommands)
def command() -> None:
    """Look into the cache of a running server, and try out what another would do."""
