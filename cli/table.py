# Every setting, in one table: from it come the options of `serve`, the environment variables, the keys of wsrv.toml
# and what `wsrv config` says about each.
#
# Rule: the names follow from the key. `cache.size` is --cache-size and WSRV_CACHE_SIZE; what stands under `server`
#       drops that word: `server.port` is --port and WSRV_PORT. An option drops `site` too: --compress.
"""The table of settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from wsrv.cli.addresses import Addresses, Mode
from wsrv.cli.certificates import Places
from wsrv.cli.ids import Group, User
from wsrv.cli.proxies import Peers, ProxyField
from wsrv.cli.switch import Switch
from wsrv.cli.units import (
    AUTO,
    OFF,
    Count,
    Host,
    Hosts,
    Kind,
    LogFormat,
    Part,
    Place,
    Seconds,
    ServerName,
    Size,
)
from wsrv.cli.words import CacheControl, OneOf, Origins

FILE_NAME = "wsrv.toml"
VARIABLE_PREFIX = "WSRV_"
FILE_VARIABLE = "WSRV_CONFIG"

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Setting:
    """One row. `default` is written as a user would write it; what AUTO is worked out to be at start, `auto` says."""

    key: str
    kind: Kind
    default: str | int | bool
    help: str
    option: bool = True
    auto: str = ""
    # Whether a reload leaves it as it was at the start.
    restart: bool = False

    @property
    def _name(self) -> str:
        return self.key.removeprefix("server.").replace(".", "_")

    @property
    def table(self) -> str:
        """The table of wsrv.toml that it stands in."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """What it is called in its table."""
        return self.key.partition(".")[2]

    @property
    def flag(self) -> str:
        """How the command line says it: an option, the argument of `serve`, or "" for not at all."""
        if self.key == "site.root":
            return "ROOT"
        return "--" + self._name.removeprefix("site_").replace("_", "-") if self.option else ""

    @property
    def variable(self) -> str:
        """The environment variable."""
        return VARIABLE_PREFIX + self._name.upper()

    @property
    def parameter(self) -> str:
        """What click calls the option's value."""
        return self._name

    @property
    def default_text(self) -> str:
        """The default, for a person."""
        return self.auto or self.written_default

    @property
    def written_default(self) -> str:
        """The default as TOML has it, without quotes."""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


