# The statistics as plain tables, for who runs no scripts: the report's six numbers on top, and when they were had.
"""What `/_wsrv/` shows without its script."""

import html
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from wsrv.engine.shm.six import six_numbers


def _table(caption: str, rows: Iterable[tuple[str, Any]]) -> str:
    lines = "\n".join(
        f"<tr><th scope=row>{html.escape(label)}</th><td>{html.escape(_text(value))}</td></tr>" for label, value in rows
    )
    return f"<table><caption>{html.escape(caption)}</caption>\n<tbody>\n{lines}\n</tbody></table>"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _pairs(found: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """What has a value of its own."""
    return ((name, value) for name, value in found.items() if not isinstance(value, Mapping))


def render(template: str, document: Mapping[str, Any]) -> bytes:
    """The page of one statistics document."""
    tables = [
        _table("Since the start", six_numbers(document).items()),
        _table("Answers by status", document["responses"].items()),
        _table("Latency in ms", document["latency_ms"].items()),
        _table("Cache", _pairs(document["cache"])),
        _table("Connections refused", document["connections_refused"].items()),
        _table("Requests by worker", ((f"worker {w['slot']}", w["requests_total"]) for w in document["workers"])),
    ]
    fetched = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    parts = {"name": html.escape(str(document["name"])), "fetched": fetched, "tables": "\n".join(tables)}
    page = template
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page.encode()
