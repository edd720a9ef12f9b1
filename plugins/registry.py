# Which parts there are, under which names, and who offers them.
#
# Rule 1: the built-ins are plugins like anyone else's: they register through the same hooks, can be disabled by
#   name, and are named as a party to a conflict.
# Rule 2: the hooks are called while a Registry is made and never again.
# Rule 3: a name offered twice is an error, never a silent choice.
"""The registry of transports, primitives, cache policies and content types, filled from plugins."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from typing import Any, Literal, cast, overload

import pluggy

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.variants import variant
from wsrv.engine.ipc.transport import Transport
from wsrv.engine.static.mime import is_content_type, is_suffix
from wsrv.engine.sync.primitive import Primitive
from wsrv.plugins import hookspecs
from wsrv.plugins.checks import Kind as Kind
from wsrv.plugins.checks import faults
from wsrv.plugins.entrypoints import DISABLE_VARIABLE
from wsrv.plugins.inside import BUILTINS
from wsrv.plugins.outside import Duplicate, LeftOut, Outsiders, PluginError, one_line

# What a kind is called in a sentence, as the help of its option calls it.
KIND_WORDS: Mapping[str, str] = {
    "transport": "transport",
    "primitive": "sync primitive",
    "policy": "cache policy",
    "types": "content types",
}

# The hook that registers each kind.
HOOKS: Mapping[Kind, str] = {
    "transport": "wsrv_register_transports",
    "primitive": "wsrv_register_primitives",
    "policy": "wsrv_register_policies",
}


# Beside the kinds of parts, what has an origin.
_TYPE = "type"


class Unfit(PluginError):
    """A plugin's answer to a hook is not what can be registered there."""


class UnknownPart(PluginError):
    """Nobody offers a part of this kind under this name. `nearest` is the likely intention, or None."""

    def __init__(self, kind: Kind, name: str, known: Collection[str], left_out: Collection[LeftOut] = ()) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        close = difflib.get_close_matches(name.lower(), self.known, n=1)
        self.nearest = close[0] if close else None
        there_are = f"there are: {', '.join(self.known)}" if self.known else "none is loaded"
        did_you_mean = f"; did you mean '{self.nearest}'?" if self.nearest else ""
        super().__init__(f"no {KIND_WORDS[kind]} '{name}'; {there_are}{did_you_mean}{self._absent(left_out)}")

    def _absent(self, left_out: Collection[LeftOut]) -> str:
        """Whose plugin, left out, offers it; of those of which it is not known what they offer, all that may."""
        does = [missing for missing in left_out if (self.kind, self.name) in missing.offers]
        may = [missing for missing in left_out if not missing.knows_offers]
        who = ", ".join(f"{missing.origin}" for missing in does or may)
        if not who:
            return ""
        were = "was" if len(does or may) == 1 else "were"
        return f"; {who} {'offers' if does else 'may offer'} it and {were} left out: see wsrv plugins"


