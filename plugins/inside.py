# Which plugins wsrv brings itself, and what each offers, known without importing any of them.
#
# Rule 1: each is a module that offers one part, and module and part are of one name: completion has 250 ms, of which
#   importing them all would take a sixth.
"""The built-in plugins."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsrv.plugins.checks import Kind

# In the order in which they are listed to a user: the default of each kind first.
BUILTINS: Mapping[str, str] = {
    "builtin.socketpair": "wsrv.plugins.transports.socketpair",
    "builtin.pidfd_getfd": "wsrv.plugins.transports.pidfd_getfd",
    "builtin.inherit": "wsrv.plugins.transports.inherit",
    "builtin.reuseport": "wsrv.plugins.transports.reuseport",
    "builtin.posix": "wsrv.plugins.primitives.posix",
    "builtin.robust": "wsrv.plugins.primitives.robust",
    "builtin.eventfd": "wsrv.plugins.primitives.eventfd",
    "builtin.flock": "wsrv.plugins.primitives.flock",
    "builtin.sieve": "wsrv.plugins.policies.sieve",
    "builtin.lru": "wsrv.plugins.policies.lru",
    "builtin.fifo": "wsrv.plugins.policies.fifo",
    "builtin.clock": "wsrv.plugins.policies.clock",
    "builtin.lfu": "wsrv.plugins.policies.lfu",
    "builtin.s3fifo": "wsrv.plugins.policies.s3fifo",
    "builtin.arc": "wsrv.plugins.policies.arc",
    "builtin.gdsf": "wsrv.plugins.policies.gdsf",
    "builtin.wtinylfu": "wsrv.plugins.policies.wtinylfu",
}

_PACKAGES: Mapping["Kind", str] = {
    "transport": "wsrv.plugins.transports",
    "primitive": "wsrv.plugins.primitives",
    "policy": "wsrv.plugins.policies",
}


def names(kind: "Kind", disabled: Collection[str] = ()) -> list[str]:
    """The names of the built-in parts of one kind, in the order of registration."""
    split = {plugin: module.rpartition(".") for plugin, module in BUILTINS.items() if plugin not in disabled}
    return [name for package, _, name in split.values() if package == _PACKAGES[kind]]
