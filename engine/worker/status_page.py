# The plain page of statistics: the report's six numbers on top, when they were had, and no script.
"""What `/_wsrv/` shows, as HTML."""

import html
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from wsrv.engine.shm.six import six_numbers

REFRESH_SECONDS = 5

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="{refresh}">
<title>wsrv {name}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
caption {{ text-align: left; font-weight: 600; padding: 1rem 0 .25rem }}
th, td {{ text-align: left; padding: .2rem .5rem .2rem 0; border-bottom: 1px solid #8884 }}
th {{ width: 55% }}
td {{ font-variant-numeric: tabular-nums }}
</style>
</head>
<body>
<h1>wsrv {name}</h1>
<p>Fetched <time datetime="{fetched}">{fetched}</time>; this page fetches itself again every {refresh} seconds.
The same as <a href="stats.json">JSON</a>.</p>
{tables}
</body>
</html>
"""


def _table(caption: str, rows: Iterable[tuple[str, Any]]) -> str:
    lines = "\n".join(
        f"<tr><th scope=row>{html.escape(label)}</th><td>{html.escape(_text(value))}</td></tr>" for label, value in rows
    )
    return f"<table><caption>{html.escape(caption)}</caption>\n{lines}\n</table>"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def render(document: Mapping[str, Any]) -> bytes:
    """The page of one statistics document."""
    tables = [
        _table("Since the start", six_numbers(document).items()),
        _table("Answers by status", document["responses"].items()),
        _table("Latency in ms", document["latency_ms"].items()),
        _table("Cache", document["cache"].items()),
        _table("Connections refused", document["connections_refused"].items()),
        _table("Requests by worker", ((f"worker {w['slot']}", w["requests_total"]) for w in document["workers"])),
    ]
    page = _PAGE.format(
        name=html.escape(str(document["name"])),
        fetched=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        refresh=REFRESH_SECONDS,
        tables="\n".join(tables),
    )
    return page.encode()
