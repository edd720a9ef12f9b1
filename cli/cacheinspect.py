# `wsrv cache inspect`: what a running server holds.
#
# Rule: what is sorted is sorted where it is: each worker sends the N that are wanted, not the hundred thousand it has.
"""The command `wsrv cache inspect`."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from wsrv.cli import figures, running, workers

_SCHEMA = 1
_ORDERS = ("hits", "last", "bytes", "weight", "age", "key")
_MOST = 1000
_SHOWN_DEPARTURES = 5
# Columns before what has left: four others, and spaces between.
_BEFORE_LEFT = 5 + 6 + 6 + 9 + 4 * 2


@click.command("inspect")
@click.option("--sort", type=click.Choice(_ORDERS), default="hits", show_default=True, help="What comes first.")
@click.option("--filter", "pattern", metavar="GLOB", help="Only paths that match, as in the rules: '/img/**', '*.css'.")
@click.option("--top", type=click.IntRange(0, _MOST), default=20, show_default=True, help="How many; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workers.server_options
def command(sort: str, pattern: str | None, top: int, as_json: bool, name: str | None, runtime_dir: str | None) -> None:
    """List what the cache of a running server holds.

    Each worker has a cache of its own, so a file may be listed once for each. Last hits are told to the second. With
    --cache-scope shared the worker of an entry is a number for what a worker keeps in front, and `shared` for what is
    held for all: its hits are those that a front did not answer, or told of.

    \b
    Examples:
      wsrv cache inspect                             what is asked for most
      wsrv cache inspect --sort bytes --top 5        what takes the most room
      wsrv cache inspect --filter '/img/**' --json | jq .totals

    Exit status: 0 shown, 1 a worker did not answer, 2 wrong usage or no such pattern, 3 no server runs.
    """
    question = {"ask": "entries", **workers.glob(pattern), "sort": sort}
    # By key nobody can choose the first before all are here.
    question["top"] = 0 if sort == "key" else top
    found = workers.ask(running.find(name, runtime_dir), question)
    entries = _sorted(found.entries(), sort)
    entries = entries[:top] if top else entries
    shown = document(entries, found)
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    else:
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
        click.echo("\n".join(table(shown, width)))
    workers.finish(found)


def document(entries: Sequence[Mapping[str, Any]], found: workers.Answers) -> dict[str, Any]:
    """Everything that is shown, as JSON has it."""
    departures = [
        {**departure, "worker": workers.called(worker)}
        for worker, last in found.last.items()
        for departure in last["departures"]
    ]
    told = ("policy", "objects", "size_bytes", "evictions", "matching", "bequeathed", "negative", "logical_bytes")
    each = [
        {"worker": workers.called(worker), **{key: last[key] for key in told if key in last}}
        for worker, last in sorted(found.last.items())
    ]
    summed = ("objects", "size_bytes", "evictions", "matching", "negative")
    totals = {key: sum(one.get(key, 0) for one in each) for key in summed}
    return {
        "schema": _SCHEMA,
        "entries": list(entries),
        "totals": totals,
        "workers": each,
        "departures": sorted(departures, key=lambda departure: departure["seconds_ago"]),
        "silent": [*map(workers.called, found.silent)],
        "gone": [*map(workers.called, found.gone)],
    }


def _sorted(entries: list[workers.Document], sort: str) -> list[workers.Document]:
    def by_key(entry: Mapping[str, Any]) -> tuple[Any, ...]:
        return entry["path"], entry["host"], entry["coding"], str(entry["worker"])

    if sort == "key":
        return sorted(entries, key=by_key)
    field, sign = {"last": ("idle_seconds", 1), "age": ("age_seconds", -1)}.get(sort, (sort, -1))
    return sorted(entries, key=lambda entry: (sign * entry[field], by_key(entry)))


def named(entry: Mapping[str, Any]) -> str:
    """An entry's host and path, and its coding."""
    return figures.plain(entry["host"] + _with(entry["path"], entry["coding"]))


def _with(path: str, coding: str) -> str:
    return f"{path} ({coding})" if coding else path


def table(shown: Mapping[str, Any], width: int) -> list[str]:
    """The lines for people."""
    heads = ("hits", "last", "age", "bytes", "weight", "worker", "state", "entry")
    rows = [
        (
            f"{entry['hits']}",
            figures.duration(entry["idle_seconds"]),
            figures.duration(entry["age_seconds"]),
            figures.size(entry["bytes"]),
            figures.size(entry["weight"]),
            f"{entry['worker']}",
            figures.state(entry["state"]),
            named(entry),
        )
        for entry in shown["entries"]
    ]
    lines = figures.table(heads, rows, width) if rows else ["nothing that matches is held"]
    totals = shown["totals"]
    policies = ", ".join(sorted({one["policy"] for one in shown["workers"]}))
    shares = f"{len(rows):,} of {totals['matching']:,} shown"
    lines += ["", *_summed(shown, shares, policies)]
    if totals["negative"]:
        lines.append(f"{totals['negative']:,} paths remembered as missing, for a moment")
    departures = _departures(shown)[:_SHOWN_DEPARTURES]
    if departures:
        left = [
            (
                figures.duration(one["seconds_ago"]),
                figures.size(one["weight"]),
                f"{one['worker']}",
                one["reason"],
                _left(_with(one["path"], one["coding"]), one["pushed_by"], width - _BEFORE_LEFT),
            )
            for one in departures
        ]
        lines += ["", *figures.table(("ago", "weight", "worker", "reason", "left"), left, width)]
    return lines


def _departures(shown: Mapping[str, Any]) -> list[workers.Document]:
    """What has left the cache. What a front had no room for is still held for all."""
    departures: list[workers.Document] = shown["departures"]
    if not any(one["worker"] == workers.SHARED for one in shown["workers"]):
        return departures
    making_room = ("capacity", "refused")
    return [one for one in departures if one["worker"] == workers.SHARED or one["reason"] not in making_room]


def _summed(shown: Mapping[str, Any], shares: str, policies: str) -> list[str]:
    """What there is in all: in a line, or one more where workers share a cache."""
    totals, each = shown["totals"], shown["workers"]
    shared = next((one for one in each if one["worker"] == workers.SHARED), None)
    if shared is None:
        held = f"{totals['objects']:,} held, {figures.size(totals['size_bytes'])}B, in {len(each)} workers"
        return [f"{shares}; {held}; policy {policies}; {totals['evictions']:,} evictions"]
    fronts = {key: totals[key] - shared[key] for key in ("objects", "size_bytes", "evictions")}
    return [
        f"{shares}; {shared['objects']:,} held for all, {figures.size(shared['size_bytes'])}B with "
        f"{figures.size(shared['logical_bytes'])}B in them; policy {policies}; {shared['evictions']:,} evictions",
        f"{fronts['objects']:,} in the fronts of {len(each) - 1} workers, {figures.size(fronts['size_bytes'])}B; "
        f"{fronts['evictions']:,} evictions",
    ]


def _left(entry: str, pushed_by: str | None, width: int) -> str:
    """What has left, and for what: each shortened by itself, so that both can be told."""
    if not pushed_by:
        return figures.plain(entry)
    each = max(8, (width - len(" for ")) // 2)
    # What the one does not take, the other may.
    first, second = figures.plain(entry), figures.plain(pushed_by)
    first = figures.shortened(first, max(each, width - len(" for ") - len(second)))
    return f"{first} for {figures.shortened(second, max(each, width - len(' for ') - len(first)))}"
