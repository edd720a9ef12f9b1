# `wsrv cache policy [NAME]`: another policy for a server that runs.
"""The command `wsrv cache policy`."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

import click

from wsrv.cli import figures, running, workers
from wsrv.cli.exits import CANNOT_START, CHECK_FAILED, USAGE, Stop
from wsrv.cli.units import Part


@click.command("policy")
@click.argument("policy", type=Part("policy"), metavar="[NAME]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workers.server_options
def command(policy: str | None, as_json: bool, name: str | None, runtime_dir: str | None) -> None:
    """Change the cache policy of a running server to NAME, in all workers.

    Entries stay: the new policy takes them over in the order of the old one, and only what it does not take leaves.
    Without NAME, say which one it is, and what it has achieved since it became that.

    The change is for this run: --cache-policy and `cache.policy` say what the next one begins with.

    \b
    Examples:
      wsrv cache policy               which one it is, and what there are
      wsrv cache policy wtinylfu      from now on

    Exit status: 0 done, 1 a worker did not answer (it will change when it goes on), 2 no such policy, 3 no server
    runs, 5 it cannot work here.
    """
    request = {"command": "policy"} | ({} if policy is None else {"name": policy})
    answer = running.ask(running.find(name, runtime_dir), request)
    if answer.get("fault") == "unknown":
        near = difflib.get_close_matches(str(policy).lower(), answer["known"], 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise Stop(USAGE, f"no cache policy '{policy}'; the server knows: {', '.join(answer['known'])}{hint}")
    if answer.get("fault") == "parameter":
        raise Stop(USAGE, answer["why"])
    if answer.get("fault") == "unavailable":
        raise Stop(CANNOT_START, f"{policy}: {answer['why']}")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif policy is None:
        click.echo("\n".join(_table([answer])))
        click.echo(f"there are: {', '.join(answer['known'])}")
    else:
        click.echo("\n".join(_table([answer["before"], answer["after"]])))
        click.echo(f"changed in {answer['workers']} workers; {answer['left']:,} entries were not taken over")
    found = workers.Answers(silent=answer.get("silent", []), gone=answer.get("gone", []))
    if found.silent:
        raise Stop(CHECK_FAILED, "\n".join(found.complaints()))


def _table(rows: list[Mapping[str, Any]]) -> list[str]:
    heads = ("for", "entries", "bytes", "evictions", "requests", "hits", "policy")
    return figures.table(
        heads,
        [
            (
                figures.duration(row["since_seconds"]),
                f"{row['objects']:,}",
                figures.size(row["size_bytes"]),
                f"{row['evictions']:,}",
                f"{row['hits'] + row['misses']:,}",
                _ratio(row["hits"], row["misses"]),
                row["policy"],
            )
            for row in rows
        ],
        80,
    )


def _ratio(hits: int, misses: int) -> str:
    return f"{100 * hits / (hits + misses):.2f} %" if hits + misses else "-"
