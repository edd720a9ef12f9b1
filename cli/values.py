# How a value is found for each setting of the table.
#
# Rule 1: flags > WSRV_* > the config file > defaults; each value remembers where it came from.
# Rule 2: nothing starts with a setting that is wrong; every fault found is told, one line each, with place and remedy.
"""From flags, environment and file to one value a setting."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from wsrv.cli import configfile, contenttypes, rules
from wsrv.cli.configfile import ConfigFile
from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.table import FILE_NAME, FILE_VARIABLE, KEYS, SETTINGS, TABLES, TIMEOUTS, VARIABLE_PREFIX, Setting
from wsrv.cli.units import AUTO
from wsrv.cli.voice import plain

DEFAULT = "default"


@dataclass(frozen=True)
class Value:
    """What a setting is set to, and where: `--port`, `WSRV_PORT`, `wsrv.toml:3: server.port` or `default`.

    `layer` is one of flag, environment, file, default.
    """

    value: Any
    origin: str
    layer: str = DEFAULT


def config_file(given: str | None, environ: Mapping[str, str]) -> ConfigFile | None:
    """The file of --config or WSRV_CONFIG, else ./wsrv.toml if there is one. Raises Stop when it cannot be read."""
    if named := given or environ.get(FILE_VARIABLE):
        return configfile.read(Path(named).expanduser())
    return configfile.read(Path(FILE_NAME)) if os.path.lexists(FILE_NAME) else None


def resolve(flags: Mapping[str, Any], environ: Mapping[str, str], file: ConfigFile | None) -> dict[str, Value]:
    """The value of every setting, by key. `flags` holds what click has read, by parameter, None where not given.

    Raises Stop that names every wrong value and unknown key.
    """
    values, faults = survey(flags, environ, file)
    if faults:
        raise Stop(USAGE, "\n".join(faults))
    return values


def survey(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: ConfigFile | None
) -> tuple[dict[str, Value], list[str]]:
    """The values that can be had, and what is wrong with the others, a line each, in the order of the file.

    Under the name of the table of content types stands a dict, under that of an array of tables its rows.
    """
    faults: list[tuple[int, str]] = []
    values: dict[str, Value] = {}
    lines = file.lines if file is not None else {}
    for setting in SETTINGS:
        try:
            values[setting.key] = _find(setting, flags, environ, file)
        except ValueError as error:
            faults.append((lines.get(setting.key, 0), str(error)))
    types, wrong_types = contenttypes.read(file)
    values[contenttypes.TABLE] = Value(types, str(file.path), "file") if file and types else Value(types, DEFAULT)
    faults += wrong_types
    rows, wrong_rows = rules.read(file)
    for name, found in rows.items():
        values[name] = Value(found, file.where(name), "file") if file is not None and found else Value((), DEFAULT)
    faults += wrong_rows
    if file is not None:
        for key, value in file.entries.items():
            if not (_is_known(key, value) or contenttypes.is_of_table(key)):
                faults.append((lines.get(key, 0), _unknown(key, value, file)))
        faults += file.faults
    # A key may hold anything, quoted; a fault is a line whatever it is about.
    return values, [plain(text) for _, text in sorted(faults, key=itemgetter(0))]


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """What there is to say of variables that are called like settings and are none, a line each.

    No fault: other programs may use the prefix, and a variable that is set to nothing counts as not set.
    """
    from wsrv.plugins.entrypoints import DISABLE_VARIABLE

    known = {setting.variable.removeprefix(VARIABLE_PREFIX): setting.variable for setting in SETTINGS}
    known |= {setting.key: setting.variable for setting in SETTINGS}
    read = {*known.values(), FILE_VARIABLE, DISABLE_VARIABLE}
    lines = []
    for name in sorted(environ):
        if name.startswith(VARIABLE_PREFIX) and name not in read and environ[name]:
            near = nearest(name.removeprefix(VARIABLE_PREFIX), known)
            hint = f"; did you mean {known[near]}?" if near else ""
            lines.append(f"{name} is set, and no setting has that variable{hint}")
    return lines


def in_force(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values with AUTO worked out for this machine; the name stays AUTO where the port is not known yet."""
    from wsrv.cli import addresses
    from wsrv.cli.cpus import usable
    from wsrv.cli.running import default_directories

    port = addresses.first_port(values)
    values = {**values, "server.listen": addresses.in_force(values)}
    worked_out: dict[str, Callable[[], Any]] = {
        "server.workers": usable,
        "server.name": lambda: str(port) if port else AUTO,
        "server.runtime_dir": lambda: str(default_directories()[0]),
        **{key: lambda: values["server.timeout"].value for key in TIMEOUTS},
    }
    return {
        key: replace(value, value=worked_out[key]()) if key in worked_out and value.value == AUTO else value
        for key, value in values.items()
    }


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The known key that was probably meant."""
    from difflib import get_close_matches

    text = key.lower().replace("-", "_")
    last = text.rpartition(".")[2]
    keys = {k.lower(): k for k in known}
    # A right word under the wrong table is a nearer miss than any spelling.
    same = [k for k in keys if last in (k.rpartition(".")[2], k.replace(".", "_"))]
    alike = [k for k in keys if get_close_matches(last, [k.rpartition(".")[2], k.replace(".", "_")], 1)]
    related = [k for k in keys if set(re.split("[._]", last)) & set(re.split("[._]", k))]
    for some in (same, get_close_matches(text, keys, 1), alike, related):
        if some:
            return keys[get_close_matches(text, some, 1, cutoff=0)[0]]
    return None


def _find(setting: Setting, flags: Mapping[str, Any], environ: Mapping[str, str], file: ConfigFile | None) -> Value:
    """Raises ValueError; the message says where the value stands."""
    if flags.get(setting.parameter) is not None:
        return Value(flags[setting.parameter], setting.flag, "flag")
    if text := environ.get(setting.variable):  # set to nothing counts as not set
        return Value(_read(setting, text, setting.variable), setting.variable, "environment")
    if file is not None and setting.key in file.entries:
        origin = file.origin(setting.key)
        return Value(_read(setting, file.entries[setting.key], origin, file.folder), origin, "file")
    return Value(setting.kind.read(setting.default), DEFAULT)


def _read(setting: Setting, value: Any, origin: str, base: str = "") -> Any:
    try:
        return setting.kind.read(value, base)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from None


def _is_known(key: str, value: Any) -> bool:
    return key in KEYS or key in rules.NAMES or (key in TABLES and value == {})


def _unknown(key: str, value: Any, file: ConfigFile) -> str:
    """The fault of a key that no setting has, with the nearest one that there is."""
    array = key.partition(".")[0]
    if array in rules.NAMES:
        return f"{file.where(key)}: {array} is an array of tables: write [[{array}]]"
    if key in TABLES:
        return f"{file.where(key)}: {key} is a table: write [{key}], and below it {_names_in(key)}"
    is_table = isinstance(value, dict | list)
    what, known = ("table", (*TABLES, contenttypes.TABLE, *rules.NAMES)) if is_table else ("setting", KEYS)
    near = nearest(key, known)
    hint = f"did you mean {near}?" if near else f"there are: {', '.join(known)}"
    return f"{file.where(key)}: no {what} is called {key}; {hint}"


def _names_in(table: str) -> str:
    return ", ".join(setting.name for setting in SETTINGS if setting.table == table)
