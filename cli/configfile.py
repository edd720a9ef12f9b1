# A file of settings, in either of two languages: TOML (wsrv.toml), or lines KEY=value (server.conf).
#
# Which one it is: a name that ends in .toml is TOML; `server.conf` is KEY=value; for any other name the first line
# that says something decides. wsrv.toml has no key in capitals, so the two cannot be confused.
"""Config files, read."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.voice import plain

_CAPITALS = re.compile(r"\s*[A-Z][A-Z0-9_]*\s*=")


class Malformed(Stop):
    """The file is there, and is not written in its language. The message says where."""

    def __init__(self, message: str) -> None:
        super().__init__(USAGE, plain(message))


@dataclass(frozen=True)
class ConfigFile:
    """Settings as a file has them.

    `entries`: values by dotted key, not looked at yet. `lines`: where each stands, as far as that is known.
    `names`: what the file calls a key, where that is something else. `faults`: what is wrong with the file apart from
    its values, with the line. `notes`: what it says and wsrv does not heed.
    """

    path: Path
    entries: Mapping[str, Any]
    lines: Mapping[str, int]
    names: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """What relative paths in it are relative to."""
        return str(self.path.absolute().parent)

    def where(self, key: str) -> str:
        """The file and the line of `key`, as `wsrv.toml:3`."""
        return f"{self.path}:{self.lines[key]}" if key in self.lines else str(self.path)

    def origin(self, key: str) -> str:
        """The place of `key` and its name there, as `wsrv.toml:3: server.port`."""
        return f"{self.where(key)}: {self.names.get(key, key)}"


def read(path: Path) -> ConfigFile:
    """The settings in `path`. Raises Stop when it cannot be read, Malformed when what it holds cannot."""
    text = read_text(path)
    if _is_server_conf(path, text):
        from wsrv.cli import serverconf

        return serverconf.parse(path, text)
    from wsrv.cli import tomlfile

    return tomlfile.parse(path, text)


def read_text(path: Path) -> str:
    """What the file holds. Raises Stop when it cannot be read, Malformed when it is no text."""
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise Stop(USAGE, f"cannot read the config file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Malformed(f"{path}: this is no text: {error}") from error


def places(file: ConfigFile) -> tuple[Path, ...]:
    """The names of the file in the file system: as it was given, and behind links and /dev/stdin."""
    return tuple(dict.fromkeys((file.path.absolute(), Path(os.path.realpath(file.path)))))


def _is_server_conf(path: Path, text: str) -> bool:
    name = path.name.lower()
    if name.endswith(".toml"):
        return False
    if name == "server.conf":
        return True
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", ";")))
    return _CAPITALS.match(next(lines, "")) is not None
