# Every setting, in one table: from it come the options of `serve`, the environment variables and the keys of wsrv.toml.
#
# Rule 1: flags > WSRV_* > the config file > defaults; each value remembers where it came from.
# Rule 2: nothing starts with a setting that is wrong; every fault found is told, one line each, with place and remedy.
# Rule 3: the names follow from the key. `cache.size` is --cache-size and WSRV_CACHE_SIZE; what stands under `server`
#         drops that word: `server.port` is --port and WSRV_PORT.
"""The table of settings, and how a value is found for each."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from wsrv.cli import tomlfile
from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.units import Count, Host, Kind, LogFormat, Part, Place, Seconds, ServerName, Size

FILE_NAME = "wsrv.toml"
FILE_VARIABLE = "WSRV_CONFIG"

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Setting:
    """One row. `default` is written as a user would write it; None is worked out at start, as `unset` says."""

    key: str
    kind: Kind
    default: str | int | None
    help: str
    option: bool = True
    unset: str = ""

    @property
    def _name(self) -> str:
        return self.key.removeprefix("server.").replace(".", "_")

    @property
    def flag(self) -> str:
        """The option on the command line, where there is one."""
        return "--" + self._name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "WSRV_" + self._name.upper()

    @property
    def parameter(self) -> str:
        """What click calls the option's value."""
        return self._name

    @property
    def default_text(self) -> str:
        """The default, for a person."""
        return self.unset if self.default is None else str(self.default)


@dataclass(frozen=True)
class Value:
    """What a setting is set to, and where: `--port`, `WSRV_PORT`, `wsrv.toml:3: server.port` or `default`."""

    value: Any
    origin: str


DEFAULT = "default"

SETTINGS: tuple[Setting, ...] = (
    Setting("site.root", Place(folder=True), ".", "The folder that is served.", option=False),
    Setting("server.host", Host(), "127.0.0.1", "Address or name to listen on; 0.0.0.0 for every interface."),
    Setting("server.port", Count(0, 65535), 8080, "Port to listen on; 0 takes a free one."),
    Setting("server.workers", Count(1, 1024), None, "Processes that answer.", unset="as many as there are CPUs to use"),
    Setting("server.threads", Count(1, 1024), 10, "Threads a worker, for file work that would block."),
    Setting("server.queue", Count(1, 65536), 1024, "Connections that may wait for one worker; past it, 503."),
    Setting("server.ipc", Part("transports"), "socketpair", "How a connection travels from master to worker."),
    Setting("server.sync", Part("primitives"), "posix", "What guards the things that processes share."),
    Setting("cache.policy", Part("policies"), "lru", "What leaves the cache when it is full."),
    Setting("cache.size", Size(), "64MiB", "Bytes that may be cached, all workers together."),
    Setting("cache.max_object", Size(), "1MiB", "A larger file is sent uncached.", option=False),
    Setting("cache.revalidate", Seconds(zero=True), "1s", "How old a check may be before a hit.", option=False),
    Setting("server.timeout", Seconds(), "30s", "The longest wait for a client, each time."),
    Setting("log.file", Place(dash=True), "-", "Where the access log goes; - is standard output."),
    Setting("log.format", LogFormat(), "combined", "How a line of the access log looks."),
    Setting("log.max_size", Size(), "10MiB", "The log is rotated past this; 0: never.", option=False),
    Setting("log.keep", Count(0, 1000), 5, "Rotated logs that remain.", option=False),
    Setting("server.name", ServerName(), None, "What `wsrv stats` calls this server.", unset="its port"),
    Setting(
        "server.runtime_dir",
        Place(folder=True),
        None,
        "Where running servers are found.",
        unset="$RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/wsrv or /tmp/wsrv-UID",
    ),
)
KEYS = tuple(setting.key for setting in SETTINGS)


def options(command: _Command) -> _Command:
    """Give `command` an option for each setting that has one, in the order of the table, and --config."""
    # Decorators apply from the last to the first.
    text = f"Settings as TOML, instead of ./{FILE_NAME}.  [env: {FILE_VARIABLE}]"
    command = click.option("--config", type=Place(), metavar="FILE", help=text)(command)
    for setting in reversed(SETTINGS):
        if setting.option:
            text = f"{setting.help}  [default: {setting.default_text}; env: {setting.variable}]"
            metavar = setting.kind.name.upper()
            option = click.option(setting.flag, setting.parameter, type=setting.kind, metavar=metavar, help=text)
            command = option(command)
    return command


def config_file(given: str | None, environ: Mapping[str, str]) -> tomlfile.ConfigFile | None:
    """The file of --config or WSRV_CONFIG, else ./wsrv.toml if there is one. Raises Stop when it cannot be read."""
    named = given or environ.get(FILE_VARIABLE)
    if named:
        return tomlfile.read(Path(named))
    return tomlfile.read(Path(FILE_NAME)) if os.path.lexists(FILE_NAME) else None


def resolve(flags: Mapping[str, Any], environ: Mapping[str, str], file: tomlfile.ConfigFile | None) -> dict[str, Value]:
    """The value of every setting, by key. `flags` holds what click has read, by parameter, None where not given.

    Raises Stop that names every wrong value and unknown key.
    """
    faults: list[str] = []
    values: dict[str, Value] = {}
    for setting in SETTINGS:
        try:
            values[setting.key] = _find(setting, flags, environ, file)
        except ValueError as error:
            faults.append(str(error))
    if file is not None:
        faults += [_unknown(key, file) for key in file.entries if key not in KEYS]
    if faults:
        raise Stop(USAGE, "\n".join(faults))
    return values


def _find(
    setting: Setting, flags: Mapping[str, Any], environ: Mapping[str, str], file: tomlfile.ConfigFile | None
) -> Value:
    """Raises ValueError; the message says where the value stands."""
    if flags.get(setting.parameter) is not None:
        origin = setting.flag if setting.option else setting.parameter.rpartition("_")[2].upper()
        return Value(flags[setting.parameter], origin)
    if text := environ.get(setting.variable):  # set to nothing counts as not set
        return Value(_read(setting, text, setting.variable), setting.variable)
    if file is not None and setting.key in file.entries:
        origin = f"{file.where(setting.key)}: {setting.key}"
        return Value(_read(setting, file.entries[setting.key], origin, file.folder), origin)
    return Value(None if setting.default is None else setting.kind.read(setting.default), DEFAULT)


def _read(setting: Setting, value: Any, origin: str, base: str = "") -> Any:
    try:
        return setting.kind.read(value, base) if isinstance(setting.kind, Place) else setting.kind.read(value)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from None


def _unknown(key: str, file: tomlfile.ConfigFile) -> str:
    """The fault of a key that no setting has, with the nearest one that there is."""
    from difflib import get_close_matches

    key_text = key.lower().replace("-", "_")
    last = key_text.rpartition(".")[2]
    # A right word under the wrong table is a nearer miss than any spelling.
    near = [k for k in KEYS if k.rpartition(".")[2] == last] or get_close_matches(key_text, KEYS, 1)
    near = near or [k for k in KEYS if get_close_matches(last, [k.rpartition(".")[2], k.replace(".", "_")], 1)]
    hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(KEYS)}"
    return f"{file.where(key)}: no setting is called {key}{hint}"
