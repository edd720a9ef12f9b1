# Plugins here are plain objects with hooks, registered beside the built-ins.
"""Parts are found by name, and a conflict or a misspelling is said in a sentence."""

from types import ModuleType
from typing import ClassVar

import pytest

from tests.cli.program import python
from wsrv.engine.cache.policy import Policy
from wsrv.plugins import inside
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.outside import Duplicate, PluginError
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.registry import HOOKS, Registry, UnknownPart, builtin_manager, load

POLICIES = ["sieve", "lru", "fifo", "clock", "lfu", "s3fifo", "arc", "gdsf", "wtinylfu"]


class Fresh(Lru):
    """As good as lru."""

    NAME: ClassVar[str] = "fresh"


def plugin_offering(*policies: type[Policy]) -> ModuleType:
    """A plugin as a module of someone else's would be."""

    @hookimpl
    def wsrv_register_policies() -> list[type[Policy]]:
        return list(policies)

    plugin = ModuleType("foo")
    plugin.__dict__["wsrv_register_policies"] = wsrv_register_policies
    return plugin


def test_the_built_in_parts_are_there_by_name() -> None:
    registry = load()
    assert registry.names("transport") == ["socketpair", "pidfd_getfd", "inherit", "reuseport"]
    assert registry.names("primitive") == ["posix", "robust", "eventfd", "flock"]
    assert registry.names("policy") == POLICIES


@pytest.mark.parametrize("disabled", [(), ("builtin.sieve", "builtin.inherit", "builtin.flock")])
def test_their_names_are_known_without_importing_them(disabled: tuple[str, ...]) -> None:
    registry = load(disabled)
    for kind in HOOKS:
        assert inside.names(kind, disabled) == registry.names(kind)


def test_a_chosen_part_is_the_registered_class() -> None:
    assert load().choose("policy", "lru") is Lru


def test_built_ins_are_plugins_with_names() -> None:
    registry = load()
    assert registry.origin("transport", "socketpair") == "builtin.socketpair"
    assert registry.origin("primitive", "posix") == "builtin.posix"
    assert registry.origin("policy", "lru") == "builtin.lru"


def test_an_unknown_name_lists_those_there_are_and_the_nearest() -> None:
    with pytest.raises(UnknownPart) as unknown:
        load().choose("transport", "socket-pair")
    said = (
        "no transport 'socket-pair'; there are: socketpair, pidfd_getfd, inherit, reuseport; did you mean 'socketpair'?"
    )
    assert str(unknown.value) == said
    assert unknown.value.nearest == "socketpair"
    with pytest.raises(UnknownPart, match="did you mean 'lru'"):
        load().choose("policy", "LRU")


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(UnknownPart) as unknown:
        load().choose("primitive", "zzz")
    assert str(unknown.value) == "no sync primitive 'zzz'; there are: posix, robust, eventfd, flock"
    assert unknown.value.nearest is None


def test_a_disabled_plugin_is_not_there() -> None:
    disabled = [f"builtin.{name}" for name in POLICIES]
    registry = load(disabled)
    assert registry.policies == {}
    assert registry.disabled() == disabled
    assert "socketpair" in registry.transports
    with pytest.raises(UnknownPart, match=r"^no cache policy 'lru'; none is loaded$"):
        registry.choose("policy", "lru")


def test_anothers_plugin_stands_beside_the_built_ins() -> None:
    manager = builtin_manager()
    manager.register(plugin_offering(Fresh), "foo")
    registry = Registry(manager)
    assert registry.names("policy")[-1] == "fresh"
    assert registry.choose("policy", "fresh") is Fresh
    assert registry.origin("policy", "fresh") == "foo"


def test_a_name_offered_twice_names_both_plugins_and_the_remedy() -> None:
    manager = builtin_manager()
    manager.register(plugin_offering(Lru), "foo")
    with pytest.raises(Duplicate) as duplicate:
        Registry(manager)
    assert str(duplicate.value) == (
        "'foo' offers cache policy 'lru', which 'builtin.lru' offers already; disable one with WSRV_DISABLE_PLUGINS=foo"
    )


def test_the_remedy_for_a_conflict_works_for_either_party() -> None:
    for disabled, origin in (("foo", "builtin.lru"), ("builtin.lru", "foo")):
        manager = builtin_manager([disabled])
        manager.register(plugin_offering(Lru), "foo")
        assert Registry(manager).origin("policy", "lru") == origin


def test_an_unfit_class_of_no_outsider_is_an_error_that_names_it() -> None:
    class Unfit(Lru):
        NAME: ClassVar[str] = "unfit"

    manager = builtin_manager()
    manager.register(plugin_offering(Unfit), "foo")
    with pytest.raises(PluginError, match=r"^'foo': cache policy tests.*Unfit: no docstring$"):
        Registry(manager)


def test_what_a_built_in_raises_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(Lru, "available", fail)
    with pytest.raises(KeyError):
        load().obstacle("policy", "lru", None)


def test_a_disabled_built_in_is_not_even_imported() -> None:
    code = "import sys; from wsrv.plugins.registry import load; load(['builtin.flock']); print(*sys.modules)"
    there = python(code).stdout.split()
    assert "wsrv.plugins.primitives.eventfd" in there
    assert "wsrv.plugins.primitives.flock" not in there


def test_without_docstrings_the_built_ins_are_there_all_the_same() -> None:
    code = "from wsrv.plugins.registry import load; print(load.__doc__, *load().primitives)"
    assert python(code, {"PYTHONOPTIMIZE": "2"}).stdout == "None posix robust eventfd flock\n"
