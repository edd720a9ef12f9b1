# Commands that plugins add: looked for when the commands are listed, and when a name is meant that is none of ours.
#
# Rule 1: where no plugin is installed this costs a look at the metadata, and imports no pluggy.
# Rule 2: each plugin adds to a group of its own: what fails half-way leaves nothing behind, and nobody changes ours.
# Rule 3: a name offered twice is nobody's; using it is an error that names both. Ours are never anybody else's.
"""The commands of plugins."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from wsrv.plugins.entrypoints import Origin, disabled, found

if TYPE_CHECKING:
    import pluggy

    from wsrv.plugins.outside import Duplicate, Outsiders

# Who offers our own commands, in a sentence about a conflict.
_OURSELVES = "wsrv"


@dataclass
class Foreign:
    """Commands by name, who offers each, the names that cannot be used, and what to tell the user of all that."""

    commands: dict[str, click.Command] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    conflicts: dict[str, "Duplicate"] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def load(ours: Collection[str], environ: Mapping[str, str] = os.environ) -> Foreign:
    """The commands of every plugin that is installed and not disabled. `ours` are the names that are taken."""
    if next(found(), None) is None:
        return Foreign()
    import pluggy

    from wsrv.plugins import hookspecs
    from wsrv.plugins.outside import Outsiders

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    outsiders = Outsiders(manager)
    outsiders.take_in(disabled(environ))
    there = gather(manager, outsiders, ours)
    there.warnings = [*outsiders.warnings(), *map(str, there.conflicts.values())]
    return there


def gather(manager: "pluggy.PluginManager", outsiders: "Outsiders", ours: Collection[str]) -> Foreign:
    """Ask each plugin of `manager` for its commands; those that fail are left out of `outsiders`."""
    there = Foreign()
    for implementation in manager.hook.wsrv_register_commands.get_hookimpls():
        group = click.Group()
        try:
            implementation.function(*[group for _ in implementation.argnames])
        except (Exception, SystemExit) as error:
            offers = {("command", name) for name in group.commands}
            if not outsiders.leave_out(implementation.plugin_name, error, offers):
                raise
            continue
        for name, command in group.commands.items():
            _offer(there, outsiders.origins[implementation.plugin_name], name, command, ours)
    for name in there.conflicts:
        there.commands.pop(name, None)
    return there


def _offer(there: Foreign, origin: Origin, name: str, command: click.Command, ours: Collection[str]) -> None:
    from wsrv.plugins.outside import Duplicate

    if name in ours or name in there.origins:
        first = _OURSELVES if name in ours else there.origins[name].plugin
        there.conflicts[name] = Duplicate("command", name, first, origin.plugin)
    else:
        there.commands[name] = command
        there.origins[name] = origin
