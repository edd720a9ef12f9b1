# `wsrv serve`: the one place where names become objects and settings become the engine's.
#
# Rule 1: what a person wrote wrong ends with 2, what this system cannot do with 5; either before anything has started.
# Rule 2: nothing that only Linux has is imported before the system was asked for.
"""The command `wsrv serve`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from wsrv.cli.config import Value, config_file, options, resolve
from wsrv.cli.exits import CANNOT_START, USAGE, Stop
from wsrv.cli.linux import require_linux
from wsrv.cli.units import Place
from wsrv.cli.voice import TerminalVoice
from wsrv.engine.settings import (
    CacheSettings,
    HttpSettings,
    ListenSettings,
    LogSettings,
    ProcessSettings,
    RuntimeSettings,
    Settings,
    SiteSettings,
)

# Beside this package in the checkout as in the wheel.
_ERROR_PAGES = Path(__file__).parent.parent / "www" / "errors"

_HELP = """Serve the files below ROOT.

ROOT is the current folder when it is not given. Once the server can answer, it says where on stderr.

\b
Examples:
  wsrv serve                          this folder on http://127.0.0.1:8080
  wsrv serve site --port 0            on a free port
  wsrv serve site --host 0.0.0.0      for other machines too
  wsrv serve site --cache-size 1GiB --log-file access.log
"""

_EPILOG = """\b
Sizes: 64MiB, 10MB, 512k (= KiB), plain bytes.  Times: 500ms, 30s, 2m, 1h, plain seconds.

\b
What outranks what: flags, environment, ./wsrv.toml or --config, defaults.

\b
Exit status: 0 stopped, 2 wrong usage or settings, 5 cannot start.
"""


@click.command("serve", help=_HELP, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("site_root", metavar="[ROOT]", required=False, type=Place(folder=True))
@options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors: no address, no warnings.")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what the server does.")
def command(config: str | None, quiet: bool, verbose: bool, **flags: Any) -> None:
    if quiet and verbose:
        raise click.UsageError("-q and -v exclude each other")
    require_linux()
    file = config_file(config, os.environ)
    values = resolve(flags, os.environ, file)
    voice = TerminalVoice(quiet, verbose)
    settings = engine_settings(values)
    _require_folder(values["site.root"])

    from wsrv.cli import parts

    chosen = parts.choose(values, settings.cache)

    from wsrv.engine.master.master import serve
    from wsrv.engine.master.outcome import CannotStart

    if file is not None:
        voice.say(f"settings from {file.path}")
    if os.geteuid() == 0:
        voice.warn("running as root, so workers can read every file of this machine; better use an ordinary user")
    try:
        serve(settings, chosen, voice)
    except CannotStart as error:
        raise Stop(CANNOT_START, str(error)) from error


def engine_settings(values: Mapping[str, Value]) -> Settings:
    """The settings as the engine takes them; what depends on this system is worked out here."""

    def value(key: str) -> Any:
        return values[key].value

    return Settings(
        site=SiteSettings(root=Path(value("site.root")), pages=_ERROR_PAGES),
        runtime=RuntimeSettings(
            directory=_runtime_directory(value("server.runtime_dir")), name=value("server.name") or ""
        ),
        listen=ListenSettings(host=value("server.host"), port=value("server.port")),
        process=ProcessSettings(
            workers=value("server.workers") or _cpus(), threads=value("server.threads"), queue=value("server.queue")
        ),
        http=HttpSettings(timeout_seconds=value("server.timeout")),
        cache=CacheSettings(
            capacity_bytes=value("cache.size"),
            max_object_bytes=value("cache.max_object"),
            revalidate_seconds=value("cache.revalidate"),
        ),
        log=LogSettings(
            path=value("log.file"),
            format=value("log.format"),
            max_bytes=value("log.max_size"),
            keep=value("log.keep"),
        ),
    )


def _runtime_directory(given: str | None) -> Path:
    from wsrv.cli.running import default_directories

    return Path(given) if given else default_directories()[0]


def _cpus() -> int:
    from wsrv.cli.cpus import usable

    return usable()


def _require_folder(root: Value) -> None:
    """Raises Stop unless the root is a folder that can be read and entered."""
    where = "ROOT" if root.origin in ("ROOT", "default") else root.origin
    if not os.path.exists(root.value):
        raise Stop(USAGE, f"{where}: no such folder: {root.value}")
    if not os.path.isdir(root.value):
        raise Stop(USAGE, f"{where}: not a folder: {root.value}")
    if not os.access(root.value, os.R_OK | os.X_OK):
        raise Stop(USAGE, f"{where}: this user may not read the folder {root.value}")
