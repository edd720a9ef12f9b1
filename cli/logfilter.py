# Which lines of an access log are wanted.
#
# Rule: what is asked of lines that cannot say it, as the duration of those in Combined format, is refused by name: no
#       lines at all would look like an answer.
"""Filters of `wsrv log tail`, and the kinds of values that they take."""

import ipaddress
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click
from click.shell_completion import CompletionItem

from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.units import Kind

if TYPE_CHECKING:
    from wsrv.engine.log.line import Line
    from wsrv.engine.static.glob import Glob

_STATUS = re.compile(r"[1-5](?:xx|[0-9][0-9])", re.IGNORECASE)
_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|d)")
_AGO_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
# Workers write beside each other, so lines stand in the order of time but for this.
DISORDER_SECONDS = 5.0


class Statuses(Kind):
    """Statuses and classes of them, as what a status begins with."""

    name = "status,…"
    allowed = "a list of statuses such as 404, or classes such as 5xx, separated by commas"

    def _read(self, value: str) -> tuple[str, ...]:
        parts = [part.strip() for part in value.split(",")]
        if not all(_STATUS.fullmatch(part) for part in parts):
            raise ValueError
        return tuple(part.lower().removesuffix("xx") for part in parts)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Classes."""
        return [CompletionItem(name) for name in ("2xx", "3xx", "4xx", "5xx") if name.startswith(incomplete)]


class Methods(Kind):
    """Methods, in capitals."""

    name = "method,…"
    allowed = "a list of methods such as GET, HEAD, separated by commas"

    def _read(self, value: str) -> tuple[str, ...]:
        parts = tuple(part.strip().upper() for part in value.split(","))
        if not all(part.isalpha() and part.isascii() for part in parts):
            raise ValueError
        return parts

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Those that are mostly logged."""
        return [CompletionItem(name) for name in ("GET", "HEAD", "OPTIONS", "POST") if name.startswith(incomplete)]


class Clients(Kind):
    """Addresses and networks of clients."""

    name = "cidr,…"
    allowed = "a list of addresses or networks such as 192.0.2.7, 10.0.0.0/8, ::1, separated by commas"

    def _read(self, value: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in value.split(","))


class Paths(Kind):
    """A pattern over paths, as rules have it."""

    name = "glob"
    allowed = "a pattern such as '/img/**' or '*.css'"

    def _read(self, value: str) -> "Glob":
        from wsrv.engine.static.glob import Glob

        return Glob(value)


class Since(Kind):
    """A time, as seconds since the epoch: so long ago, or a time of ISO 8601."""

    name = "time"
    allowed = "so long ago, as 10m, 2h or 1d, or a time such as 2026-11-25T10:00"

    def _read(self, value: str) -> float:
        match = _AGO.fullmatch(value.strip())
        if match is not None:
            return time.time() - float(match[1]) * _AGO_SECONDS[match[2]]
        from datetime import datetime

        return datetime.fromisoformat(value.strip()).timestamp()


@dataclass(frozen=True)
class Filter:
    """What is asked of lines; None where nothing is."""

    status: tuple[str, ...] | None = None
    method: tuple[str, ...] | None = None
    path: "Glob | None" = None
    client: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] | None = None
    slower_than: float | None = None
    since: float | None = None
    worker: int | None = None
    cache: str | None = None

    @property
    def asks(self) -> bool:
        """Whether it asks anything."""
        return any(getattr(self, name) is not None for name in self.__dataclass_fields__)

    def wants(self, line: "Line") -> bool:
        """Whether the line is wanted. Raises Stop for a line that cannot tell."""
        if not line.is_json:
            self._refuse_what_is_not_told()
        return (
            (self.status is None or str(line.status).startswith(self.status))
            and (self.method is None or line.method in self.method)
            and (self.worker is None or line.worker == self.worker)
            and (self.cache is None or line.cache == self.cache)
            and (self.slower_than is None or (line.duration is not None and line.duration > self.slower_than))
            and (self.path is None or self.path.match(unquote(line.path)) is not None)
            and (self.client is None or self._is_of(line.client))
            and (self.since is None or not self._is_before(line, self.since))
        )

    def is_past(self, line: "Line") -> bool:
        """Whether no line before this one can be wanted: it is too old."""
        return self.since is not None and self._is_before(line, self.since - DISORDER_SECONDS)

    @staticmethod
    def _is_before(line: "Line", since: float) -> bool:
        from wsrv.engine.log.line import epoch_of

        moment = epoch_of(line.time)
        return moment is not None and moment < int(since)

    def _is_of(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        return any(address in network for network in self.client or ())

    def _refuse_what_is_not_told(self) -> None:
        asked = {"--slower-than": self.slower_than, "--worker": self.worker, "--cache": self.cache}
        for option, value in asked.items():
            if value is not None:
                raise Stop(USAGE, f"{option}: lines of this format do not tell; a server with --log-format json does")
