# Names of exchangeable parts become classes here, and only here.
"""Loading the registry, and choosing from it what the settings name."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wsrv.cli.exits import CANNOT_START, USAGE, Stop
from wsrv.cli.table import SETTINGS
from wsrv.cli.units import Part

if TYPE_CHECKING:
    from wsrv.cli.values import Value
    from wsrv.engine.master.master import Parts
    from wsrv.engine.master.outcome import Voice
    from wsrv.engine.settings import CacheSettings
    from wsrv.plugins.registry import Kind, Registry


def registry(environ: Mapping[str, str] = os.environ) -> "Registry":
    """Every part there is, but for the plugins that WSRV_DISABLE_PLUGINS names, commas between. Raises Stop."""
    from wsrv.plugins.entrypoints import disabled
    from wsrv.plugins.outside import PluginError
    from wsrv.plugins.registry import load

    try:
        return load(disabled(environ))
    except PluginError as error:
        raise Stop(USAGE, str(error)) from error


def names(kind: "Kind") -> list[str]:
    """The names of the parts of one kind; nothing is imported where there are built-ins alone. Raises Stop."""
    from wsrv.plugins import inside
    from wsrv.plugins.entrypoints import disabled, found

    if any(found()):
        return registry().names(kind)
    return inside.names(kind, disabled(os.environ))


def unknown(values: Mapping[str, "Value"], there: "Registry") -> list[str]:
    """What names no part, a line each."""
    from wsrv.engine.cache.variants import UnfitParameter
    from wsrv.plugins.registry import UnknownPart

    faults = []
    for setting in SETTINGS:
        if isinstance(setting.kind, Part) and setting.key in values:
            try:
                there.choose(setting.kind.kind, values[setting.key].value)
            except (UnknownPart, UnfitParameter) as error:
                faults.append(f"{values[setting.key].origin}: {error}")
    return faults


def choose(values: Mapping[str, "Value"], cache: "CacheSettings", voice: "Voice | None" = None) -> "Parts":
    """The parts that the settings name; of plugins that are left out the voice warns.

    Raises Stop: an unknown part is usage, one that cannot work here no start.
    """
    from wsrv.engine.settings import SHARED

    there = registry()
    if voice is not None:
        for warning in there.warnings():
            voice.warn(warning)
    if faults := unknown(values, there):
        raise Stop(USAGE, "\n".join(faults))
    ipc, sync, policy = (values[key].value for key in ("server.ipc", "server.sync", "cache.policy"))
    if cache.scope == SHARED:
        sync = _that_survives(values["server.sync"], there, voice)
    transport_class = there.choose("transport", ipc)
    primitive_class = there.choose("primitive", sync)
    policy_class = there.choose("policy", policy)
    for name, obstacle in (
        (ipc, there.obstacle("transport", ipc)),
        (sync, there.obstacle("primitive", sync)),
        (policy, there.obstacle("policy", policy, cache)),
    ):
        if obstacle is not None:
            raise Stop(CANNOT_START, obstacle if obstacle.startswith(name) else f"{name}: {obstacle}")
    from wsrv.engine.master.master import Parts

    primitives, types = tuple(there.primitives.values()), tuple(there.types.items())
    return Parts(transport_class, primitive_class, policy_class, primitives, types, there.policies)


def _that_survives(named: "Value", there: "Registry", voice: "Voice | None") -> str:
    """The primitive for a shared cache: the one that was named, or where none was, one that fits. Raises Stop."""
    from wsrv.engine.master.sharedcache import NEEDS
    from wsrv.engine.master.slot import NEEDS as SLOT_NEEDS
    from wsrv.engine.sync.need import fitting, obstacle
    from wsrv.engine.worker.pool import NEEDS as POOL_NEEDS

    name: str = named.value
    chosen = there.choose("primitive", name)
    if obstacle(chosen, NEEDS) is None:
        return name
    everything, others = (*NEEDS, *SLOT_NEEDS, *POOL_NEEDS), tuple(there.primitives.values())
    there_are = fitting(everything, others)
    if named.layer == "default" and there_are:
        if voice is not None:
            voice.say(f"--cache-scope shared needs more than --sync {name} offers; this is --sync {there_are[0]}")
        return there_are[0]
    raise Stop(USAGE, f"--cache-scope shared: {obstacle(chosen, everything, others)}")
