# Plugins here are plain objects with hooks, registered beside the built-ins.
"""Parts are found by name, and a conflict or a misspelling is said in a sentence."""

import subprocess
import sys
from types import ModuleType
from typing import ClassVar

import pytest

from wsrv.engine.cache.policy import Policy
from wsrv.plugins.hookspecs import hookimpl
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.registry import Duplicate, Registry, UnknownPart, builtin_manager, load


class Fresh(Lru):
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
    assert list(registry.transports) == ["socketpair"]
    assert list(registry.primitives) == ["posix"]
    assert list(registry.policies) == ["lru"]


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
    assert str(unknown.value) == "no transport 'socket-pair'; there are: socketpair; did you mean 'socketpair'?"
    assert unknown.value.nearest == "socketpair"


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(UnknownPart) as unknown:
        load().choose("primitive", "zzz")
    assert str(unknown.value) == "no sync primitive 'zzz'; there are: posix"
    assert unknown.value.nearest is None


def test_a_disabled_plugin_is_not_there() -> None:
    registry = load(disabled=["builtin.lru"])
    assert registry.policies == {}
    assert list(registry.transports) == ["socketpair"]
    with pytest.raises(UnknownPart, match=r"^no cache policy 'lru'; none is loaded$"):
        registry.choose("policy", "lru")


def test_anothers_plugin_stands_beside_the_built_ins() -> None:
    manager = builtin_manager()
    manager.register(plugin_offering(Fresh), "foo")
    registry = Registry(manager)
    assert list(registry.policies) == ["lru", "fresh"]
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


def test_loading_the_built_ins_reads_no_package_metadata() -> None:
    # That would read a folder of every installed distribution at each start.
    script = "import sys; from wsrv.plugins.registry import load; load(); print('importlib.metadata' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
