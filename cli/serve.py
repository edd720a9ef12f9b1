# `wsrv serve`: the one place where names become objects and settings become the engine's.
#
# Rule 1: what a person wrote wrong ends with 2, what this system cannot do with 5; either before anything has started.
# Rule 2: nothing that only Linux has is imported before the system was asked for.
"""The command `wsrv serve`."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsrv.cli import addresses, certificates, contenttypes, ids, rules, service
from wsrv.cli.configfile import ConfigFile, places
from wsrv.cli.exits import CANNOT_START, USAGE, Stop
from wsrv.cli.linux import require_linux
from wsrv.cli.table import options
from wsrv.cli.units import AUTO, OFF
from wsrv.cli.values import Value, config_file, in_force, resolve, unknown_variables
from wsrv.cli.voice import TerminalVoice

if TYPE_CHECKING:
    from wsrv.engine.settings import ConfineSettings, HostSettings, ServiceSettings, Settings, SiteSettings

# Beside this package in the checkout as in the wheel.
_WWW = Path(__file__).parent.parent / "www"

_HELP = """Serve the files below ROOT.

ROOT is the current folder when it is not given. Once the server can answer, it says where on stderr.

\b
Examples:
  wsrv serve                          this folder on http://127.0.0.1:8080
  wsrv serve site --port 0            on a free port
  wsrv serve site --host 0.0.0.0      for other machines too
  wsrv serve site --listen '[::]:80' --listen unix:/run/site.sock
  wsrv serve site --listing --open    folders as lists, shown in a browser
  wsrv serve dist --spa --cors any    an application, for every origin
  wsrv serve site --cache-size 1GiB --log-file access.log
"""

_EPILOG = """\b
Sizes: 64MiB, 10MB, 512k (= KiB), plain bytes.
Times: 500ms, 30s, 2m, 1h, plain seconds.

What outranks what: flags, environment, ./wsrv.toml or --config, defaults. `wsrv config show` tells which it is, and
`wsrv config init` writes the settings that have no option.

