# Plugins of other distributions: taken in when they fit, else left out and named.
#
# Rule 1: whatever such a plugin does when it is imported, registered or asked, wsrv goes on without it. It becomes a
#   LeftOut, with its distribution and the reason: one line, and never a traceback.
# Rule 2: a plugin that is disabled is not imported.
# Rule 3: a plugin is named by its entry point, and can be disabled by that name or by its distribution's.
"""Taking in plugins from outside, and what is said of those that do not fit."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

import pluggy

from wsrv.engine.version import VERSION
from wsrv.plugins import hookspecs
from wsrv.plugins.entrypoints import DISABLE_VARIABLE, Origin, Unreadable, found, normalized
from wsrv.plugins.hookspecs import API_VERSION

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# What a plugin says it is written for.
API_ATTRIBUTE = "WSRV_API"

# An exception of somebody else's may carry pages.
_MAX_REASON = 200


class PluginError(Exception):
    """Something about plugins that the user can put right; the message is for them, in one line."""


class Duplicate(PluginError):
    """Two plugins offer the same kind of thing under one name."""

    def __init__(self, what: str, name: str, first: str, second: str) -> None:
        super().__init__(
            f"'{second}' offers {what} '{name}', which '{first}' offers already; "
            f"disable one with {DISABLE_VARIABLE}={second}"
        )


class Refused(PluginError):
    """A plugin cannot be taken in, and `remedy` is what helps."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A plugin that is not used, and why. `offers` holds (kind, name) of its parts, where `knows_offers`."""

    origin: Origin
    why: str
    remedy: str
    is_disabled: bool = False
    knows_offers: bool = False
    offers: frozenset[tuple[str, str]] = frozenset()

    @property
    def warning(self) -> str:
        """For the user, with the way to be rid of it."""
        return f"plugin {self.origin} is left out: {self.why}; {self.remedy}"


def one_line(error: BaseException) -> str:
    """The exception's kind and message in one printable line. Of our own the message alone."""
    try:
        words = " ".join(str(error).split())
    except Exception:
        words = ""
    text = "".join(c if c.isprintable() else "?" for c in words)
    if len(text) > _MAX_REASON:
        text = text[: _MAX_REASON - 1] + "…"
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Outsiders:
    """The plugins from outside that one manager holds, by name, and those that were left out."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.origins: dict[str, Origin] = {}
        self.left_out: list[LeftOut] = []
        # Of the names that were to be disabled, those that nobody from outside bears.
        self.unmatched: set[str] = set()
        self._manager = manager

    def take_in(self, disabled: Collection[str]) -> None:
        """Import and register everything that is found, apart from the disabled."""
        self.unmatched = set(disabled)
        for origin, entry in found():
            names = {normalized(origin.plugin), normalized(origin.distribution)}
            if meant := {name for name in disabled if normalized(name) in names}:
                self.unmatched -= meant
                why, remedy = f"disabled by {DISABLE_VARIABLE}", "take it out of there"
                self.left_out.append(LeftOut(origin, why, remedy, is_disabled=True))
                continue
            try:
                self._register(origin, entry)
            except (Exception, SystemExit) as error:
                self._note(origin, error)
            else:
                self.origins[origin.plugin] = origin

    def leave_out(self, plugin: str, error: BaseException, offers: Collection[tuple[str, str]]) -> bool:
        """Forget a plugin that has failed and is known to offer this; whether it is one from outside."""
        origin = self.origins.pop(plugin, None)
        if origin is None:
            return False
        self._manager.unregister(name=plugin)
        self._note(origin, error, offers)
        return True

    def warnings(self) -> list[str]:
        """A line for each plugin that failed."""
        return [missing.warning for missing in self.left_out if not missing.is_disabled]

    def _note(self, origin: Origin, error: BaseException, offers: Collection[tuple[str, str]] = ()) -> None:
        way = f"disable it with {DISABLE_VARIABLE}={origin.plugin}"
        remedy = error.remedy if isinstance(error, Refused) else way
        self.left_out.append(
            LeftOut(origin, one_line(error), remedy, knows_offers=bool(offers), offers=frozenset(offers))
        )

    def _register(self, origin: Origin, entry: Union["EntryPoint", Unreadable]) -> None:
        """Raises whatever the plugin raises, and Refused."""
        name, manager = origin.plugin, self._manager
        if isinstance(entry, Unreadable):
            raise PluginError(entry.why)
        if manager.has_plugin(name):
            other = self.origins[name].release if name in self.origins else "wsrv itself"
            one = f"disable one with {DISABLE_VARIABLE}={origin.distribution}"
            raise Refused(f"a plugin of {other} is called '{name}' too", one)
        plugin = entry.load()
        _check_version(plugin, origin)
        try:
            manager.register(plugin, name)
            _check_hooks(manager, plugin)
        except BaseException:
            manager.unregister(name=name)
            raise


def _check_version(plugin: Any, origin: Origin) -> None:
    """Raises Refused unless it says that it is written for our version of the hooks."""
    written_for = getattr(plugin, API_ATTRIBUTE, None)
    if type(written_for) is int and written_for == API_VERSION:
        return
    ours = f"wsrv {VERSION} has {API_VERSION}"
    disable = f"or disable it with {DISABLE_VARIABLE}={origin.plugin}"
    if type(written_for) is not int:
        said = f"sets {API_ATTRIBUTE} to {written_for!r}" if written_for is not None else f"has no {API_ATTRIBUTE}"
        raise Refused(
            f"it {said} to say for which plugin API it is written; {ours}",
            f"install a newer {origin.distribution}, {disable}",
        )
    newer = "wsrv" if written_for > API_VERSION else origin.distribution
    raise Refused(f"it is written for plugin API {written_for}, {ours}", f"install a newer {newer}, {disable}")


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Raises PluginError when it implements no hook, or one that there is not: often a misspelling."""
    callers = manager.get_hookcallers(plugin)
    if not callers:
        raise PluginError("it offers nothing: it has no function with @hookimpl")
    for caller in callers:
        if not caller.has_spec():
            known = [name for name in vars(hookspecs) if name.startswith("wsrv_")]
            near = difflib.get_close_matches(caller.name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise PluginError(f"there is no hook {caller.name}; {hint}")
