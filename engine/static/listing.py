# What is in a folder, as a page and as JSON.
#
# Rule 1: only what could be had is listed: no hidden or withheld name, no link that leads out of the root or nowhere,
#         nothing but files and folders.
# Rule 2: names are bytes. A link holds every byte of its name, escaped; what is shown is text, with whatever could not
#         be shown, or would turn the line around, replaced.
# Rule 3: made by a pool thread, in slices of a few hundred entries, each a fraction of a millisecond of Python, with a
#         pause in which the loop has the GIL: a folder of 100,000 entries delays no other answer.
# Rule 4: time and memory are bounded: of more than MAX_READ entries the rest is not looked at, of what was read
#         MAX_SHOWN are sent. The page says so.
"""Listings of folders."""

import heapq
import html
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote_from_bytes

from wsrv.engine.static.file import identify
from wsrv.engine.static.openat2 import open_beneath
from wsrv.engine.static.target import is_hidden
from wsrv.engine.static.withheld import Withheld

MAX_READ = 200_000
MAX_SHOWN = 10_000

_SLICE = 128
_PAUSE_SECONDS = 0.0005

HTML = b"text/html; charset=utf-8"
JSON = b"application/json"

# Shown though Python does not call them printable: joiners of emoji and scripts, and spaces that are not the usual one.
_SHOWN_TOO = frozenset("\u00a0\u200c\u200d\u2009\u202f\u3000")

_PLAIN = b"""<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title><!--title--></title>
<h1><!--heading--></h1>
<!--crumbs-->
<table><thead><tr><!--columns--></tr></thead>
<tbody>
<!--rows-->
</tbody></table>
<!--note-->
</html>
"""


class Entry(NamedTuple):
    """A file or folder. `size` is 0 for a folder."""

    name: bytes
    is_folder: bool
    size: int
    mtime_ns: int


class Wish(NamedTuple):
    """How a client wants a listing. `form` is HTML or JSON."""

    sort: str = "name"
    descending: bool = False
    form: bytes = HTML

    @classmethod
    def of(cls, query: bytes, prefers_json: bool) -> "Wish":
        """What `query` says: sort=name|size|time, order=asc|desc, format=html|json; whatever else, it does not."""
        found = parse_qs(query.decode("latin-1"), max_num_fields=64) if query.count(b"&") < 64 else {}
        sort = found.get("sort", ["name"])[0]
        form = found.get("format", ["json" if prefers_json else "html"])[0]
        return cls(
            sort if sort in _KEYS else "name",
            found.get("order", ["asc"])[0] == "desc",
            JSON if form == "json" else HTML,
        )


class Contents(NamedTuple):
    """What was found: how many, and the first of them in order. `more`: there were more than were read."""

    shown: list[Entry]
    folders: int
    files: int
    more: bool


def _folded(entry: Entry) -> tuple[str, bytes]:
    return entry.name.decode("utf-8", "replace").casefold(), entry.name


_KEYS: dict[str, Callable[[Entry], Any]] = {
    "name": _folded,
    "size": lambda entry: (entry.size, *_folded(entry)),
    "time": lambda entry: (entry.mtime_ns, *_folded(entry)),
}


