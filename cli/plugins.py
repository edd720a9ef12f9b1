# `wsrv plugins`: everything that can be exchanged, and whose it is.
#
# Rule 1: what is installed is listed, also what cannot be used, with the reason. Only a name that two offer ends it.
# Rule 2: with --json, keys and kinds are fixed: later ones are added, never changed.
"""The command `wsrv plugins`."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from wsrv.cli.exits import USAGE, Stop
from wsrv.cli.linux import require_linux
from wsrv.cli.voice import TerminalVoice
from wsrv.plugins.entrypoints import DISABLE_VARIABLE, Origin

if TYPE_CHECKING:
    from wsrv.cli.foreign import Foreign
    from wsrv.plugins.outside import LeftOut
    from wsrv.plugins.registry import Kind, Registry

_SCHEMA = 1
_BUILTIN = "builtin"
_WIDTH = 80


@dataclass(frozen=True)
class Row:
    """One thing that somebody offers; or, of the kind `plugin`, a plugin of which nothing is used.

    `plugin` is the name that WSRV_DISABLE_PLUGINS takes. `reason` says why it is not available.
    """

    name: str
    kind: str
    plugin: str
    distribution: str | None
    version: str | None
    offers: list[str]
    reason: str | None

    @property
    def origin(self) -> str:
        """Distribution and version, or that it is built in."""
        if self.distribution is None:
            return _BUILTIN
        return Origin(self.plugin, self.distribution, self.version or "").release

    def document(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self) | {"origin": self.origin, "available": self.reason is None}


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print it all as JSON.")
def command(as_json: bool) -> None:
    """List the exchangeable parts, and who offers them.

    For each part and command: its kind, the distribution that brings it or `builtin`, whether it can be used here, and
    what it offers. What cannot be used is listed with the reason.

    \b
    Examples:
      wsrv plugins
      wsrv plugins --json | jq -r '.plugins[].reason // empty'

    Exit status: 0 listed, 2 two plugins offer the same name.
    """
    require_linux()
    from wsrv.cli import foreign
    from wsrv.cli.main import COMMANDS
    from wsrv.cli.parts import registry
    from wsrv.plugins.hookspecs import API_VERSION

    there = registry()
    for stranger in there.strangers():
        TerminalVoice().warn(stranger)
    rows = [*_parts(there), *_types(there)]
    commands = foreign.gather(there.manager, there.outsiders, COMMANDS)
    if commands.conflicts:
        raise Stop(USAGE, "\n".join(str(conflict) for conflict in commands.conflicts.values()))
    rows += [*_commands(commands), *_disabled(there), *map(_left_out, there.outsiders.left_out)]
    if as_json:
        listed = [row.document() for row in rows]
        click.echo(json.dumps({"schema": _SCHEMA, "api_version": API_VERSION, "plugins": listed}, indent=2))
    else:
        click.echo("\n".join(table(rows)))


def table(rows: list[Row]) -> list[str]:
    """A line for each row, and the reason below one that is not available."""
    from textwrap import wrap

    from wsrv.plugins.registry import KIND_WORDS

    lines = [("name", "kind", "origin", "available", "offers")]
    for row in rows:
        available = "yes" if row.reason is None else "no"
        lines.append((row.name, KIND_WORDS.get(row.kind, row.kind), row.origin, available, ", ".join(row.offers)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for line, reason in zip(lines, [None, *(row.reason for row in rows)], strict=True):
        texts.append("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip())
        texts += wrap(reason or "", _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return texts


def _parts(there: "Registry") -> Iterator[Row]:
    from wsrv.engine.settings import CacheSettings

    for name, transport in there.transports.items():
        offers = ["master dispatches" if transport.DISPATCHES else "workers accept"]
        yield _part(there, "transport", name, offers)
    for name, primitive in there.primitives.items():
        yield _part(there, "primitive", name, sorted(primitive.OFFERS))
    for name in there.policies:
        yield _part(there, "policy", name, [], CacheSettings())


def _part(there: "Registry", kind: "Kind", name: str, offers: list[str], *arguments: Any) -> Row:
    plugin = there.origin(kind, name)
    origin = there.outsiders.origins.get(plugin)
    distribution, version = (origin.distribution, origin.version) if origin else (None, None)
    return Row(name, kind, plugin, distribution, version, offers, there.obstacle(kind, name, *arguments))


def _types(there: "Registry") -> Iterator[Row]:
    """A row for each plugin that adds content types: what it offers are suffixes."""
    for plugin, origin in there.outsiders.origins.items():
        if suffixes := there.types_of(plugin):
            yield Row(plugin, "types", plugin, origin.distribution, origin.version, suffixes, None)


def _commands(commands: "Foreign") -> Iterator[Row]:
    for name in commands.commands:
        origin = commands.origins[name]
        yield Row(name, "command", origin.plugin, origin.distribution, origin.version, [], None)


def _disabled(there: "Registry") -> Iterator[Row]:
    for name in there.disabled():
        yield Row(name, "plugin", name, None, None, [], f"disabled by {DISABLE_VARIABLE}")


def _left_out(missing: "LeftOut") -> Row:
    origin = missing.origin
    offers = sorted(name for _, name in missing.offers)
    reason = f"{missing.why}; {missing.remedy}"
    return Row(origin.plugin, "plugin", origin.plugin, origin.distribution, origin.version, offers, reason)
