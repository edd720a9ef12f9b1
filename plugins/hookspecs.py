# The hooks that a plugin of wsrv may implement, and nothing else.
#
# A hook registers classes. It is called once, when parts are looked up by name at start, and never on the request
# path. A plugin is a module, or any other object, whose functions carry `hookimpl` and a hook's name.
"""The hooks of wsrv, for pluggy's project name `wsrv`."""

import pluggy

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import Transport
from wsrv.engine.sync.primitive import Primitive

# Raised when a hook, or a protocol of what the hooks register, changes so that older plugins no longer fit.
API_VERSION = 1

PROJECT = "wsrv"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def wsrv_register_transports() -> list[type[Transport]]:  # type: ignore[empty-body]  # a specification: never called
    """The transports that this plugin offers, for `--ipc`."""


@hookspec
def wsrv_register_primitives() -> list[type[Primitive]]:  # type: ignore[empty-body]  # a specification: never called
    """The synchronisation primitives that this plugin offers, for `--sync`."""


@hookspec
def wsrv_register_policies() -> list[type[Policy]]:  # type: ignore[empty-body]  # a specification: never called
    """The cache policies that this plugin offers, for `--cache-policy`."""
