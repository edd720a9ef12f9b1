# Requests to a worker taken apart, and its answers as a test wants to look at them.
"""Asking a workbench that has a site with rules."""

from pathlib import Path
from typing import Any

from tests.worker.workbench import Client, Workbench, statuses
from wsrv.engine.settings import SiteSettings

PAGES = Path(__file__).resolve().parents[2] / "www" / "errors"
BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"


def site(root: Path, **settings: Any) -> SiteSettings:
    return SiteSettings(root=root, pages=PAGES, templates=PAGES.parent / "templates", **settings)


def request(target: str, *fields: str, host: str = "a", method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", "")).encode("latin-1")


def get(
    bench: Workbench, target: str, *fields: str, client: Client | None = None, **how: str
) -> tuple[int, str, bytes]:
    """Status, head and body of one answer."""
    answer = bench.answers(client or bench.client(), request(target, *fields, **how))
    head, _, body = answer.partition(b"\r\n\r\n")
    return statuses(answer)[0], head.decode("latin-1") + "\r\n", body


def hits(bench: Workbench, target: str, *fields: str, host: str = "a") -> bytes:
    """The answer that the hot path gives; nothing when it does not know one."""
    slow: list[bytes] = []
    bench.hot._slow = lambda conn, seen, now_ns: slow.append(seen)
    try:
        client = bench.client()
        return bench.ask(client, request(target, *fields, host=host))
    finally:
        bench.hot._slow = bench.intake.feed
