# What the owner of a site has laid down for paths: where they lead instead, which fields they have, who may see them.
#
# Rule 1: paths are matched decoded and normalised, with a slash in front, as text: a spelling gets nobody past a rule.
# Rule 2: a redirect leaves this host only where its author wrote a host: what a client sends never becomes part of one.
# Rule 3: fields are worked out when an entity is made, never when it is sent. A field that frames a message or
#         that wsrv works out itself cannot be set.
"""Redirects, rewrites, protected places and header fields by path."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import quote

from wsrv.engine.http.grammar import TOKEN
from wsrv.engine.settings import AuthRule, HeaderRule, RedirectRule, RewriteRule, SiteSettings
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.fingerprint import has_fingerprint
from wsrv.engine.static.glob import Glob

REDIRECT_STATUSES = (301, 302, 303, 307, 308)

Field = tuple[bytes, bytes]
# By lower-case name: the name as it is sent, and its values; none takes the field away.
Changes = dict[bytes, tuple[bytes, list[bytes]]]

# Without "public": a shared cache may keep it all the same, but for what was asked for with a password.
IMMUTABLE = "max-age=31536000, immutable"
REVALIDATED = "no-cache"
AUTO, OFF = "auto", "off"

# The preset of `security_headers`. Of the fields that OWASP recommends these break no site that does nothing unusual; a
# content security policy beyond this one, and Cross-Origin-Resource-Policy, only the author of the pages can write.
SECURITY: tuple[Field, ...] = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"strict-origin-when-cross-origin"),
    (b"Content-Security-Policy", b"frame-ancestors 'self'"),
    (b"X-Frame-Options", b"SAMEORIGIN"),
    (b"Permissions-Policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
)
# Only ever sent over TLS (RFC 6797 7.2). Not for subdomains: others may be served elsewhere.
TRANSPORT_SECURITY: Field = (b"Strict-Transport-Security", b"max-age=31536000")

# What stands beside a file in a coding must not be had where the file must not.
_SIBLINGS = frozenset((b"br", b"zst", b"gz"))

ANY_ORIGIN = "*"
_CORS_ANY: tuple[Field, ...] = ((b"Access-Control-Allow-Origin", b"*"), (b"Access-Control-Expose-Headers", b"*"))
_VARY_ORIGIN: Field = (b"Vary", b"Origin")

# Fields that frame the message, tell its content, or that wsrv works out for each answer.
_RESERVED = frozenset(
    b"accept-ranges allow age connection content-encoding content-length content-range date etag keep-alive"
    b" last-modified location proxy-authenticate proxy-connection retry-after server set-cookie te trailer"
    b" transfer-encoding upgrade www-authenticate".split()
)
# Known to other rooms by this spelling.
_SPELLED = {name.lower(): name for name in (b"Content-Type", b"Cache-Control", b"Vary")}
_NAME = re.compile(TOKEN)
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

_CAPTURE = re.compile(r"\$([1-9][0-9]?)")
# A path of this host, or a URL whose host ends before anything a client sent can begin.
_LOCAL = re.compile(r"/(?![/\\])[\x21\x23-\x5b\x5d-\x7e]*")
_ABSOLUTE = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]+(?:/[\x21\x23-\x5b\x5d-\x7e]*)?")
# RFC 3986 3.3: what a path may hold as it is. "?", "#" and "%" in a capture are part of a name.
_SAFE_IN_PATH = "/:@!$&'()*+,;=~"


class BadRule(ValueError):
    """A rule that cannot be meant; the message says why."""


class Redirection(NamedTuple):
    """Where a client is sent. `location` is ASCII and safe in a field."""

    status: int
    location: bytes


class Rules:
    """The rules of one site. Raises BadRule, BadGlob."""

    def __init__(self, settings: SiteSettings) -> None:
        self._redirects = [_Redirect(rule) for rule in settings.redirects]
        self._rewrites = [_Rewrite(rule) for rule in settings.rewrites]
        self._headers = [(Glob(rule.match), _changes(rule)) for rule in settings.headers]
        self._realms = [(Glob(rule.match), rule) for rule in settings.auth]
        self._cache_control = settings.cache_control
        self._index = settings.index.encode("utf-8", "surrogateescape")
        self.origins = frozenset(origin.encode() for origin in settings.cors if origin != ANY_ORIGIN)
        self.any_origin = ANY_ORIGIN in settings.cors
        names = {name.lower() for _, changes in self._headers for name, _ in changes}
        # What goes with every answer over TLS, unless a rule has something else to say about it.
        says_it = TRANSPORT_SECURITY[0].lower() in names
        self.when_secure: tuple[Field, ...] = (TRANSPORT_SECURITY,) if settings.security_headers and not says_it else ()
        # What goes with every answer, errors included.
        self.everywhere: tuple[Field, ...] = SECURITY if settings.security_headers else ()
        if self.any_origin:
            self.everywhere += _CORS_ANY
        elif self.origins:
            self.everywhere += (_VARY_ORIGIN,)

    def redirection(self, path: bytes, query: bytes) -> Redirection | None:
        """Where `path` (of `to_path`) leads elsewhere; the first rule that matches decides."""
        if not self._redirects:
            return None
        text = text_of(path)
        for rule in self._redirects:
            captured = rule.glob.match(text)
            if captured is not None:
                return Redirection(rule.status, rule.location(captured, query))
        return None

    def rewritten(self, path: bytes) -> bytes | None:
        """The path that `path` stands for; None when it stands for itself, or for none: what would climb is none."""
        if not self._rewrites:
            return None
        text = text_of(path)
        for rule in self._rewrites:
            captured = rule.glob.match(text)
            if captured is not None:
                return rule.path(captured)
        return None

    def protection(self, *paths: bytes) -> AuthRule | None:
        """What has to be shown before one of `paths` is given; the first rule that matches decides."""
        if not self._realms:
            return None
        texts = [text_of(other) for path in paths for other in self._also(path)]
        return next((rule for glob, rule in self._realms if any(glob.match(text) is not None for text in texts)), None)

    def _also(self, path: bytes) -> Iterable[bytes]:
        """`path`, the index that it stands for, and the file that it is a compressed sibling of."""
        yield path
        if not path or path.endswith(b"/"):
            yield path + self._index
        stem, dot, suffix = path.rpartition(b".")
        if dot and suffix in _SIBLINGS:
            yield stem

    def dress(self, path: bytes, entity: Entity) -> Entity:
        """`entity`, which is at `path`, with its fields."""
        return replace(entity, fields=merged(entity.fields, self.changes(path, entity.path or path)))

    def changes(self, path: bytes, file_path: bytes) -> Changes:
        """What the rules say of the fields of the file `file_path`, asked for as `path`."""
        found: Changes = {}
        for name, value in (*self._caching(path, file_path), *self.everywhere):
            found.setdefault(name.lower(), (name, []))[1].append(value)
        texts = {text_of(path), text_of(file_path)} if self._headers else set()
        for glob, changes in self._headers:
            if any(glob.match(text) is not None for text in texts):
                for name, values in changes:
                    if name.lower() == b"vary":  # what an answer depends on is more by a rule, never less
                        found.setdefault(b"vary", (b"Vary", []))[1].extend(values)
                    else:
                        found[name.lower()] = (name, list(values))
        return found

    def _caching(self, path: bytes, file_path: bytes) -> Iterable[Field]:
        value = self._cache_control
        if value == AUTO:
            value = IMMUTABLE if has_fingerprint(file_path) else REVALIDATED
        elif value == OFF:
            value = ""
        if self._realms and self.protection(path, file_path) is not None:
            value = _private(value)
        return ((b"Cache-Control", value.encode()),) if value else ()


def merged(fields: Iterable[Field], changes: Changes) -> tuple[Field, ...]:
    """`fields` with `changes` made: a value in the place of the old one, new fields behind, Vary joined."""
    there = list(fields)
    vary = [value for name, value in there if name.lower() == b"vary"]
    kept: list[Field] = []
    placed: set[bytes] = set()
    for name, value in there:
        lower = name.lower()
        if lower not in changes:
            kept.append((name, value))
        elif lower not in placed:
            placed.add(lower)
            kept += _values_of(lower, changes, vary)
    for lower in changes:
        if lower not in placed:
            kept += _values_of(lower, changes, vary)
    return tuple(kept)


def _values_of(lower: bytes, changes: Changes, vary: list[bytes]) -> list[Field]:
    name, values = changes[lower]
    if lower == b"vary":
        parts = dict.fromkeys(part.strip() for value in (*vary, *values) for part in value.split(b","))
        return [(b"Vary", b", ".join(part for part in parts if part))]
    return [(name, value) for value in values]


def text_of(path: bytes) -> str:
    """A path beneath the root as rules see it."""
    return "/" + path.decode("utf-8", "surrogateescape")


def _private(value: str) -> str:
    """`value` of Cache-Control for what only some may see."""
    parts = [part.strip() for part in value.split(",") if part.strip() and part.strip().lower() != "public"]
    if any(part.lower() in ("private", "no-store") for part in parts):
        return ", ".join(parts)
    return ", ".join(("private", *parts))


class _Redirect:
    def __init__(self, rule: RedirectRule) -> None:
        self.glob = Glob(rule.match)
        self.status = rule.status
        self._to = rule.to
        if rule.status not in REDIRECT_STATUSES:
            raise BadRule(f"{rule.status} is no redirect; there are: {', '.join(map(str, REDIRECT_STATUSES))}")
        if _LOCAL.fullmatch(rule.to) is None and _ABSOLUTE.fullmatch(rule.to) is None:
            raise BadRule(
                f"{rule.to!r} is neither a path that begins with one slash nor http:// or https:// with a host; "
                "captures stand behind the slash that ends the host"
            )
        _check_captures(rule.to, self.glob)
        plain = rule.to.partition("#")[0].partition("?")[0]
        if "$" not in plain and self.glob.match(plain) is not None:
            raise BadRule(f"{rule.to!r} matches {rule.match!r}: it would lead to itself for ever")

    def location(self, captured: tuple[str, ...], query: bytes) -> bytes:
        """The Location for what the stars stood for; the client's query is kept where the rule has none of its own."""
        target, hash_sign, fragment = self._to.partition("#")
        path, question_mark, own_query = target.partition("?")
        path = _fill(path, captured, _SAFE_IN_PATH)
        if path.startswith("/"):
            # An empty capture may leave two slashes in front, which would name a host.
            path = "/" + path.lstrip("/")
        if question_mark:
            path += "?" + _fill(own_query, captured, "")
        elif query:
            path += "?" + quote(query, safe=_SAFE_IN_PATH + "?%")
        return f"{path}{hash_sign}{_fill(fragment, captured, '')}".encode("ascii")


