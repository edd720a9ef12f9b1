# Which parts there are, under which names, and who offers them.
#
# Rule 1: the built-ins are plugins like anyone else's: they register through the same hooks, can be disabled by
#   name, and are named as a party to a conflict.
# Rule 2: the hooks are called while a Registry is made and never again.
# Rule 3: a name offered twice is an error, never a silent choice.
"""The registry of transports, primitives and cache policies, filled from plugins."""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, cast, overload

import pluggy

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import Transport
from wsrv.engine.sync.primitive import Primitive
from wsrv.plugins import hookspecs

Kind = Literal["transport", "primitive", "policy"]

# What a kind is called in a sentence, as the help of its option calls it.
KIND_WORDS: Mapping[Kind, str] = {
    "transport": "transport",
    "primitive": "sync primitive",
    "policy": "cache policy",
}

# A plugin named here is not loaded. The caller of load() reads it; the messages below name it.
DISABLE_VARIABLE = "WSRV_DISABLE_PLUGINS"

# In the order in which they are listed to a user: the default of each kind first.
BUILTINS: Mapping[str, str] = {
    "builtin.socketpair": "wsrv.plugins.transports.socketpair",
    "builtin.posix": "wsrv.plugins.primitives.posix",
    "builtin.lru": "wsrv.plugins.policies.lru",
}


class PluginError(Exception):
    """Something about plugins that the user can put right; the message is for them, in one line."""


class Duplicate(PluginError):
    """Two plugins offer parts of one kind under one name."""

    def __init__(self, kind: Kind, name: str, first: str, second: str) -> None:
        super().__init__(
            f"'{second}' offers {KIND_WORDS[kind]} '{name}', which '{first}' offers already; "
            f"disable one with {DISABLE_VARIABLE}={second}"
        )
        self.kind, self.name, self.first, self.second = kind, name, first, second


class UnknownPart(PluginError):
    """Nobody offers a part of this kind under this name. `nearest` is the likely intention, or None."""

    def __init__(self, kind: Kind, name: str, known: Collection[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        close = difflib.get_close_matches(name.lower(), self.known, n=1)
        self.nearest = close[0] if close else None
        there_are = f"there are: {', '.join(self.known)}" if self.known else "none is loaded"
        did_you_mean = f"; did you mean '{self.nearest}'?" if self.nearest else ""
        super().__init__(f"no {KIND_WORDS[kind]} '{name}'; {there_are}{did_you_mean}")


class Registry:
    """The parts that the plugins of one manager offer, by kind and name, in the order of registration.

    Raises Duplicate when a name is offered twice.
    """

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._origins: dict[tuple[Kind, str], str] = {}
        hook = manager.hook
        self.transports: dict[str, type[Transport]] = self._gather("transport", hook.wsrv_register_transports)
        self.primitives: dict[str, type[Primitive]] = self._gather("primitive", hook.wsrv_register_primitives)
        self.policies: dict[str, type[Policy]] = self._gather("policy", hook.wsrv_register_policies)

    def _gather(self, kind: Kind, hook: pluggy.HookCaller) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        for plugin, offered in _offers(hook):
            for part in offered:
                if part.NAME in parts:
                    raise Duplicate(kind, part.NAME, self.origin(kind, part.NAME), plugin)
                parts[part.NAME] = part
                self._origins[kind, part.NAME] = plugin
        return parts

    def origin(self, kind: Kind, name: str) -> str:
        """The name of the plugin that offers this part. Raises KeyError."""
        return self._origins[kind, name]

    @overload
    def choose(self, kind: Literal["transport"], name: str) -> type[Transport]: ...
    @overload
    def choose(self, kind: Literal["primitive"], name: str) -> type[Primitive]: ...
    @overload
    def choose(self, kind: Literal["policy"], name: str) -> type[Policy]: ...

    def choose(self, kind: Kind, name: str) -> type[Transport] | type[Primitive] | type[Policy]:
        """The class of this kind and name. Raises UnknownPart."""
        shelves: dict[Kind, Mapping[str, type[Transport] | type[Primitive] | type[Policy]]] = {
            "transport": self.transports,
            "primitive": self.primitives,
            "policy": self.policies,
        }
        if name not in shelves[kind]:
            raise UnknownPart(kind, name, shelves[kind])
        return shelves[kind][name]


def _offers(hook: pluggy.HookCaller) -> Iterator[tuple[str, Sequence[Any]]]:
    """Each plugin's answer with the plugin's name, the first registered first: a plain call would drop the names."""
    for implementation in hook.get_hookimpls():
        yield implementation.plugin_name, cast(Sequence[Any], implementation.function())


def builtin_manager(disabled: Collection[str] = ()) -> pluggy.PluginManager:
    """A plugin manager that knows the hooks and holds the built-ins, apart from the disabled ones."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name in disabled:
        manager.set_blocked(name)
    for name, module in BUILTINS.items():
        if not manager.is_blocked(name):
            manager.register(import_module(module), name)
    return manager


def load(disabled: Collection[str] = ()) -> Registry:
    """Everything there is, but for the plugins disabled by name. Raises Duplicate."""
    return Registry(builtin_manager(disabled))
