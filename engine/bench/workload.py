# What to ask for, and of whom: a URL, a list of targets, and the order in which they are asked for.
"""Targets and workloads."""

import contextlib
import io
import json
import random
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from wsrv.engine.bench.plan import Address
from wsrv.engine.log.packed import DAMAGE, unpacked

# How many picks of a Zipf workload are drawn before they are gone through again.
ZIPF_PICKS = 1 << 17
# Targets of a file, at most: each is a request in memory.
MOST_TARGETS = 1_000_000
# The request line within a line of the combined and the common log format.
_LOGGED = re.compile(r'"(?:GET|HEAD) (\S+)(?: HTTP/[\d.]+)?"')
# An address of several that does not answer within this is passed by.
_LOOK_SECONDS = 2.0
_PORTS = {"http": 80, "https": 443}
_SAFE = "/?&=%:@!$'()*+,;~-._[]"


class BadTarget(ValueError):
    """A URL or a workload that cannot be asked for; the message is a sentence."""


class UnknownHost(BadTarget):
    """A URL whose host has no address."""


class Target(NamedTuple):
    """Where requests go. `host` is the Host field, `origin` how a person writes the server, `path` what to ask for,
    `tls_name` whose certificate there has to be; empty where no TLS is spoken.
    """

    address: Address
    host: str
    origin: str
    path: str
    tls_name: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, so that its processes can be looked at."""
        return isinstance(self.address, str) or self.address[0] in ("::1",) or self.address[0].startswith("127.")


def target_of(url: str) -> Target:
    """The target that `url` names: `http://host:port/path` or `https://…`, short of `http://`, or `unix:/socket:/path`.

    Raises BadTarget, and UnknownHost of its kind.
    """
    if url.startswith("unix:"):
        place, _, path = url.removeprefix("unix:").partition(":")
        if not place:
            raise BadTarget(f"{url} names no socket, as unix:/run/site.sock or unix:/run/site.sock:/path")
        return Target(place, "localhost", f"unix:{place}", path or "/")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError as error:
        raise BadTarget(f"{url} is not a URL such as http://localhost:8080/") from error
    try:
        port = parts.port
    except ValueError as error:
        raise BadTarget(f"{url}: the port is not a number from 0 to 65535") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BadTarget(f"{url!r} is not a URL such as http://localhost:8080/")
    if port == 0:
        raise BadTarget(f"{url}: nobody listens on port 0")
    try:
        found = socket.getaddrinfo(parts.hostname, port or _PORTS[parts.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHost(f"{url}: the host {parts.hostname} is not known") from error
    address = _that_listens(sorted(found, key=lambda each: each[0] != socket.AF_INET))
    host = parts.netloc.rpartition("@")[2]
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    name = parts.hostname if parts.scheme == "https" else ""
    return Target((str(address[0]), int(address[1])), host, f"{parts.scheme}://{host}", target, name)


def _that_listens(found: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The first of a name's addresses at which somebody listens; the first of all where nobody does, or there is one.

    Given with IPv4 first: where a name has both, as localhost, most servers listen there, but not all.
    """
    for family, kind, *_, address in found if len(found) > 1 else ():
        with contextlib.suppress(OSError), socket.socket(family, kind) as sock:
            sock.settimeout(_LOOK_SECONDS)
            sock.connect(address)
            return tuple(address)
    return tuple(found[0][4])


def request(target: Target, path: str, keep_alive: bool, fields: Sequence[tuple[str, str]]) -> bytes:
    """A request for `path`, ready to send."""
    named = {name.lower() for name, _ in fields}
    lines = [f"GET {quote(path, safe=_SAFE)} HTTP/1.1"]
    lines += [] if "host" in named else [f"Host: {target.host}"]
    lines += [f"{name}: {value}" for name, value in fields]
    lines += [] if keep_alive else ["Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def targets_in(file: Path) -> list[str]:
    """The targets in `file`, in its order: a URL or path a line, or the lines of an access log. Raises BadTarget."""
    try:
        with file.open("rb") as raw, io.TextIOWrapper(unpacked(raw), errors="replace") as lines:
            found = [path for line in lines if (path := _target_in(line.strip()))]
    except DAMAGE as error:
        raise BadTarget(f"{file} is compressed, and damaged: {error}") from error
    except OSError as error:
        raise BadTarget(f"{file}: {error.strerror or error}") from error
    if not found:
        raise BadTarget(f"{file} has no line with a path, a URL or a logged GET request")
    if len(found) > MOST_TARGETS:
        raise BadTarget(f"{file} has {len(found):,} targets; the most is {MOST_TARGETS:,}")
    return found


def _target_in(line: str) -> str | None:
    if line.startswith("/"):
        return line.split()[0]
    if line.startswith(("http://", "https://")):
        parts = urlsplit(line.split()[0])
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if line.startswith("{"):
        return _target_in_json(line)
    logged = _LOGGED.search(line)
    return logged[1] if logged and logged[1].startswith("/") else None


def _target_in_json(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    found = entry.get("target") or entry.get("path") or entry.get("uri")
    return found if isinstance(found, str) and found.startswith("/") else None


def distinct(targets: Iterable[str]) -> tuple[list[str], list[int]]:
    """Each target once, and the order in which they came, by number."""
    numbers: dict[str, int] = {}
    picks = [numbers.setdefault(target, len(numbers)) for target in targets]
    return list(numbers), picks


def by_popularity(targets: Iterable[str]) -> list[str]:
    """Each target once, those first that come most often; of equals, who came first."""
    return [target for target, _ in Counter(targets).most_common()]


def zipf(number: int, exponent: float, seed: int = 0) -> Iterator[int]:
    """ZIPF_PICKS draws of 0 to `number` - 1; the r-th is drawn in proportion to r^-exponent (Zipf's law)."""
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(number)))
    return iter(random.Random(seed).choices(range(number), cum_weights=weights, k=ZIPF_PICKS))
