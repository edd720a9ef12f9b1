# wsrv.toml: which keys, which values, on which lines.
#
# tomllib gives no line numbers, so a key's line is looked for in the text. That is only ever used in a message, and
# is right for files as people write them; where a key cannot be found, the file is named without a line. A key in the
# second table of an array [[redirect]] is called `redirect[1].from` there.
"""Reading wsrv.toml."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wsrv.cli.configfile import ConfigFile, Malformed

_TABLE = re.compile(r"\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"""\s*((?:[A-Za-z0-9_\-. ]|"[^"]*"|'[^']*')+?)\s*=""")
_PLACE_OF_FAULT = re.compile(r"(.*) \(at line (\d+), column (\d+)\)")


def parse(path: Path, text: str) -> ConfigFile:
    """The settings in `text`, which was read from `path`. Raises Malformed when it is no TOML."""
    import tomllib

    try:
        entries = dict(_flatten(tomllib.loads(text)))
    except (ValueError, RecursionError) as error:
        if place := _PLACE_OF_FAULT.fullmatch(str(error)):
            raise Malformed(f"{path}:{place[2]}: this is not TOML: {place[1]}, column {place[3]}") from error
        raise Malformed(f"{path} is not TOML: {error}") from error
    found = list(_keys(text))
    lines = {key: line for line, key in reversed(found) if "[" in key}
    lines |= {key: line for key in entries if (line := _line(key, found))}
    return ConfigFile(path, entries, lines)


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key; an empty table counts as one, so that an unknown one is noticed."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _line(key: str, found: list[tuple[int, str]]) -> int | None:
    return next((line for line, name in found if name == key or key.startswith(name + ".")), None)


def _keys(text: str) -> Iterator[tuple[int, str]]:
    """Lines and the dotted keys that begin on them; an inline table is found by its own key, tables come last."""
    table = ""
    tables: list[tuple[int, str]] = []
    arrays: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _TABLE.match(line):
            table = _numbered(_plain(header[2]), arrays, is_new=bool(header[1]))
            tables.append((number, table))
            if header[1]:
                tables.append((number, table.rpartition("[")[0]))
        elif assignment := _ASSIGNMENT.match(line):
            key = _plain(assignment[1])
            yield number, f"{table}.{key}" if table else key
    yield from tables


def _numbered(table: str, arrays: dict[str, int], *, is_new: bool) -> str:
    """`host.redirect` as `host[0].redirect[2]`. `arrays` holds the number of the last table of each array so far."""
    parts = table.split(".")
    path = ""
    for part in parts[:-1] if is_new else parts:
        path = f"{path}.{part}" if path else part
        if path in arrays:
            path += f"[{arrays[path]}]"
    if not is_new:
        return path
    path = f"{path}.{parts[-1]}" if path else parts[-1]
    arrays[path] = arrays.get(path, -1) + 1
    return f"{path}[{arrays[path]}]"


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))
