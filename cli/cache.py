"""The commands of `wsrv cache`."""

import click

from wsrv.cli.subcommands import lazy

_SUBCOMMANDS = {
    "inspect": ("wsrv.cli.cacheinspect", "List what the cache of a running server holds."),
    "show": ("wsrv.cli.cacheshow", "Say everything about one entry of it."),
    "clear": ("wsrv.cli.cacheclear", "Drop entries from it."),
    "warm": ("wsrv.cli.cachewarm", "Load files into it before they are asked for."),
    "policy": ("wsrv.cli.cachepolicy", "Change the policy of a running server."),
    "simulate": ("wsrv.cli.simulate", "Replay a log through every policy at many sizes."),
}


@click.command("cache", cls=lazy(_SUBCOMMANDS))
def command() -> None:
    """Look into the cache of a running server, and try out what another would do.

    \b
    Examples:
      wsrv cache inspect                    what is held, and why
      wsrv cache policy sieve               another policy, while it runs
      wsrv cache simulate access.log        what would serve best
    """
