# `wsrv cache show KEY`: one entry, as each worker has it.
"""The command `wsrv cache show`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from wsrv.cli import figures, running, workers
from wsrv.cli.cacheinspect import named
from wsrv.cli.exits import NOT_HELD, Stop


@click.command("show")
@click.argument("key", metavar="KEY")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workers.server_options
def command(key: str, as_json: bool, name: str | None, runtime_dir: str | None) -> None:
    """Say everything about the entry for the path KEY, as `wsrv cache inspect` lists it: in every worker, in what they
    share, on every host, in every coding.

    \b
    Examples:
      wsrv cache show /index.html
      wsrv cache show /app.js --json

    Exit status: 0 shown, 1 a worker did not answer, 3 no server runs, 6 no worker holds it.
    """
    found = workers.ask(running.find(name, runtime_dir), {"ask": "show", "key": key})
    entries = found.entries()
    if as_json:
        silent, gone = ([*map(workers.called, numbers)] for numbers in (found.silent, found.gone))
        click.echo(json.dumps({"schema": 1, "entries": entries, "silent": silent, "gone": gone}, indent=2))
    elif entries:
        click.echo("\n\n".join("\n".join(described(entry)) for entry in entries))
    workers.finish(found)
    if not entries:
        raise Stop(NOT_HELD, f"no worker holds {key}; see wsrv cache inspect")


def _where(worker: int | str) -> str:
    return "for all workers" if worker == workers.SHARED else f"in worker {worker}"


def described(entry: Mapping[str, Any]) -> Iterator[str]:
    """The lines about an entry."""
    identity = entry["identity"] or {}
    yield f"{named(entry)} {_where(entry['worker'])}"
    for label, text in (
        ("file", entry["file"]),
        ("is", ", ".join(f"{name} {value}" for name, value in identity.items() if not name.endswith("_ns"))),
        ("modified", f"{identity['mtime_ns'] / 1e9:.9f}" if identity else "-"),
        ("changed", f"{identity['ctime_ns'] / 1e9:.9f}" if identity else "-"),
        ("bytes", f"{entry['bytes']:,}; weight {entry['weight']:,}"),
        ("age", f"{entry['age_seconds']} s; looked at {entry['checked_seconds']} s ago"),
        ("fresh", f"for {entry['fresh_seconds']} s more" if entry["fresh_seconds"] else "no: the next request looks"),
        ("hits", f"{entry['hits']:,}; the last {entry['idle_seconds']} s ago"),
        ("policy", figures.state(entry["state"])),
        ("lines", f"{entry['lines']} request lines lead to it"),
        *(("prepared", f"{one['method']} {one['connection'] or '-'}: {one['hits']:,}") for one in entry["prepared"]),
        *(("field", f"{name}: {value}") for name, value in entry["fields"]),
    ):
        yield f"  {label:<10}{figures.plain(str(text))}"