Exit status: 0 stopped, 2 wrong usage or settings, 5 cannot start.
"""


@click.command("serve", help=_HELP, epilog=_EPILOG, context_settings={"max_content_width": 100})
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
    started = in_force(values)
    given = service.current()
    settings = engine_settings(started, file, given)
    if faults := site_faults(values):
        raise Stop(USAGE, "\n".join(faults))

    from wsrv.cli import parts

    chosen = parts.choose(values, settings.cache, voice)
    settings = with_types(settings, chosen.types)

    from wsrv.cli.browser import open_page
    from wsrv.cli.renewing import Renewing
    from wsrv.engine.master.master import serve
    from wsrv.engine.master.outcome import CannotStart

    if file is not None:
        voice.say(f"settings from {file.path}")
        for note in file.notes:
            voice.say(note)
    for line in unknown_variables(os.environ):
        voice.warn(line)
    if os.geteuid() == 0 and not settings.confine.user:
        voice.warn("running as root, and workers too: --user names whom they become; better use an ordinary user")
    serving = partial(open_page, voice=voice) if values["server.open"].value else None
    renew = Renewing(config, flags, dict(os.environ), file, started, given, chosen)
    try:
        serve(settings, chosen, voice, serving, renew)
    except CannotStart as error:
        raise Stop(CANNOT_START, str(error)) from error


def engine_settings(
    values: Mapping[str, Value], file: ConfigFile | None = None, given: "ServiceSettings | None" = None
) -> "Settings":
    """The settings as the engine takes them, from values in force; the file that they came from is withheld. `given` is
    what a service manager has given us."""
    from wsrv.engine.settings import (
        CacheSettings,
        LimitSettings,
        LogSettings,
        ProcessSettings,
        ProxySettings,
        RuntimeSettings,
        ServiceSettings,
        Settings,
        SiteSettings,
        StatusSettings,
        TlsSettings,
    )

    manager = given or ServiceSettings()

    def value(key: str) -> Any:
        return values[key].value

    certificate_files = certificates.settings_of(values)
    name, stat_file, log_file = value("server.name"), value("server.stat_file"), value("log.file")
    if manager.handed and values["server.name"].layer == "default":
        name = AUTO  # what is handed over has a port of its own
    withheld = [*places(file)] if file is not None else []
    if log_file != "-":
        withheld.append(Path(log_file))
    withheld += [path for files in certificate_files for path in (files.key, files.cert)]
    hosts: tuple[rules.Row, ...] = value("host")
    site_rows = {array.name: value(array.name) for array in rules.RULES}
    for rows in (site_rows, *(host.rows for host in hosts)):
        withheld += [Path(row.values["file"]) for row in rows["auth"]]
    site = SiteSettings(
        root=Path(value("site.root")),
        pages=_WWW / "errors",
        templates=_WWW / "templates",
        withheld=tuple(dict.fromkeys(withheld)),
        listing=value("site.listing"),
        spa=value("site.spa"),
        dotfiles=value("site.dotfiles"),
        links=value("site.links"),
        cache_control=value("site.cache_control"),
        cors=value("site.cors"),
        security_headers=value("site.security_headers"),
        compress=value("site.compress"),
        precompressed=value("site.precompressed"),
        types=tuple(value(contenttypes.TABLE).items()),
        **rules.engine_rules(site_rows),
    )
    return Settings(
        site=site,
        hosts=tuple(_host(row, site) for row in hosts),
        runtime=RuntimeSettings(directory=Path(value("server.runtime_dir")), name="" if name == AUTO else name),
        listen=addresses.settings_of(values, manager.handed),
        service=manager,
        tls=TlsSettings(certificate_files, value("tls.redirect")),
        proxy=ProxySettings(value("proxy.trusted"), value("proxy.protocol"), value("proxy.field")),
        process=ProcessSettings(
            workers=value("server.workers"),
            threads=value("server.threads"),
            queue=value("server.queue"),
            stall_seconds=value("server.stall_timeout"),
            requests=value("server.max_requests"),
        ),
        confine=_confine(value("server.user"), value("server.group"), value("server.sandbox")),
        limits=LimitSettings(
            fields=value("limits.fields"),
            head_bytes=value("limits.head_size"),
            target_bytes=value("limits.target_size"),
            body_bytes=value("limits.body_size"),
            head_seconds=value("limits.head_timeout"),
            body_seconds=value("limits.body_timeout"),
            idle_seconds=value("limits.idle_timeout"),
            write_seconds=value("limits.write_timeout"),
            requests=value("limits.requests"),
            connections_per_client=value("limits.connections_per_client"),
            rate_per_client=value("limits.rate_per_client"),
            burst_per_client=value("limits.burst_per_client"),
        ),
        cache=CacheSettings(
            scope=value("cache.scope"),
            capacity_bytes=value("cache.size"),
            max_object_bytes=value("cache.max_object"),
            revalidate_seconds=value("cache.revalidate"),
        ),
        log=LogSettings(
            path=log_file,
            format=value("log.format"),
            max_bytes=value("log.max_size"),
            keep=value("log.keep"),
        ),
        status=StatusSettings(
            file=None if stat_file == OFF else Path(stat_file),
            pages=_WWW / "dashboard",
            allow=value("status.allow"),
            hosts=value("status.hosts"),
            probes=value("status.probes"),
        ),
    )


def _confine(user: str, group: str, sandbox: str) -> "ConfineSettings":
    from wsrv.engine.settings import ConfineSettings

    if user == OFF:
        return ConfineSettings(sandbox=sandbox)
    uid, gid = ids.of_user(user)
    return ConfineSettings(ids.name_of(user), uid, gid if group == AUTO else ids.of_group(group), sandbox)


def with_types(settings: "Settings", types: tuple[tuple[str, str], ...]) -> "Settings":
    """`settings` with the content types of plugins, which those of the file outrank."""

    def more(site: "SiteSettings") -> "SiteSettings":
        return replace(site, types=(*types, *site.types))

    hosts = tuple(replace(host, site=more(host.site)) for host in settings.hosts)
    return replace(settings, site=more(settings.site), hosts=hosts)


def _host(row: rules.Row, site: "SiteSettings") -> "HostSettings":
    """A host as the engine takes it: what it does not say is as `site` has it, but for the rules."""
    from wsrv.engine.settings import HostSettings

    own = {name: value for name, value in row.values.items() if name not in ("names", "root")}
    root = Path(row.values["root"])
    return HostSettings(row.values["names"], replace(site, root=root, **own, **rules.engine_rules(row.rows)))


def site_faults(values: Mapping[str, Value]) -> list[str]:
    """What is wrong with the folders and password files that the settings name, a line each."""
    faults = [root_fault(values["site.root"])] if "site.root" in values else []
    if "server.user" in values and values["server.user"].value == OFF and values["server.group"].value != AUTO:
        faults.append(f"{values['server.group'].origin}: a group needs a user: --user")
    hosts: tuple[rules.Row, ...] = values["host"].value if "host" in values else ()
    faults += [root_fault(Value(row.values["root"], row.places["root"], "file")) for row in hosts]
    rows = [row for host in hosts for row in host.rows["auth"]]
    rows += values["auth"].value if "auth" in values else ()
    for row in rows:
        faults += _password_faults(row.places["file"], Path(row.values["file"]))
    return [fault for fault in faults if fault]


def _password_faults(where: str, path: Path) -> list[str]:
    """What is wrong with a password file, a line each."""
    from wsrv.engine.static.passwords import Users

    try:
        users = Users.read(path)
    except OSError as error:
        return [f"{where}: cannot read the password file {path}: {error.strerror}"]
    return [f"{where}: {path}:{fault.line}: {fault.text}" for fault in users.faults]


def root_fault(root: Value) -> str:
    """What is wrong with the root: "" when it is a folder that can be read and entered."""
    where = root.origin if root.layer in ("environment", "file") else "ROOT"
    if not os.path.exists(root.value):
        return f"{where}: no such folder: {root.value}"
    if not os.path.isdir(root.value):
        return f"{where}: not a folder: {root.value}"
    if not os.access(root.value, os.R_OK | os.X_OK):
        return f"{where}: this user may not read the folder {root.value}"
    return ""