class _Rewrite:
    def __init__(self, rule: RewriteRule) -> None:
        self.glob = Glob(rule.match)
        self._to = rule.to
        if not rule.to.startswith("/") or not rule.to.isprintable():
            raise BadRule(f"{rule.to!r} is no path: it begins with a slash, and leads to a file of this site")
        if any(segment in (".", "..") for segment in rule.to.split("/")):
            raise BadRule(f"{rule.to!r} has a segment . or ..")
        _check_captures(rule.to, self.glob)

    def path(self, captured: tuple[str, ...]) -> bytes | None:
        """The path beneath the root; None for one that a capture has made climb."""
        text = _CAPTURE.sub(lambda found: captured[int(found[1]) - 1], self._to)
        segments = text.split("/")
        if any(segment in (".", "..") for segment in segments):
            return None
        kept = "/".join(segment for segment in segments if segment)
        return (kept + ("/" if kept and text.endswith("/") else "")).encode("utf-8", "surrogateescape")


def _fill(template: str, captured: tuple[str, ...], safe: str) -> str:
    return _CAPTURE.sub(
        lambda found: quote(captured[int(found[1]) - 1].encode("utf-8", "surrogateescape"), safe=safe), template
    )


def _check_captures(to: str, glob: Glob) -> None:
    highest = max((int(number) for number in _CAPTURE.findall(to)), default=0)
    if highest > glob.captures:
        raise BadRule(f"{to!r} has ${highest}, but {glob.pattern!r} only {glob.captures} of * and **")


def _changes(rule: HeaderRule) -> list[tuple[bytes, list[bytes]]]:
    """The fields that a rule sets, each with its values; none removes it."""
    changes: list[tuple[bytes, list[bytes]]] = []
    for name, values in rule.fields:
        if _NAME.fullmatch(name.encode("utf-8", "replace")) is None:
            raise BadRule(f"{name!r} is no name of a field")
        if name.lower().encode() in _RESERVED:
            raise BadRule(f"{name} cannot be set: wsrv works it out for each answer")
        for value in values:
            if value and _VALUE.fullmatch(value) is None:
                raise BadRule(f"{value!r} is no value of a field: printable ASCII, no space at either end")
        raw = name.encode()
        changes.append((_SPELLED.get(raw.lower(), raw), [value.encode() for value in values if value]))
    return changes
