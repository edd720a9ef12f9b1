"""The commands of `wsrv log`."""

import click

from wsrv.cli.subcommands import lazy

_SUBCOMMANDS = {"tail": ("wsrv.cli.logtail", "Show the last lines of an access log, and follow it.")}


@click.command("log", cls=lazy(_SUBCOMMANDS))
def command() -> None:
    """Read the access log.

    \b
    Examples:
      wsrv log tail -f                      what is asked, as it is
      wsrv log tail -f --status 5xx         what goes wrong
    """
