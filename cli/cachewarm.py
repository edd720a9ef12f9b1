# `wsrv cache warm [GLOB]`: files loaded before anybody asks for them.
"""The command `wsrv cache warm`."""

import click

from wsrv.cli import figures, running, workers
from wsrv.cli.progress import Progress


@click.command("warm")
@click.argument("pattern", metavar="[GLOB]", required=False)
@workers.server_options
def command(pattern: str | None, name: str | None, runtime_dir: str | None) -> None:
    """Load files into the cache of a running server, in every worker: those whose paths match GLOB, as in the rules
    ('/img/**', '*.css'), or all.

    Nothing has to leave for them: when a cache is full, its worker stops. A cache of all workers is loaded by one of
    them. Files are loaded as they are; what is compressed for browsers is compressed when the first one asks.

    \b
    Examples:
      wsrv cache warm                 all there is room for
      wsrv cache warm '*.css'         style sheets only

    Exit status: 0 done, 1 a worker did not answer, 2 no such pattern, 3 no server runs.
    """
    question = {"ask": "warm", **workers.glob(pattern)}
    server = running.find(name, runtime_dir)
    seen: dict[int, int] = {}
    with Progress() as progress:
        progress.begin("files looked at:")

        def hear(worker: int, page: workers.Document) -> None:
            progress.step(page["looked_at"] - seen.get(worker, 0))
            seen[worker] = page["looked_at"]

        found = workers.ask(server, question, hear)
    total = {key: sum(last[key] for last in found.last.values()) for key in ("loaded", "there", "full", "bytes")}
    full = sum(last["is_full"] for last in found.last.values())
    if any(last["shares"] for last in found.last.values()):
        where, are_full = "for all workers", "the cache is full"
    else:
        where, are_full = f"in {len(found.last)} workers", f"{full} caches are full"
    click.echo(
        f"{total['loaded']:,} entries loaded {where}, {figures.size(total['bytes'])}B; {total['there']:,} were there"
        + (f"; {are_full}" if full else f"; {total['full']:,} found no room" if total["full"] else "")
    )
    workers.finish(found)
