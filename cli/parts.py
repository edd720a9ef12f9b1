# Names of exchangeable parts become classes here, and only here.
"""Loading the registry, and choosing from it what the settings name."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wsrv.cli.exits import CANNOT_START, USAGE, Stop

if TYPE_CHECKING:
    from wsrv.cli.config import Value
    from wsrv.engine.master.master import Parts
    from wsrv.engine.settings import CacheSettings
    from wsrv.plugins.registry import Registry


def registry(environ: Mapping[str, str] = os.environ) -> "Registry":
    """Every part there is, but for the plugins that WSRV_DISABLE_PLUGINS names, commas between. Raises Stop."""
    from wsrv.plugins.registry import DISABLE_VARIABLE, PluginError, load

    try:
        return load(environ.get(DISABLE_VARIABLE, "").replace(",", " ").split())
    except PluginError as error:
        raise Stop(USAGE, str(error)) from error


def choose(values: Mapping[str, "Value"], cache: "CacheSettings") -> "Parts":
    """The parts that the settings name. Raises Stop: an unknown one is usage, one that cannot work here no start."""
    from wsrv.plugins.registry import UnknownPart

    ipc, sync, policy = values["server.ipc"], values["server.sync"], values["cache.policy"]
    shelf = registry()
    chosen = ipc
    try:
        transport_class = shelf.choose("transport", ipc.value)
        chosen = sync
        primitive_class = shelf.choose("primitive", sync.value)
        chosen = policy
        policy_class = shelf.choose("policy", policy.value)
    except UnknownPart as error:
        raise Stop(USAGE, f"{chosen.origin}: {error}") from error
    for value, obstacle in (
        (ipc, transport_class.available()),
        (sync, primitive_class.available()),
        (policy, policy_class.available(cache)),
    ):
        if obstacle is not None:
            raise Stop(CANNOT_START, obstacle if obstacle.startswith(value.value) else f"{value.value}: {obstacle}")
    from wsrv.engine.master.master import Parts

    return Parts(transport_class, primitive_class, policy_class)
