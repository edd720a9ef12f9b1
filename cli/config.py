# `wsrv config`: settings written, shown, checked and imported. Nothing here starts, stops or asks a server.
#
# Rule: what is printed for another program goes to stdout, what is said to a person to stderr.
"""The commands `wsrv config init`, `show`, `check` and `import`."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from wsrv.cli import configfile, serverconf, tomltext
from wsrv.cli.configfile import ConfigFile, Malformed
from wsrv.cli.contenttypes import TABLE, is_of_table
from wsrv.cli.exits import CHECK_FAILED, USAGE, Stop
from wsrv.cli.linux import require_linux
from wsrv.cli.rules import NAMES
from wsrv.cli.table import FILE_NAME, KEYS, SETTINGS, options
from wsrv.cli.units import Place
from wsrv.cli.values import Value, config_file, in_force, resolve, survey, unknown_variables
from wsrv.cli.voice import TerminalVoice

_PRECEDENCE = """What outranks what: flags, WSRV_ variables, ./wsrv.toml or --config, defaults.
"""

# What server.conf leaves unsaid, and the line of wsrv.toml to say it at.
_UNSAID = {
    "server.port": "on 127.0.0.1 only, unless host is set too",
    "cache.size": "here for all workers together",
}


@click.group("config", epilog=_PRECEDENCE)
def command() -> None:
    """Write, show, check or import settings.

    \b
    Examples:
      wsrv config init            a wsrv.toml with every setting, commented out
      wsrv config check           its faults, all at once
      wsrv config show            what is in force, and where it comes from
    """


@command.command("init", short_help="Write every setting, commented out.")
@click.argument("file", type=Place(dash=True), default=FILE_NAME)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print instead; so does a FILE of -.")
def init(file: str, force: bool, to_stdout: bool) -> None:
    """Write every setting, its meaning and its default, commented out, to FILE.

    FILE is ./wsrv.toml when it is not given.

    \b
    Examples:
      wsrv config init
      wsrv config init --stdout | less

    Exit status: 0 written, 2 the file is there, or cannot be written.
    """
    _put("-" if to_stdout else file, tomltext.commented(_part_names()), force)


@command.command("show", epilog=_PRECEDENCE)
@options
@click.option("--json", "as_json", is_flag=True, help="As JSON: sizes in bytes, times in seconds.")
def show(config: str | None, as_json: bool, **flags: Any) -> None:
    """Show the settings in force, and where each comes from.

    Takes the arguments of `wsrv serve`, and tells what they would lead to.

    \b
    Examples:
      wsrv config show
      WSRV_PORT=9000 wsrv config show site --workers 4
      wsrv config show --config site.toml --json

    Exit status: 0 shown, 2 wrong settings.
    """
    require_linux()
    file = config_file(config, os.environ)
    values = in_force(resolve(flags, os.environ, file))
    if not as_json:
        _print(tomltext.shown(values, file))
        return
    import json

    _print(json.dumps(tomltext.document(values, file), indent=2) + "\n")


@command.command("check")
@click.argument("file", type=Place(), required=False)
def check(file: str | None) -> None:
    """Look for faults in FILE: in wsrv.toml, or in a server.conf.

    FILE is what WSRV_CONFIG names, or ./wsrv.toml, when it is not given. Each fault is a line on stderr: file, line,
    key, and what is allowed.

    \b
    Examples:
      wsrv config check
      wsrv config check /etc/wsrv/site.toml && wsrv reload

    Exit status: 0 no fault, 1 faults, 2 there is no such file.
    """
    try:
        found = config_file(file, os.environ)
    except Malformed as error:
        raise Stop(CHECK_FAILED, str(error)) from error
    if found is None:
        raise Stop(USAGE, f"there is no ./{FILE_NAME}; name a file, or write one with: wsrv config init")
    values, faults = survey({}, {}, found)
    faults += _faults_here({key: value for key, value in values.items() if value.layer == "file"})
    if faults:
        raise Stop(CHECK_FAILED, "\n".join(faults))
    voice = TerminalVoice()
    for line in unknown_variables(os.environ):
        voice.warn(line)
    for note in found.notes:
        voice.say(note)
    number = sum(key in (*KEYS, *NAMES) or (key != TABLE and is_of_table(key)) for key in found.entries)
    _print(f"{found.path}: {number} setting{'' if number == 1 else 's'}, no fault\n")


@command.command("import")
@click.argument("file", type=Place(), default="server.conf")
@click.option(
    "-o", "--output", type=Place(dash=True), default="-", metavar="FILE", help="Write there; - prints.  [default: -]"
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def import_(file: str, output: str, force: bool) -> None:
    """Make a wsrv.toml of FILE, a server.conf: lines KEY=value.

    Knows PORT, DOCUMENT_ROOT, NUM_WORKERS, THREADS_PER_WORKER, MAX_QUEUE_SIZE, LOG_FILE, CACHE_SIZE_MB,
    TIMEOUT_SECONDS and LOG_LEVEL. FILE is ./server.conf when it is not given.

    \b
    Examples:
      wsrv config import                          print what ./server.conf says
      wsrv config import old/server.conf -o wsrv.toml

    Exit status: 0 written, 2 the file cannot be read, or has faults.
    """
    path = Path(file)
    if path.suffix == ".toml":
        raise Stop(USAGE, f"{path} is TOML already; check it with: wsrv config check {path}")
    conf = serverconf.parse(path, configfile.read_text(path))
    values = resolve({}, {}, conf)
    folder = os.path.dirname(output) if output != "-" else os.getcwd()
    if os.path.realpath(folder) == os.path.realpath(conf.folder):
        values |= _relative_places(conf, values)
    _put(output, tomltext.imported(conf, values, _UNSAID), force)


def _relative_places(conf: ConfigFile, values: dict[str, Value]) -> dict[str, Value]:
    """Paths as they stand in `conf`: they mean the same in a file beside it."""
    return {
        setting.key: Value(conf.entries[setting.key], values[setting.key].origin)
        for setting in SETTINGS
        if isinstance(setting.kind, Place) and setting.key in conf.entries
    }


def _faults_here(values: dict[str, Value]) -> list[str]:
    """What is well written and still would not start: parts and folders that are not there."""
    from wsrv.cli.serve import site_faults

    faults = []
    if sys.platform.startswith("linux"):  # elsewhere there are no parts
        from wsrv.cli import parts

        faults += parts.unknown(values, parts.registry())
    return faults + site_faults(values)


def _part_names() -> dict[str, list[str]]:
    """The names of the parts by kind; nothing where they cannot be had, for the settings can still be written."""
    if sys.platform.startswith("linux"):
        from wsrv.cli.parts import registry

        with contextlib.suppress(Stop):
            there = registry()
            return {kind: there.names(kind) for kind in ("transport", "primitive", "policy")}
    return {}


def _put(place: str, text: str, force: bool) -> None:
    """Print `text`, or write it to a file, which with `force` may be there. Raises Stop."""
    if place == "-":
        _print(text)
        return
    try:
        if force:
            _replace(place, text)
        else:
            with open(place, "x", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
    except FileExistsError as error:
        raise Stop(USAGE, f"{place} is there already; --force writes over it") from error
    except OSError as error:
        raise Stop(USAGE, f"cannot write {place}: {error.strerror}") from error
    TerminalVoice().say(f"wrote {place}")


def _replace(place: str, text: str) -> None:
    """Put `text` in the place of what is there, whole or not at all; a link stays one. Raises OSError."""
    target = os.path.realpath(place)
    new = f"{target}.{os.getpid()}.new"
    try:
        with open(new, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(new, os.stat(target).st_mode & 0o777)
        os.replace(new, target)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        raise


def _print(text: str) -> None:
    # Names of files may hold bytes that are no UTF-8; they come out as they came in.
    click.echo(text.encode("utf-8", "surrogateescape"), nl=False)
