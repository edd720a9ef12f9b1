# `wsrv stats`: asks the running server, shows what it says.
#
# Rule 1: the document is the server's. With --json it goes out as it came; the table shows what it knows of it, and
#         takes a missing key or a null for "not measured", so that older and newer servers can be read.
# Rule 2: nothing that a server says of itself reaches the terminal unprintable.
"""The command `wsrv stats`."""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from wsrv.cli import running
from wsrv.cli.workers import server_options

_LABEL_WIDTH = 13
_WIDTH = 80
_NOTHING = "-"
# Columns of the workers' table that go, the first one first, where it is too wide.
_LEAST = ("pid", "restarts", "heartbeat", "connections")


@click.command("stats")
@click.option("--json", "as_json", is_flag=True, help="Print the whole document as JSON.")
@click.option("--sync", is_flag=True, help="Show how locks and semaphores were used, and waited for.")
@click.option("-w", "--watch", is_flag=True, help="Go on each second: rates, bars, percentiles; Ctrl-C ends it.")
@server_options
def command(name: str | None, as_json: bool, sync: bool, watch: bool, runtime_dir: str | None) -> None:
    """Show what a running server does.

    \b
    Examples:
      wsrv stats                                     the totals since the start
      wsrv stats --watch                             what happens now
      wsrv stats --sync                              who waits for which lock
      wsrv stats --json | jq .requests_total
      wsrv stats --json --watch >> samples.jsonl     a line a second

    Exit status: 0 shown, 2 several servers run and no --name says which, 3 none runs.
    """
    if watch and sync:
        raise click.UsageError("--watch and --sync exclude each other; what is watched has the locks in it")
    if as_json and sync:
        raise click.UsageError("--json and --sync exclude each other; the JSON has `sync_objects` in it")
    server = running.find(name, runtime_dir)
    if watch:
        from wsrv.cli.watch import watch as watch_server

        watch_server(server, as_json)
        return
    document = running.ask(server, {"command": "stats"})
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        width = min(_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _WIDTH
        click.echo("\n".join(sync_table(document) if sync else table(document, width)))


def table(document: Mapping[str, Any], width: int = _WIDTH) -> list[str]:
    """The lines of the table, at most `width` columns each, where the texts are not longer."""
    lines = [f"wsrv {_plain(document.get('version'))}, up {_duration(document.get('uptime_seconds'))}", ""]
    for label, texts in (
        ("name", [_plain(document.get("name"))]),
        ("listens on", [_plain(listener) for listener in document.get("listeners") or []]),
        ("parts", [f"ipc {_plain(document.get('ipc'))}", f"sync {_plain(document.get('sync'))}"]),
        ("requests", _requests(document)),
        ("sent", [_size(document.get("bytes_sent"))]),
        ("connections", _connections(document)),
        ("answers", _counts(document.get("responses"))),
        ("limits", _counts(document.get("limits"))),
        ("tls", _counts(document.get("tls"))),
        ("proxy", _counts(document.get("proxy"))),
        ("troubles", _counts(document.get("troubles"))),
        ("cache", _cache(_mapping(document.get("cache")))),
        ("latency", _latency(_mapping(document.get("latency_ms")))),
        ("log", [f"{_count(document['log_dropped'])} lines dropped"] if document.get("log_dropped") else []),
    ):
        lines += _row(label, texts, width)
    return [*lines, "", *_workers(document.get("workers"), width)]


def _requests(document: Mapping[str, Any]) -> list[str]:
    total, uptime = document.get("requests_total"), document.get("uptime_seconds")
    rate = f"{total / uptime:,.1f}/s over the uptime" if total is not None and uptime else ""
    internal = document.get("internal_requests_total")
    return [_count(total), rate, f"{_count(internal)} internal" if internal else ""]


def _connections(document: Mapping[str, Any]) -> list[str]:
    refused = _mapping(document.get("connections_refused"))
    reasons = ", ".join(f"{_plain(reason)} {_count(count)}" for reason, count in refused.items() if count)
    return [
        f"{_count(document.get('connections_active'))} active",
        f"{_count(document.get('connections_total'))} in all",
        f"{_count(sum(filter(None, refused.values())))} refused" + (f" ({reasons})" if reasons else ""),
    ]


def _cache(cache: Mapping[str, Any]) -> list[str]:
    hits, misses = cache.get("hits") or 0, cache.get("misses") or 0
    return [
        f"{100 * hits / (hits + misses):.1f} % hits" if hits + misses else "not used yet",
        f"{_count(cache.get('objects'))} objects",
        f"{_size(cache.get('size_bytes'))} of {_size(cache.get('capacity_bytes'))}",
        f"{_count(cache.get('evictions'))} evictions",
        *([f"{_count(negative)} negative hits"] if (negative := cache.get("negative_hits")) else []),
        f"policy {_plain(cache.get('policy'))}",
        f"scope {_plain(cache.get('scope'))}",
    ]


def _latency(latency: Mapping[str, Any]) -> list[str]:
    names = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "max": "max"}
    return [f"{shown} {_milliseconds(latency.get(key))}" for key, shown in names.items()]


def _counts(counts: Any) -> list[str]:
    return [f"{_plain(key)}: {_count(count)}" for key, count in sorted(_mapping(counts).items()) if count]


def _workers(workers: Any, width: int) -> list[str]:
    """A line a worker; where there is little room, without what matters least."""
    heads = ("worker", "pid", "restarts", "requests", "connections", "heartbeat")
    rows = [
        (
            _count(worker.get("slot")),
            _plain(worker.get("pid")),
            _count(worker.get("restarts")),
            _count(worker.get("requests_total")),
            _count(worker.get("connections_active")),
            _age(worker.get("heartbeat_age_seconds")),
        )
        for worker in workers or []
    ]
    columns = list(zip(heads, *rows, strict=True))
    for least in _LEAST:
        if sum(max(map(len, column)) + 2 for column in columns) - 2 > width:
            columns = [column for column in columns if column[0] != least]
    return _columns(list(zip(*columns, strict=True)))


def sync_table(document: Mapping[str, Any]) -> list[str]:
    """How locks and semaphores were used, a line each, of all processes together."""
    heads = ("guard", "acquired", "contended", "waited")
    rows = [
        (
            _plain(used.get("name")),
            _count(used.get("acquired")),
            _count(used.get("contended")),
            _milliseconds(used.get("wait_ms")),
        )
        for used in document.get("sync_objects") or []
    ]
    return [f"sync {_plain(document.get('sync'))}", "", *_columns([heads, *rows])]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, each column as wide as it must be, flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True)) for row in rows]


def _row(label: str, texts: Iterable[str], width: int) -> list[str]:
    """The label, and the texts beside it, wrapped between texts where they do not fit."""
    lines: list[str] = []
    for text in filter(None, texts):
        if lines and len(lines[-1]) + len(text) + 2 <= width:
            lines[-1] += f"  {text}"
        else:
            lines.append(f"{'' if lines else label:<{_LABEL_WIDTH}}{text}")
    return lines


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(value: Any) -> str:
    """The value as text that does nothing to a terminal."""
    return _NOTHING if value is None else "".join(c if c.isprintable() else "?" for c in str(value))


def _count(value: int | None) -> str:
    return _NOTHING if value is None else f"{value:,}"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms" if value < 1000 else f"{value / 1000:,.2f} s"


def _age(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1f} s ago"


def _size(value: float | None) -> str:
    if value is None:
        return _NOTHING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.0f} B" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _NOTHING
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
