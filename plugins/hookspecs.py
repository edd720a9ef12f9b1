# The hooks that a plugin of wsrv may implement, and nothing else.
#
# A hook registers classes, content types or commands. It is called once, when parts are looked up by name at start or
# commands at the command line, and never on the request path. A plugin is a module, or any other object, whose
# functions carry `hookimpl` and a hook's name. One from outside says in WSRV_API for which version of these hooks it
# was written.
"""The hooks of wsrv, for pluggy's project name `wsrv`."""

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # not at run time: the list of commands needs these hooks, and no part of a server
    import click

    from wsrv.engine.cache.policy import Policy
    from wsrv.engine.ipc.transport import Transport
    from wsrv.engine.sync.primitive import Primitive

# Raised when a hook, or a protocol of what the hooks register, changes so that older plugins no longer fit. A plugin
# whose WSRV_API is another number is left out.
API_VERSION = 1

PROJECT = "wsrv"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def wsrv_register_transports() -> "list[type[Transport]]":  # type: ignore[empty-body]  # a specification: never called
    """The transports that this plugin offers, for `--ipc`."""


@hookspec
def wsrv_register_primitives() -> "list[type[Primitive]]":  # type: ignore[empty-body]  # a specification: never called
    """The synchronisation primitives that this plugin offers, for `--sync`."""


@hookspec
def wsrv_register_policies() -> "list[type[Policy]]":  # type: ignore[empty-body]  # a specification: never called
    """The cache policies that this plugin offers, for `--cache-policy`."""


@hookspec
def wsrv_register_types() -> dict[str, str]:  # type: ignore[empty-body]  # a specification: never called
    """The content types that this plugin adds, by suffix: `{".foo": "text/x-foo"}`."""


@hookspec
def wsrv_register_commands(cli: "click.Group") -> None:
    """Add commands to `cli`, as to any group of click: each becomes a command of `wsrv`."""
