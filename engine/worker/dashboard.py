# The files of the dashboard: a page, and what it loads, all of it from here.
#
# Rule 1: they are read once, at the start of a worker: no request waits for the disk.
# Rule 2: the page may load and ask nothing but what is below its own path (Content-Security-Policy), and no other page
#         may show it in a frame.
"""The dashboard's files, ready to be sent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsrv.engine.static.entity import Entity, of_bytes
from wsrv.engine.static.mime import content_type
from wsrv.engine.worker.status_page import render

_PAGE = "index.html"
# What stands under a name of its own below the path of the dashboard.
_ELSEWHERE = {
    b"uplot.js": "uplot/uPlot.iife.min.js",
    b"uplot.css": "uplot/uPlot.min.css",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FIELDS = (
    (b"Cache-Control", b"no-store"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)
_PAGE_FIELDS = (*_FIELDS, (b"Content-Security-Policy", _POLICY), (b"Referrer-Policy", b"no-referrer"))


class Dashboard:
    """The page of `folder`, and `files` by their names. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._template = (folder / _PAGE).read_text("utf-8")
        own = {path.name.encode(): path for path in folder.iterdir() if path.is_file() and path.name != _PAGE}
        places = own | {name: folder / place for name, place in _ELSEWHERE.items()}
        self.files: Mapping[bytes, Entity] = {
            name: of_bytes(200, content_type(name), path.read_bytes(), _FIELDS) for name, path in places.items()
        }

    def page(self, document: Mapping[str, Any]) -> Entity:
        """The page; for who runs no scripts it has the numbers of `document` in it."""
        return of_bytes(200, content_type(_PAGE.encode()), render(self._template, document), _PAGE_FIELDS)
