# The arrays of tables of wsrv.toml: rules by path, and hosts with rules of their own.
#
#     [[redirect]]  [[rewrite]]  [[header]]  [[auth]]  [[error]]      of the site
#     [[host]]                                                       a site for other names
#     [[host.redirect]]  …                                           of that site
#
# Rule 1: these have no option and no variable: they stand in a file, or nowhere.
# Rule 2: a fault names the line of the very key; several are told at once, as everywhere.
# Rule 3: what a host does not say of itself is as [site] says; rules are its own alone.
"""Reading redirects, rewrites, header rules, protected places, error pages and hosts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wsrv.cli.configfile import ConfigFile
from wsrv.cli.table import SETTINGS
from wsrv.cli.units import Kind, Place
from wsrv.cli.words import FieldTable, HostNames, Number, Text

_NEEDED = object()
_ERROR_STATUSES = (400, 401, 403, 404, 405, 406, 408, 410, 412, 413, 414, 416, 417, 421, 429, 431, 500, 501, 503, 505)

_PATTERN = "a pattern of paths such as /old/**, /img/*.png or *.js"


@dataclass(frozen=True)
class Key:
    """A key of an array's tables. Without a `default` it has to be there; None means: as [site] has it."""

    name: str
    kind: Kind
    help: str
    default: Any = _NEEDED


@dataclass(frozen=True)
class Array:
    """An array of tables. `inner` are the arrays that each of its tables may hold."""

    name: str
    help: str
    keys: tuple[Key, ...]
    example: str
    inner: tuple["Array", ...] = ()


@dataclass(frozen=True)
class Row:
    """A table of an array. `origin`: where it stands, as `wsrv.toml:3: redirect`; `values` and `rows` by name."""

    origin: str
    values: Mapping[str, Any]
    rows: Mapping[str, tuple["Row", ...]] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)


RULES: tuple[Array, ...] = (
    Array(
        "redirect",
        "Paths that match are sent elsewhere; the first rule that matches decides.",
        (
            Key("from", Text(_PATTERN), "The paths, as a pattern."),
            Key("to", Text("a path or URL"), "A path or a URL; $1, $2 … are what the stars stood for."),
            Key("status", Number(301, 302, 303, 307, 308), "How: 301 and 308 say that it is for good.", 302),
        ),
        'from = "/blog/**"\nto = "/news/$1"\nstatus = 301',
    ),
    Array(
        "rewrite",
        "Paths that match are answered with another file, unseen; the first rule that matches decides.",
        (
            Key("from", Text(_PATTERN), "The paths, as a pattern."),
            Key("to", Text("a path"), "The path that is looked up instead; $1, $2 … as in redirects."),
        ),
        'from = "/app/**"\nto = "/app/index.html"',
    ),
    Array(
        "header",
        "Files that match are sent with these fields; of one name the last rule counts.",
        (
            Key("match", Text(_PATTERN), "The paths, as a pattern."),
            Key("set", FieldTable(), 'Names and values; "" takes a field away, a list sends it several times.'),
        ),
        'match = "*.woff2"\nset = { Cache-Control = "public, max-age=604800" }',
    ),
    Array(
        "auth",
        "Paths that match are for users with a password; the first rule that matches decides.",
        (
            Key("match", Text(_PATTERN), "The paths, as a pattern."),
            Key("file", Place(), "A password file, as `htpasswd -B` writes it."),
            Key("realm", Text("a text"), "What browsers call it.", "protected"),
        ),
        'match = "/private/**"\nfile = "users.htpasswd"\nrealm = "members"',
    ),
    Array(
        "error",
        "Pages for errors, where they are not called 404.html and the like.",
        (
            Key("status", Number(*_ERROR_STATUSES), "Which error."),
            Key("page", Text("a path of the site, such as /errors/missing.html"), "Its page, below the root."),
        ),
        'status = 404\npage = "/errors/missing.html"',
    ),
)

_SITE_KEYS = tuple(
    Key(setting.name, setting.kind, setting.help, None)
    for setting in SETTINGS
    if setting.table == "site" and setting.key != "site.root"
)
HOST = Array(
    "host",
    "A site of its own for other names. What it does not say is as [site] has it; rules are [[host.redirect]] …",
    (
        Key("names", HostNames(), "The names, without port; *.example.org is every name below example.org."),
        Key("root", Place(folder=True), "The folder that is served."),
        *_SITE_KEYS,
    ),
    'names = ["blog.example.org", "*.blog.example.org"]\nroot = "blog"',
    RULES,
)
ARRAYS: tuple[Array, ...] = (*RULES, HOST)
NAMES = tuple(array.name for array in ARRAYS)


def read(file: ConfigFile | None) -> tuple[dict[str, tuple[Row, ...]], list[tuple[int, str]]]:
    """The rows of every array by its name, and what is wrong with others: lines and messages."""
    faults: list[tuple[int, str]] = []
    reader = _Reader(file, faults) if file is not None else None
    rows = {
        array.name: reader.array(array, array.name, file.entries[array.name])
        if reader is not None and file is not None and array.name in file.entries
        else ()
        for array in ARRAYS
    }
    if reader is not None and not faults:
        reader.check_hosts(rows["host"])
    return rows, faults