class Registry:
    """The parts that the plugins of one manager offer, by kind and name, in the order of registration.

    Of the outsiders, those that answer with something unfit are left out; of others that raises Unfit. Raises
    Duplicate when a name is offered twice.
    """

    def __init__(self, manager: pluggy.PluginManager, outsiders: Outsiders | None = None) -> None:
        self.manager = manager
        self.outsiders = outsiders or Outsiders(manager)
        self.transports: dict[str, type[Transport]] = {}
        self.primitives: dict[str, type[Primitive]] = {}
        self.policies: dict[str, type[Policy]] = {}
        # Content types by suffix, in lower case.
        self.types: dict[str, str] = {}
        self._origins: dict[tuple[str, str], str] = {}
        for name, _ in manager.list_name_plugin():
            self._take_in(name)

    def _take_in(self, plugin: str) -> None:
        """Register what one plugin offers: all of it, or nothing."""
        offers: list[tuple[Kind, Any]] = []
        types: dict[str, str] = {}
        try:
            for kind, hook in HOOKS.items():
                offers += [(kind, part) for part in _answer(self.manager, plugin, hook)]
            for kind, part in offers:
                if found := faults(kind, part):
                    raise Unfit(f"{KIND_WORDS[kind]} {_class_name(part)}: {'; '.join(found)}")
            types = _types(self.manager, plugin)
        except (Exception, SystemExit) as error:
            named = {(kind, str(getattr(part, "NAME", ""))) for kind, part in offers}
            if self.outsiders.leave_out(plugin, error, named):
                return
            raise Unfit(f"'{plugin}': {one_line(error)}") from error
        for kind, part in offers:
            shelf = self._shelf(kind)
            if part.NAME in shelf:
                raise Duplicate(KIND_WORDS[kind], part.NAME, self.origin(kind, part.NAME), plugin)
            shelf[part.NAME] = part
            self._origins[kind, part.NAME] = plugin
        for suffix, content_type in types.items():
            if self.types.setdefault(suffix, content_type) != content_type:
                raise Duplicate("a content type for", suffix, self._origins[_TYPE, suffix], plugin)
            self._origins.setdefault((_TYPE, suffix), plugin)

    def _shelf(self, kind: Kind) -> dict[str, Any]:
        shelves: dict[Kind, dict[str, Any]] = {
            "transport": self.transports,
            "primitive": self.primitives,
            "policy": self.policies,
        }
        return shelves[kind]

    def names(self, kind: Kind) -> list[str]:
        """The names that `choose` knows, in the order of registration."""
        return list(self._shelf(kind))

    def origin(self, kind: Kind, name: str) -> str:
        """The name of the plugin that offers this part. Raises KeyError."""
        return self._origins[kind, _plain(kind, name)]

    def types_of(self, plugin: str) -> list[str]:
        """The suffixes for which this plugin adds content types."""
        return [suffix for suffix in self.types if self._origins[_TYPE, suffix] == plugin]

    @overload
    def choose(self, kind: Literal["transport"], name: str) -> type[Transport]: ...
    @overload
    def choose(self, kind: Literal["primitive"], name: str) -> type[Primitive]: ...
    @overload
    def choose(self, kind: Literal["policy"], name: str) -> type[Policy]: ...

    def choose(self, kind: Kind, name: str) -> type[Transport] | type[Primitive] | type[Policy]:
        """The class of this kind and name; a policy's may have parameters. Raises UnknownPart, UnfitParameter."""
        shelf = self._shelf(kind)
        plain = _plain(kind, name)
        if plain not in shelf:
            raise UnknownPart(kind, plain, shelf, self.outsiders.left_out)
        if plain != name:
            return variant(self.policies, name)
        return cast("type[Transport] | type[Primitive] | type[Policy]", shelf[name])

    def warnings(self) -> list[str]:
        """What the user should know of plugins that are not used, a line each."""
        return [*self.outsiders.warnings(), *self.strangers()]

    def strangers(self) -> list[str]:
        """A line for each name that was to be disabled, and is no plugin's."""
        names = sorted(self.outsiders.unmatched.difference(BUILTINS))
        return [f"{DISABLE_VARIABLE}: no plugin is called '{name}'; see wsrv plugins" for name in names]

    def disabled(self) -> list[str]:
        """The built-ins that are disabled."""
        return [name for name in BUILTINS if self.manager.is_blocked(name)]

    def obstacle(self, kind: Kind, name: str, *arguments: Any) -> str | None:
        """What available(*arguments) of this part says: None, or why it cannot work here.

        When somebody else's raises, that is why. What a built-in raises is raised.
        """
        try:
            return cast("str | None", self._shelf(kind)[_plain(kind, name)].available(*arguments))
        except Exception as error:
            origin = self.outsiders.origins.get(self.origin(kind, name))
            if origin is None:
                raise
            return f"{name}: available() of {origin} raised {one_line(error)}"


def _plain(kind: Kind, name: str) -> str:
    """The name without the parameters that a policy's may have."""
    return name.partition(":")[0] if kind == "policy" else name


def _answer(manager: pluggy.PluginManager, plugin: str, hook: str) -> Iterator[Any]:
    """What one plugin answers to one hook; nothing when it does not implement it. Raises Unfit."""
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin_name == plugin:
            answer = implementation.function()
            if not isinstance(answer, (list, tuple)):
                raise Unfit(f"{hook}() returned {answer!r}, not a list of classes")
            yield from answer


def _types(manager: pluggy.PluginManager, plugin: str) -> dict[str, str]:
    """The content types that one plugin adds, by suffix in lower case. Raises Unfit."""
    found: dict[str, str] = {}
    for implementation in manager.hook.wsrv_register_types.get_hookimpls():
        if implementation.plugin_name == plugin:
            answer = implementation.function()
            if not isinstance(answer, Mapping):
                raise Unfit(f"wsrv_register_types() returned {answer!r}, not a dict of content types by suffix")
            for suffix, kind in answer.items():
                if not (isinstance(suffix, str) and is_suffix(suffix)):
                    raise Unfit(f"content type {kind!r}: {suffix!r} is not a suffix such as '.foo', with one dot")
                if not (isinstance(kind, str) and is_content_type(kind)):
                    raise Unfit(f"content type for '{suffix}': {kind!r} is not one such as text/x-foo")
                if found.setdefault(suffix.lower(), kind) != kind:
                    raise Unfit(f"content type for '{suffix}': there are two, in capitals and not")
    return found


def _class_name(part: Any) -> str:
    return f"{part.__module__}.{part.__qualname__}" if isinstance(part, type) else repr(part)


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
    manager = builtin_manager(disabled)
    outsiders = Outsiders(manager)
    outsiders.take_in(disabled)
    return Registry(manager, outsiders)