SETTINGS: tuple[Setting, ...] = (
    Setting("site.root", Place(folder=True), ".", "The folder that is served.", option=False),
    Setting("site.compress", Switch(), True, "What shrinks is compressed, once, for clients that take it."),
    Setting("site.precompressed", Switch(), True, "x.js.br, x.js.zst and x.js.gz are sent for x.js.", option=False),
    Setting("site.listing", Switch(), False, "Folders without an index are listed."),
    Setting("site.spa", Switch(), False, "What is not there is answered with /index.html, where a page is asked for."),
    Setting("site.cors", Origins(), OFF, "Origins whose pages may read everything here; any for all."),
    Setting("site.security_headers", Switch(), False, "Fields that browsers protect their users by."),
    Setting(
        "site.cache_control", CacheControl(), AUTO, "With auto for ever for names like app.3f9a1c2b.js, else no-cache."
    ),
    Setting("site.dotfiles", Switch(), False, "Names that begin with a dot are served too.", option=False),
    Setting("site.links", OneOf("inside", "none"), "inside", "Links that are followed: inside the root.", option=False),
    Setting("server.host", Host(), "127.0.0.1", "Address or name to listen on; 0.0.0.0 for every interface."),
    Setting("server.port", Count(0, 65535), 8080, "Port to listen on; 0 takes a free one."),
    Setting(
        "server.listen",
        Addresses(auto=True),
        AUTO,
        "Where to listen: address:port, unix:path; the option again for more.",
        auto="on host and port",
    ),
    Setting("server.socket_mode", Mode(), "0666", "Permissions of Unix sockets.", option=False, restart=True),
    Setting(
        "server.workers",
        Count(1, 1024, auto=True),
        AUTO,
        "Processes that answer.",
        auto="as many as there are CPUs to use",
    ),
    Setting("server.threads", Count(1, 1024), 10, "Threads a worker, for file work that would block."),
    Setting("server.queue", Count(1, 65536), 1024, "Connections that may wait for one worker; past it, 503."),
    Setting("server.max_requests", Count(0, 1_000_000_000), 0, "Requests after which a worker is replaced; 0: never."),
    Setting(
        "server.stall_timeout",
        Seconds(zero=True),
        "10s",
        "A worker that stands still for so long is replaced; 0: never.",
        option=False,
    ),
    Setting(
        "server.ipc", Part("transport"), "socketpair", "How a connection travels from master to worker.", restart=True
    ),
    Setting("server.sync", Part("primitive"), "posix", "What guards the things that processes share.", restart=True),
    Setting("server.user", User(), OFF, "Whom workers become; needs root.", restart=True),
    Setting("server.group", Group(auto=True), AUTO, "Their group, with a user.", auto="the user's", restart=True),
    Setting(
        "server.sandbox",
        OneOf("auto", "require", "off"),
        "auto",
        "Workers read what they serve and write nothing (Landlock): where that can be had, or else no start.",
        restart=True,
    ),
    Setting("tls.cert", Places(off=True), OFF, "Certificate with its chain, PEM; the option again for more."),
    Setting(
        "tls.key",
        Places(auto=True),
        AUTO,
        "Private key of the certificate, PEM; again for each.",
        auto="in the certificate's file",
    ),
    Setting("tls.redirect", Switch(), False, "Listeners without TLS send their clients to the one with it."),
    Setting("proxy.trusted", Peers(), OFF, "Proxies that may say for whom they ask.", option=False),
    Setting("proxy.protocol", Switch(), False, "Their connections begin with a PROXY header.", option=False),
    Setting("proxy.field", ProxyField(), "any", "Where they say it; with any, both must agree.", option=False),
    Setting("cache.policy", Part("policy"), "sieve", "What leaves the cache when it is full."),
    Setting(
        "cache.scope",
        OneOf("process", "shared"),
        "process",
        "A cache for each worker, or one for all of them.",
        restart=True,
    ),
    Setting("cache.size", Size(), "64MiB", "Bytes that may be cached, all workers together."),
    Setting("cache.max_object", Size(), "1MiB", "A larger file is sent uncached.", option=False),
    Setting("cache.revalidate", Seconds(zero=True), "1s", "How old a check may be before a hit.", option=False),
    Setting("server.timeout", Seconds(), "30s", "The longest wait for a client, each time."),
    Setting("limits.fields", Count(1, 10_000), 100, "Header fields of a request; past it, 431.", option=False),
    Setting("limits.head_size", Size(), "16KiB", "Bytes of a request's head; past it, 431.", option=False),
    Setting("limits.target_size", Size(), "8KiB", "Bytes of a request's target; past it, 414.", option=False),
    Setting("limits.body_size", Size(), "1MiB", "Bytes of a request's body; past it, 413.", option=False),
    *(
        Setting(f"limits.{name}_timeout", Seconds(auto=True), AUTO, text, option=False, auto="server.timeout")
        for name, text in (
            ("head", "The longest wait for a whole head, from its first byte; then 408."),
            ("body", "The longest wait for more of a body; then 408. Ten times that for all of it."),
            ("idle", "The longest wait for the next request; then the connection is closed."),
            ("write", "The longest wait until a client takes more of an answer; then it is given up."),
        )
    ),
    Setting("limits.requests", Count(0, 1_000_000_000), 0, "Requests of one connection; 0: no bound.", option=False),
    Setting(
        "limits.connections_per_client",
        Count(0, 1_000_000),
        0,
        "Connections of one client address, an IPv6 /64; past it, 429; 0: no bound.",
        option=False,
    ),
    Setting(
        "limits.rate_per_client",
        Count(0, 1_000_000),
        0,
        "Requests a second of one client address, an IPv6 /64; past it, 429; 0: no bound.",
        option=False,
    ),
    Setting(
        "limits.burst_per_client",
        Count(0, 1_000_000),
        0,
        "Requests of one client address at once; 0: as many as in a second.",
        option=False,
    ),
    Setting("log.file", Place(dash=True), "-", "Where the access log goes; - is standard output.", restart=True),
    Setting("log.format", LogFormat(), "combined", "How a line of the access log looks."),
    Setting("log.max_size", Size(), "10MB", "The log is rotated past this; 0: never.", option=False, restart=True),
    Setting("log.keep", Count(0, 1000), 5, "Rotated logs that remain.", option=False, restart=True),
    Setting(
        "server.stat_file",
        Place(off=True),
        OFF,
        "Rewritten every 5 s: active, bytes, 200, 404, 5xx, total.",
        restart=True,
    ),
    Setting("status.allow", Peers(), "127.0.0.0/8, ::1/128", "Clients that may see /_wsrv/.", option=False),
    Setting("status.hosts", Hosts(), "localhost", "Names by which /_wsrv/ may be asked for.", option=False),
    Setting(
        "status.probes",
        Peers(),
        "127.0.0.0/8, ::1/128",
        "Clients that may ask /_wsrv/health and /_wsrv/ready.",
        option=False,
    ),
    Setting(
        "server.name",
        ServerName(auto=True),
        AUTO,
        "What `wsrv stats` calls this server.",
        auto="its port",
        restart=True,
    ),
    Setting(
        "server.runtime_dir",
        Place(folder=True, auto=True),
        AUTO,
        "Where running servers are found.",
        auto="$RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/wsrv or /tmp/wsrv-UID",
        restart=True,
    ),
    Setting("server.open", Switch(), False, "Open a browser once the server answers."),
)
# What is server.timeout unless set by itself.
TIMEOUTS = tuple(f"limits.{name}_timeout" for name in ("head", "body", "idle", "write"))
KEYS = tuple(setting.key for setting in SETTINGS)
TABLES = tuple(dict.fromkeys(setting.table for setting in SETTINGS))


