# What the engine is told, once, before it starts.
#
# Frozen dataclasses, one a concern; no environment, no I/O. Whoever receives settings takes only its own slice.
# Names of exchangeable parts do not appear here: those arrive as classes, in `Parts` of engine.master.
"""Settings of the engine, one frozen dataclass a concern."""

from dataclasses import dataclass, field
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
# Scopes of the cache.
PROCESS, SHARED = "process", "shared"
# Among networks: whoever comes over a Unix socket.
UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """One place where connections come in: a host and a port, or the `path` of a Unix socket and its mode."""

    host: str = "127.0.0.1"
    port: int = 8080
    path: Path | None = None
    # As nginx has it: whoever may enter the folder may connect. Caddy: 0200.
    mode: int = 0o666
    # A descriptor that a service manager has handed over and that listens already; the place is its own then.
    handed: int | None = None
    # Over TLS.
    secure: bool = False
    # The report's C server kept 100 and saw maxima of 2-4 s from SYN retries; nginx keeps 511, h2o 65535.
    backlog: int = 4096


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate with its chain, and its private key, both PEM; they may be one file."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What secure listeners show: the first pair to whoever names no host that another is for.

    With `redirect` the other TCP listeners send everybody there.
    """

    certificates: tuple[CertificateFiles, ...] = ()
    redirect: bool = False


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Whose word counts of whom they speak for: networks, or `unix:` for whoever comes over a Unix socket.

    With `protocol` their connections begin with a PROXY header. `field` is the one that is read: forwarded,
    x-forwarded-for, or any, where both must agree.
    """

    named: tuple[str, ...] = ()
    protocol: bool = False
    field: str = "any"


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """How many hands there are. `queue` is connections waiting for one worker."""

    workers: int = 1
    threads: int = 10
    queue: int = 1024
    # A worker whose loop stands still for so long is replaced; 0 never.
    stall_seconds: float = 10.0
    # A worker is replaced after so many requests, and up to a tenth more; 0 never.
    requests: int = 0


@dataclass(frozen=True, slots=True)
class ConfineSettings:
    """What workers give up. `user` is whom they become, with `uid` and `gid`; "" for nobody else.

    `sandbox`: auto (by Landlock where there is Landlock), require or off.
    """

    user: str = ""
    uid: int = 0
    gid: int = 0
    sandbox: str = "auto"


@dataclass(frozen=True, slots=True)
class RedirectRule:
    """Paths that match are answered with `status` and a Location; `$1` in `to` is what the first star stood for."""

    match: str
    to: str
    status: int = 302


@dataclass(frozen=True, slots=True)
class RewriteRule:
    """Paths that match are answered with what is at `to`, without the client's knowing."""

    match: str
    to: str


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """Files that match are sent with these fields, by name and values; no value takes the field away."""

    match: str
    fields: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class AuthRule:
    """Paths that match are for the users of the password `file`."""

    match: str
    realm: str
    file: Path


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """What is served. `pages` holds the error pages used when the site brings none of its own.

    `withheld`: files that are never served, under whatever name they are reached: config, passwords.
    `precompressed`: whether `x.js.br` and its like stand for `x.js`; `compress`: whether what shrinks is compressed.
    `types`: content types by suffix with its dot, beside those that are known.
    `templates`: the folder with the page of a listing. `error_pages`: files beneath the root, by status.
    `links`: inside (followed where they stay beneath the root) or none. `cors`: origins, or "*".
    `cache_control`: auto (immutable for names with a fingerprint, else no-cache), off, or what to send with every file.
    """

    root: Path
    pages: Path
    index: str = "index.html"
    withheld: tuple[Path, ...] = ()
    precompressed: bool = True
    compress: bool = True
    types: tuple[tuple[str, str], ...] = ()
    templates: Path | None = None
    listing: bool = False
    spa: bool = False
    dotfiles: bool = False
    links: str = "inside"
    cache_control: str = "auto"
    cors: tuple[str, ...] = ()
    security_headers: bool = False
    redirects: tuple[RedirectRule, ...] = ()
    rewrites: tuple[RewriteRule, ...] = ()
    headers: tuple[HeaderRule, ...] = ()
    auth: tuple[AuthRule, ...] = ()
    error_pages: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HostSettings:
    """A site of its own for requests that name one of `names`; `*.example.org` is every name below example.org."""

    names: tuple[str, ...]
    site: SiteSettings


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What a client may send, and how long it may take.

    `head_seconds` bounds the whole head, `body_seconds` each wait for more of a body, `write_seconds` each wait until
    the client takes more. The last four are off when zero: `requests` of a connection, and what one address has.
    """

    fields: int = 100
    head_bytes: int = 16 * KIB
    target_bytes: int = 8 * KIB
    # A body past this earns 413: a static server only reads one to find the next request.
    body_bytes: int = MIB
    head_seconds: float = 30.0
    body_seconds: float = 30.0
    idle_seconds: float = 30.0
    write_seconds: float = 30.0
    requests: int = 0
    connections_per_client: int = 0
    rate_per_client: int = 0
    burst_per_client: int = 0

    @property
    def bounds_guests(self) -> bool:
        """Whether any of the last is on."""
        return bool(self.requests or self.connections_per_client or self.rate_per_client)

    @property
    def longest_seconds(self) -> float:
        """The longest wait for a client."""
        return max(self.head_seconds, self.body_seconds, self.idle_seconds, self.write_seconds)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What all workers together may keep. A file past `max_object_bytes` is sent with sendfile instead.

    `scope`: process (each worker has a share of the bytes for itself) or shared (one cache for all of them).
    """

    capacity_bytes: int = 64 * MIB
    max_object_bytes: int = MIB
    revalidate_seconds: float = 1.0
    scope: str = PROCESS


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The access log: `-` is standard output. `keep` rotated files remain beside the current one."""

    path: str = "-"
    format: str = "combined"
    max_bytes: int = 10_000_000
    keep: int = 5


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Who may see what the server counts, over HTTP: client networks, and names besides loopback's that Host may say.

    `probes`: client networks that may ask whether it is well. `file` is rewritten every five seconds with the
    report's six numbers. `pages`: the folder of the dashboard.
    """

    file: Path | None = None
    pages: Path | None = None
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    hosts: tuple[str, ...] = ()
    probes: tuple[str, ...] = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """Where the running server can be found. `name` is the port when empty."""

    directory: Path
    name: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What a service manager has given us: where it wants to be told what we do, how often it must hear of us, and
    sockets that listen, as descriptors with names.

    `notify` is a path, or a name in the abstract namespace with @ before it; empty for nobody.
    """

    notify: str = ""
    watchdog_seconds: float = 0.0
    handed: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, as serve hands it to the master."""

    site: SiteSettings
    runtime: RuntimeSettings
    listen: tuple[ListenSettings, ...] = (ListenSettings(),)
    process: ProcessSettings = field(default_factory=ProcessSettings)
    confine: ConfineSettings = field(default_factory=ConfineSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    log: LogSettings = field(default_factory=LogSettings)
    status: StatusSettings = field(default_factory=StatusSettings)
    hosts: tuple[HostSettings, ...] = ()
    service: ServiceSettings = field(default_factory=ServiceSettings)
