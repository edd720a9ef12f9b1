# Who may say for whom it asks, as a person names them.
"""The kinds of `proxy.trusted` and `proxy.field`, and networks that a Unix socket may be among."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from wsrv.cli.units import OFF, Kind, Networks

_FIELDS = ("any", "forwarded", "x-forwarded-for")


class Peers(Networks):
    """Networks, and `unix:` for whoever comes over a Unix socket. OFF for nobody."""

    name = "cidr,…"
    allowed = f"a list of networks such as 127.0.0.0/8, ::1, unix: for a Unix socket, separated by commas; or {OFF}"

    def _read(self, value: str) -> tuple[str, ...]:
        if value == OFF:
            return ()
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not parts:
            raise ValueError
        from wsrv.engine.settings import UNIX

        return tuple(UNIX if part == UNIX else super(Peers, self)._read(part)[0] for part in parts)

    def write(self, value: tuple[str, ...]) -> str:
        """The networks, separated by commas."""
        return super().write(value) or OFF


class ProxyField(Kind):
    """The field in which a proxy says for whom it asks."""

    name = "field"
    allowed = f"one of: {', '.join(_FIELDS)}"

    def _read(self, value: str) -> str:
        if value.lower() not in _FIELDS:
            raise ValueError
        return value.lower()

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """The fields."""
        return [CompletionItem(word) for word in _FIELDS if word.startswith(incomplete)]