class Lister:
    """Lists folders beneath a root. `pause` is called between slices. Safe to use from several threads."""

    def __init__(
        self,
        withheld: Withheld,
        *,
        dotfiles: bool,
        no_links: bool,
        template: bytes = b"",
        pause: Callable[[], None] = lambda: time.sleep(_PAUSE_SECONDS),
    ) -> None:
        self._withheld = withheld
        self._dotfiles = dotfiles
        self._no_links = no_links
        self._template = template or _PLAIN
        self._pause = pause

    def listing(self, root_fd: int, path: bytes, wish: Wish) -> bytes:
        """The listing of the folder `path`, which is b"" or ends with a slash. Raises OSError."""
        folder_fd = open_beneath(
            root_fd, path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK, no_links=self._no_links
        )
        try:
            contents = self._contents(root_fd, folder_fd, path, wish)
        finally:
            os.close(folder_fd)
        return self._as_json(path, contents) if wish.form == JSON else self._as_page(path, contents, wish)

    def _contents(self, root_fd: int, folder_fd: int, path: bytes, wish: Wish) -> Contents:
        groups: tuple[list[Entry], list[Entry]] = ([], [])
        withheld = self._withheld.identities()
        more = False
        with os.scandir(folder_fd) as found:
            for number, seen in enumerate(found):
                if number % _SLICE == _SLICE - 1:
                    self._pause()
                if number == MAX_READ:
                    more = True
                    break
                entry = self._entry(root_fd, path, seen, withheld)
                if entry is not None:
                    groups[not entry.is_folder].append(entry)
        folders, files = groups
        # Folders have no size to speak of.
        by_size = wish.sort == "size"
        ordered = [*self._sorted(folders, "name" if by_size else wish.sort, wish.descending and not by_size)]
        if len(ordered) < MAX_SHOWN:
            ordered += islice(self._sorted(files, wish.sort, wish.descending), MAX_SHOWN - len(ordered))
        return Contents(ordered[:MAX_SHOWN], len(folders), len(files), more)

    def _entry(
        self, root_fd: int, path: bytes, seen: "os.DirEntry[str]", withheld: frozenset[tuple[int, int]]
    ) -> Entry | None:
        """What a name stands for; None when it is not to be listed, or is gone already."""
        name = os.fsencode(seen.name)
        if self._withheld.names(name) or (not self._dotfiles and is_hidden(name)):
            return None
        try:
            if seen.is_symlink():
                if self._no_links:
                    return None
                found = identify(root_fd, path + name, nowait=False)
            else:
                found = seen.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                return Entry(name, True, 0, found.st_mtime_ns)
            if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino) in withheld:
                return None
        except OSError:
            return None
        return Entry(name, False, found.st_size, found.st_mtime_ns)

    def _sorted(self, entries: list[Entry], sort: str, descending: bool) -> Iterator[Entry]:
        """`entries` in order: slices sorted one by one, then merged, so that no single step is long."""
        key = _KEYS[sort]
        slices = []
        for begin in range(0, len(entries), _SLICE):
            slices.append(sorted(entries[begin : begin + _SLICE], key=key, reverse=descending))
            self._pause()
        return self._paced(heapq.merge(*slices, key=key, reverse=descending))

    def _paced(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for number, entry in enumerate(entries, start=1):
            if number % _SLICE == 0:
                self._pause()
            yield entry

    # As JSON.

    def _as_json(self, path: bytes, contents: Contents) -> bytes:
        pieces = []
        for entry in self._paced(contents.shown):
            document = {
                "name": entry.name.decode("utf-8", "replace"),
                "href": _href(entry),
                "type": "folder" if entry.is_folder else "file",
                "size": None if entry.is_folder else entry.size,
                "modified": _iso(entry.mtime_ns),
            }
            pieces.append(json.dumps(document))
        head = {
            "schema": 1,
            "path": "/" + path.decode("utf-8", "replace"),
            "folders": contents.folders,
            "files": contents.files,
            "complete": len(contents.shown) == contents.folders + contents.files and not contents.more,
        }
        opening = json.dumps(head).removesuffix("}")
        joined = ",\n".join(pieces)
        return f'{opening}, "entries": [\n{joined}\n]}}\n'.encode()

    # As a page.

    def _as_page(self, path: bytes, contents: Contents, wish: Wish) -> bytes:
        rows = [] if not path else ['<tr><td class="folder"><a href="../">..</a></td><td></td><td></td></tr>\n']
        rows += [_row(entry) for entry in self._paced(contents.shown)]
        filling = {
            b"title": _escaped(b"/" + path),
            b"heading": f"Contents of {_escaped(b'/' + path)}",
            b"crumbs": _crumbs(path),
            b"columns": "".join(_column(sort, title, wish) for sort, title in _COLUMNS),
            b"rows": "".join(rows).rstrip("\n"),
            b"note": _note(contents),
        }
        pieces = []
        # Cut at the markers of the template, never at one that a name may hold.
        rest = self._template
        for marker, text in filling.items():
            before, _, rest = rest.partition(b"<!--%b-->" % marker)
            pieces += [before, text.encode()]
        return b"".join([*pieces, rest])


_COLUMNS = (("name", "Name"), ("size", "Size"), ("time", "Modified (UTC)"))


def _column(sort: str, title: str, wish: Wish) -> str:
    order, state = "asc", ""
    if wish.sort == sort:
        order = "asc" if wish.descending else "desc"
        state = f' aria-sort="{"descending" if wish.descending else "ascending"}"'
    return f'<th scope="col"{state}><a href="?sort={sort}&amp;order={order}">{title}</a></th>'


def _row(entry: Entry) -> str:
    shown = _escaped(entry.name) + ("/" if entry.is_folder else "")
    kind = ' class="folder"' if entry.is_folder else ""
    size = "" if entry.is_folder else f'<data value="{entry.size}">{human(entry.size)}</data>'
    moment = _iso(entry.mtime_ns)
    when = f'<time datetime="{moment}">{moment[:16].replace("T", " ")}</time>'
    return f'<tr><td{kind}><a href="{_href(entry)}"><bdi>{shown}</bdi></a></td><td>{size}</td><td>{when}</td></tr>\n'


def _crumbs(path: bytes) -> str:
    """The folders above, each a link that also holds behind a proxy that puts a path in front."""
    names = [b"", *path.rstrip(b"/").split(b"/")] if path else [b""]
    items = []
    for above, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
        current = "" if above else ' aria-current="page"'
        shown = _escaped(name) if name else "root"
        items.append(f'<li><a href="{"../" * above or "./"}"{current}><bdi>{shown}</bdi></a></li>')
    return f"<ol>{''.join(items)}</ol>"


def _note(contents: Contents) -> str:
    folders = "1 folder" if contents.folders == 1 else f"{contents.folders:,} folders"
    files = "1 file" if contents.files == 1 else f"{contents.files:,} files"
    text = f"{folders}, {files}."
    if contents.more:
        text = f"More than {MAX_READ:,} entries; the rest was not looked at."
    if len(contents.shown) < contents.folders + contents.files:
        text += f" <strong>Only the first {len(contents.shown):,} are shown.</strong>"
    return f"<p>{text}</p>"


def _href(entry: Entry) -> str:
    # "./" in front, or a name with a colon would be a scheme, and one of two slashes a host.
    return "./" + quote_from_bytes(entry.name, safe="") + ("/" if entry.is_folder else "")


def _escaped(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return html.escape("".join(c if c.isprintable() or c in _SHOWN_TOO else "\ufffd" for c in text))


def _iso(moment_ns: int) -> str:
    """A time as RFC 3339 has it; one that no calendar reaches is the epoch."""
    try:
        return datetime.fromtimestamp(moment_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"


def human(size: int) -> str:
    """A size as people say it: `17 B`, `1.4 KiB`, `83 MiB`."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        value /= 1024
        if value < 1023.95 or unit == "EiB":
            break
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