class _Reader:
    """Reads the arrays of one file; faults are gathered."""

    def __init__(self, file: ConfigFile, faults: list[tuple[int, str]]) -> None:
        self._file = file
        self._faults = faults

    def array(self, array: Array, path: str, tables: Any) -> tuple[Row, ...]:
        """The rows of the array at `path`, as far as they are right."""
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._fault(path, f"{path} is an array of tables: write [[{_plain(path)}]], and below it {_names(array)}")
            return ()
        found = [self._row(array, f"{path}[{number}]", table) for number, table in enumerate(tables)]
        return tuple(row for row in found if row is not None)

    def _row(self, array: Array, path: str, table: dict[str, Any]) -> Row | None:
        before = len(self._faults)
        keys = {key.name: key for key in array.keys}
        inner = {one.name: one for one in array.inner}
        for name in table:
            if name not in keys and name not in inner:
                self._fault(f"{path}.{name}", f"no key of [[{_plain(path)}]] is called {name}; {_hint(name, array)}")
        values: dict[str, Any] = {}
        for name, key in keys.items():
            if name in table:
                self._value(key, f"{path}.{name}", table[name], values)
            elif key.default is _NEEDED:
                self._fault(path, f"{_plain(path)}: {name} is missing: {key.help}")
            elif key.default is not None:
                values[name] = key.default
        rows = {name: self.array(one, f"{path}.{name}", table.get(name, [])) for name, one in inner.items()}
        if len(self._faults) != before:
            return None
        places = {name: f"{self._where(f'{path}.{name}')}: {_plain(path)}.{name}" for name in keys}
        row = Row(f"{self._where(path)}: {_plain(path)}", values, rows, places)
        if fault := _refusal(array.name, row):
            self._fault(path, f"{_plain(path)}: {fault}")
            return None
        return row

    def _value(self, key: Key, path: str, given: Any, values: dict[str, Any]) -> None:
        try:
            values[key.name] = key.kind.read(given, self._file.folder)
        except ValueError as error:
            self._fault(path, f"{_plain(path)}: {error}")

    def check_hosts(self, hosts: tuple[Row, ...]) -> None:
        """A name that two hosts have."""
        owners: dict[str, Row] = {}
        for number, row in enumerate(hosts):
            for name in row.values["names"]:
                if name in owners:
                    other = owners[name].origin.removesuffix(": host")
                    self._fault(
                        f"host[{number}].names", f"host.names: {name!r} is a name of the host at {other} already"
                    )
                owners[name] = row

    def _fault(self, path: str, message: str) -> None:
        self._faults.append((self._line(path) or 0, f"{self._where(path)}: {message}"))

    def _where(self, path: str) -> str:
        line = self._line(path)
        return str(self._file.path) if line is None else f"{self._file.path}:{line}"

    def _line(self, path: str) -> int | None:
        """The line of `path`, or of the nearest thing around it that has one."""
        for around in _around(path):
            if around in self._file.lines:
                return self._file.lines[around]
        return None


def _around(path: str) -> Iterator[str]:
    """`host[0].redirect[1].from`, `host[0].redirect[1]`, `host[0].redirect`, `host[0]`, `host`."""
    while path:
        yield path
        path = path[: max(path.rfind("."), path.rfind("["))] if "." in path or "[" in path else ""


def _plain(path: str) -> str:
    """A path without the numbers of its tables, as the header of a table has it."""
    return re.sub(r"\[\d+\]", "", path)


def _names(array: Array) -> str:
    return ", ".join([*(key.name for key in array.keys), *(f"[[{array.name}.{one.name}]]" for one in array.inner)])


def _hint(name: str, array: Array) -> str:
    from wsrv.cli.values import nearest

    known = [key.name for key in array.keys] + [one.name for one in array.inner]
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"there are: {_names(array)}"


def _refusal(name: str, row: Row) -> str:
    """Why the engine would not take this row; "" when it does."""
    from pathlib import Path

    from wsrv.engine.settings import SiteSettings
    from wsrv.engine.static.rules import Rules

    if name == "host":
        return ""
    try:
        Rules(SiteSettings(Path(), Path(), **engine_rules({name: (row,)})))
    except ValueError as error:
        return str(error)
    return ""


def written(array: Array, rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """The tables that make `rows`, with every value written out."""
    tables = []
    for row in rows:
        table = {key.name: key.kind.write(row.values[key.name]) for key in array.keys if key.name in row.values}
        inner = {one.name: written(one, row.rows[one.name]) for one in array.inner}
        tables.append(table | {name: found for name, found in inner.items() if found})
    return tables


def engine_rules(rows: Mapping[str, tuple[Row, ...]]) -> dict[str, Any]:
    """The rules as the fields of the engine's SiteSettings."""
    from pathlib import Path

    from wsrv.engine.settings import AuthRule, HeaderRule, RedirectRule, RewriteRule

    def values(name: str) -> list[Mapping[str, Any]]:
        return [row.values for row in rows.get(name, ())]

    return {
        "redirects": tuple(RedirectRule(v["from"], v["to"], v["status"]) for v in values("redirect")),
        "rewrites": tuple(RewriteRule(v["from"], v["to"]) for v in values("rewrite")),
        "headers": tuple(HeaderRule(v["match"], v["set"]) for v in values("header")),
        "auth": tuple(AuthRule(v["match"], v["realm"], Path(v["file"])) for v in values("auth")),
        "error_pages": tuple((v["status"], v["page"]) for v in values("error")),
    }