def by_table() -> list[tuple[str, list[Setting]]]:
    """The settings as wsrv.toml has them: each table with its own."""
    return [(table, [setting for setting in SETTINGS if setting.table == table]) for table in TABLES]


def _joined(context: click.Context, parameter: click.Parameter, given: tuple[Any, ...]) -> Any:
    """What an option says that may be given again: nothing, one word such as AUTO, or all of its values in a row."""
    words = [value for value in given if isinstance(value, str)]
    if words:
        return words[-1]
    return tuple(one for value in given for one in value) or None


def _option(setting: Setting, text: str) -> Callable[[_Command], _Command]:
    if isinstance(setting.kind, Switch):
        both = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        return click.option(both, setting.parameter, default=None, help=text)
    return click.option(
        setting.flag,
        setting.parameter,
        type=setting.kind,
        metavar=setting.kind.name.upper(),
        help=text,
        multiple=setting.kind.several,
        callback=_joined if setting.kind.several else None,
    )


def options(command: _Command) -> _Command:
    """Give `command` the argument ROOT, an option for each setting that has one, and --config."""
    # Decorators apply from the last to the first.
    text = f"Settings as TOML, instead of ./{FILE_NAME}; a server.conf too.  [env: {FILE_VARIABLE}]"
    command = click.option("--config", type=Place(), metavar="FILE", help=text)(command)
    for setting in reversed(SETTINGS):
        if setting.option:
            text = f"{setting.help}  [default: {setting.default_text}; env: {setting.variable}]"
            command = _option(setting, text)(command)
    return click.argument("site_root", metavar="[ROOT]", required=False, type=Place(folder=True))(command)
