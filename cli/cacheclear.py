# `wsrv cache clear [GLOB]`: entries dropped, in every worker.
"""The command `wsrv cache clear`."""

import click

from wsrv.cli import figures, running, workers


@click.command("clear")
@click.argument("pattern", metavar="[GLOB]", required=False)
@workers.server_options
def command(pattern: str | None, name: str | None, runtime_dir: str | None) -> None:
    """Drop entries from the cache of a running server, in every worker: those whose paths match GLOB, as in the rules
    ('/img/**', '*.css'), or all.

    \b
    Examples:
      wsrv cache clear '/img/**'      pictures only
      wsrv cache clear                everything

    Exit status: 0 done, 1 a worker did not answer (it will clear when it goes on), 2 no such pattern, 3 no server
    runs.
    """
    question = {"ask": "clear", **workers.glob(pattern)}
    found = workers.ask(running.find(name, runtime_dir), question)
    number = sum(page["entries"] for page in found.last.values())
    weight = sum(page["weight"] for page in found.last.values())
    click.echo(f"{number:,} entries dropped in {len(found.last)} workers, {figures.size(weight)}B")
    workers.finish(found)
