# wsrv.toml, read: which keys, which values, on which lines.
#
# tomllib gives no line numbers, so a key's line is looked for in the text. That is only ever used in a message, and
# is right for files as people write them; where a key cannot be found, the file is named without a line.
"""Reading wsrv.toml."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsrv.cli.exits import USAGE, Stop

_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z0-9_\-.\"' ]+?)\s*=")


@dataclass(frozen=True)
class ConfigFile:
    """A file of settings: `entries` by dotted key, and its `text`, to find lines in."""

    path: Path
    entries: Mapping[str, Any]
    text: str

    @property
    def folder(self) -> str:
        """What relative paths in it are relative to."""
        return str(self.path.absolute().parent)

    def where(self, key: str) -> str:
        """The file and the line of `key`, as `wsrv.toml:3`."""
        line = next((n for n, found in _keys(self.text) if found == key or key.startswith(found + ".")), None)
        return f"{self.path}:{line}" if line else str(self.path)


def read(path: Path) -> ConfigFile:
    """The settings in `path`. Raises Stop when it cannot be read or is no TOML."""
    import tomllib

    try:
        text = path.read_text("utf-8")
        return ConfigFile(path, dict(_flatten(tomllib.loads(text))), text)
    except OSError as error:
        raise Stop(USAGE, f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Stop(USAGE, f"{path} is not TOML: {error}") from error


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key; an empty table counts as one, so that an unknown one is noticed."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _keys(text: str) -> Iterator[tuple[int, str]]:
    """Lines and the dotted keys that begin on them; an inline table is found by its own key, tables come last."""
    table = ""
    tables: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _plain(header[1])
            tables.append((number, table))
        elif assignment := _ASSIGNMENT.match(line):
            key = _plain(assignment[1])
            yield number, f"{table}.{key}" if table else key
    yield from tables


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))
