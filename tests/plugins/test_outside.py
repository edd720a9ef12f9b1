# Plugins of other distributions as they come: most of these are broken, each in its way.
"""What does not fit is left out, named and explained; everything else goes on."""

from pathlib import Path

import pytest

from tests.plugins.strangers import GOOD, entry_points, install
from wsrv.engine.version import VERSION
from wsrv.plugins.outside import Duplicate, LeftOut
from wsrv.plugins.registry import Registry, UnknownPart, load

HOOK = "from wsrv.plugins.hookspecs import hookimpl\nWSRV_API = 1\n@hookimpl\n"


def only_left_out(registry: Registry) -> LeftOut:
    """The one plugin that was left out, while the built-ins are there."""
    (missing,) = registry.outsiders.left_out
    assert "lru" in registry.policies
    assert "socketpair" in registry.transports
    return missing


def test_a_plugin_that_fits_is_there_with_its_distribution(folder: Path) -> None:
    plugin = install(folder, "tester-good", GOOD)
    registry = load()
    assert registry.choose("policy", "good").__name__ == "Good"
    assert registry.origin("policy", "good") == plugin
    assert registry.outsiders.origins[plugin].release == "tester-good 1.0"
    assert registry.warnings() == []


@pytest.mark.parametrize(
    ("code", "entry", "why"),
    [
        (None, "{module}", "ModuleNotFoundError: No module named 'tester_bad'"),
        ("import nowhere_to_be_found", "{module}", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("raise ValueError('two\\nlines \\x1b[31m')", "{module}", "ValueError: two lines ?[31m"),
        ("raise ValueError('x' * 1000)", "{module}", f"ValueError: {'x' * 199}…"),
        ("raise ValueError('x' * 200)", "{module}", f"ValueError: {'x' * 200}"),
        ("raise RuntimeError", "{module}", "RuntimeError"),
        ("class Mute(Exception):\n  def __str__(self): return 1 / 0\nraise Mute", "{module}", "Mute"),
        ("import sys; sys.exit(3)", "{module}", "SystemExit: 3"),
        ("def f(:", "{module}", "SyntaxError: invalid syntax (tester_bad.py, line 1)"),
        ("", "{module}:plugin", "AttributeError: module 'tester_bad' has no attribute 'plugin'"),
        ("WSRV_API = 1", "{module}", "it offers nothing: it has no function with @hookimpl"),
        (
            "WSRV_API = 1",
            "{module}:WSRV_API",
            f"it has no WSRV_API to say for which plugin API it is written; {VERSION}",
        ),
        (
            HOOK + "def wsrv_register_policy(): return []",
            "{module}",
            "there is no hook wsrv_register_policy; did you mean wsrv_register_policies?",
        ),
        (
            HOOK + "def policies(): return []",
            "{module}",
            "there is no hook policies; there are: wsrv_register_transports, wsrv_register_primitives, "
            "wsrv_register_policies, wsrv_register_types, wsrv_register_commands",
        ),
        (
            HOOK + "def wsrv_register_types(): return ['.foo']",
            "{module}",
            "wsrv_register_types() returned ['.foo'], not a dict of content types by suffix",
        ),
        (
            HOOK + "def wsrv_register_types(): return {'foo': 'text/x-foo'}",
            "{module}",
            "content type 'text/x-foo': 'foo' is not a suffix such as '.foo', with one dot",
        ),
        (
            HOOK + "def wsrv_register_types(): return {1: 'text/x-foo'}",
            "{module}",
            "content type 'text/x-foo': 1 is not a suffix such as '.foo', with one dot",
        ),
        (
            HOOK + "def wsrv_register_types(): return {'.foo': 'text\\r\\n'}",
            "{module}",
            "content type for '.foo': 'text\\r\\n' is not one such as text/x-foo",
        ),
        (
            HOOK + "def wsrv_register_types(): return {'.foo': 'a/b', '.FOO': 'a/c'}",
            "{module}",
            "content type for '.FOO': there are two, in capitals and not",
        ),
        (HOOK + "def wsrv_register_policies(): return 1 / 0", "{module}", "ZeroDivisionError: division by zero"),
        (HOOK + "def wsrv_register_policies(): raise SystemExit", "{module}", "SystemExit"),
        (
            HOOK + "def wsrv_register_policies(): pass",
            "{module}",
            "wsrv_register_policies() returned None, not a list of classes",
        ),
        (
            HOOK + "def wsrv_register_policies(): return 'good'",
            "{module}",
            "wsrv_register_policies() returned 'good', not a list of classes",
        ),
        (
            HOOK + "def wsrv_register_policies(): return [7]",
            "{module}",
            "cache policy 7: an object, not a class",
        ),
    ],
)
def test_a_broken_plugin_is_left_out_with_the_reason(folder: Path, code: str | None, entry: str, why: str) -> None:
    plugin = install(folder, "tester-bad", code, entry)
    registry = load()
    missing = only_left_out(registry)
    assert missing.why == why.replace(f"written; {VERSION}", f"written; wsrv {VERSION} has 1")
    (warning,) = registry.warnings()
    assert warning.startswith(f"plugin '{plugin}' (tester-bad 1.0) is left out: {missing.why}; ")
    assert warning.endswith("disable it with WSRV_DISABLE_PLUGINS=tester_bad")
    assert warning.isprintable()


def test_arguments_that_the_hook_does_not_have_are_named(folder: Path) -> None:
    install(folder, "tester-bad", HOOK + "def wsrv_register_policies(shelf): return []")
    assert "'shelf'" in only_left_out(load()).why


@pytest.mark.parametrize(("declared", "newer"), [("0", "tester-old"), ("2", "wsrv")])
def test_another_version_of_the_hooks_is_refused_with_the_remedy(folder: Path, declared: str, newer: str) -> None:
    install(folder, "tester-old", GOOD.replace("WSRV_API = 1", f"WSRV_API = {declared}"))
    missing = only_left_out(load())
    assert missing.why == f"it is written for plugin API {declared}, wsrv {VERSION} has 1"
    assert missing.remedy == f"install a newer {newer}, or disable it with WSRV_DISABLE_PLUGINS=tester_old"


@pytest.mark.parametrize("declared", ["'1'", "True", "1.0", "''"])
def test_a_version_that_is_no_number_is_refused(folder: Path, declared: str) -> None:
    install(folder, "tester-old", GOOD.replace("WSRV_API = 1", f"WSRV_API = {declared}"))
    missing = only_left_out(load())
    assert missing.why.startswith(f"it sets WSRV_API to {declared} to say ")
    assert missing.remedy == "install a newer tester-old, or disable it with WSRV_DISABLE_PLUGINS=tester_old"


def test_of_a_plugin_with_one_unfit_class_nothing_is_taken_in(folder: Path) -> None:
    install(folder, "tester-half", GOOD.replace("[Good]", "[Good, type('Bad', (), {'NAME': 'bad'})]"))
    registry = load()
    missing = only_left_out(registry)
    assert "good" not in registry.policies
    assert registry.outsiders.origins == {}
    assert missing.offers == {("policy", "good"), ("policy", "bad")}
    assert missing.why.startswith("cache policy tester_half.Bad: no docstring; ")
    assert "no classmethod available(settings)" in missing.why


def test_of_a_plugin_with_one_misspelt_hook_nothing_is_taken_in(folder: Path) -> None:
    install(folder, "tester-half", GOOD + "@hookimpl\ndef wsrv_register_policy(): return []\n")
    registry = load()
    assert only_left_out(registry).why.startswith("there is no hook wsrv_register_policy; ")
    assert "good" not in registry.policies


def test_a_tuple_of_classes_is_taken_in_too(folder: Path) -> None:
    install(folder, "tester-good", GOOD.replace("[Good]", "(Good,)"))
    assert "good" in load().policies


def test_of_two_entry_points_that_lead_to_one_module_the_second_is_left_out(folder: Path) -> None:
    install(folder, "tester-a", GOOD)
    entry_points(folder, "tester_a", "[wsrv]\nfirst = tester_a\nsecond = tester_a\n")
    registry = load()
    missing = only_left_out(registry)
    assert missing.origin.plugin == "second"
    assert missing.why.startswith("ValueError: Plugin already registered")
    assert registry.origin("policy", "good") == "first"


def test_choosing_what_a_broken_plugin_offers_says_so(folder: Path) -> None:
    install(folder, "tester-half", GOOD.replace("[Good]", "[Good, type('Bad', (), {'NAME': 'bad'})]"))
    install(folder, "tester-lost", "raise ImportError")
    registry = load()
    with pytest.raises(UnknownPart, match=r"; 'tester_half' \(tester-half 1.0\) offers it and was left out"):
        registry.choose("policy", "good")
    with pytest.raises(UnknownPart, match=r"; 'tester_lost' \(tester-lost 1.0\) may offer it and was left out"):
        registry.choose("policy", "other")
    assert registry.choose("policy", "lru")
    install(folder, "tester-gone", "raise ImportError")
    with pytest.raises(UnknownPart) as unknown:
        load().choose("transport", "good")
    assert str(unknown.value).endswith(" may offer it and were left out: see wsrv plugins")
    assert "tester_half" not in str(unknown.value), "it offers a policy of this name"


def test_a_disabled_plugin_is_not_imported_whether_named_by_itself_or_by_its_distribution(folder: Path) -> None:
    install(folder, "tester-off", "raise AssertionError('imported')")
    entry_points(folder, "tester_off", "[wsrv]\nits_own-name = tester_off\n")
    for name in ("its_own-name", "Its.Own_-Name", "tester-off", "Tester_.Off"):
        registry = load([name])
        assert only_left_out(registry).is_disabled
        assert registry.warnings() == []


def test_a_name_that_disables_nothing_is_told() -> None:
    names = [f"bulitin.{number}" for number in range(9)]
    assert load([*reversed(names), "builtin.lru"]).warnings() == [
        f"WSRV_DISABLE_PLUGINS: no plugin is called '{name}'; see wsrv plugins" for name in names
    ]


def test_a_part_that_is_offered_already_names_both_and_the_remedy(folder: Path) -> None:
    install(folder, "tester-lru", GOOD.replace('"good"', '"lru"'))
    with pytest.raises(Duplicate) as duplicate:
        load()
    assert str(duplicate.value) == (
        "'tester_lru' offers cache policy 'lru', which 'builtin.lru' offers already; "
        "disable one with WSRV_DISABLE_PLUGINS=tester_lru"
    )
    assert load(["tester_lru"]).origin("policy", "lru") == "builtin.lru"
    assert load(["builtin.lru"]).origin("policy", "lru") == "tester_lru"


def test_two_plugins_of_one_name_name_both_distributions_and_the_remedy(folder: Path) -> None:
    install(folder, "tester-a", GOOD)
    install(folder, "tester-b", GOOD)
    entry_points(folder, "tester_b", "[wsrv]\ntester_a = tester_b\n")
    (missing,) = load().outsiders.left_out
    other, this = sorted(("tester-a", "tester-b"), key=lambda name: name == missing.origin.distribution)
    assert missing.why == f"a plugin of {other} 1.0 is called 'tester_a' too"
    assert missing.remedy == f"disable one with WSRV_DISABLE_PLUGINS={this}"
    assert load([this]).warnings() == []


def test_a_plugin_that_calls_itself_like_a_built_in_is_left_out(folder: Path) -> None:
    install(folder, "tester-a", GOOD)
    entry_points(folder, "tester_a", "[wsrv]\nbuiltin.lru = tester_a\n")
    assert only_left_out(load()).why == "a plugin of wsrv itself is called 'builtin.lru' too"


def test_an_available_that_raises_is_an_obstacle_with_a_name(folder: Path) -> None:
    broken = "    @classmethod\n    def available(cls, settings): raise KeyError('x')\n"
    install(folder, "tester-moody", GOOD.replace("@hookimpl", broken + "@hookimpl"))
    obstacle = load().obstacle("policy", "good", None)
    assert obstacle == "good: available() of 'tester_moody' (tester-moody 1.0) raised KeyError: 'x'"


TYPES = HOOK + "def wsrv_register_types(): return "


def test_content_types_of_plugins_are_gathered_by_suffix(folder: Path) -> None:
    first = install(folder, "tester-first", TYPES + "{'.foo': 'text/x-foo', '.BAR': 'a/b'}")
    second = install(folder, "tester-second", TYPES + "{'.baz': 'a/z', '.foo': 'text/x-foo'}")
    registry = load()
    assert registry.types == {".foo": "text/x-foo", ".bar": "a/b", ".baz": "a/z"}
    # What both say alike is counted to the one that was found first.
    assert sorted(registry.types_of(first) + registry.types_of(second)) == [".bar", ".baz", ".foo"]
    assert {".bar"} <= set(registry.types_of(first)) <= {".foo", ".bar"}
    assert registry.warnings() == []


def test_two_content_types_for_one_suffix_name_both_plugins(folder: Path) -> None:
    install(folder, "tester-first", TYPES + "{'.foo': 'text/x-foo'}")
    install(folder, "tester-second", TYPES + "{'.foo': 'text/x-other'}")
    with pytest.raises(Duplicate) as conflict:
        load()
    messages = {
        f"'{second}' offers a content type for '.foo', which '{first}' offers already; "
        f"disable one with WSRV_DISABLE_PLUGINS={second}"
        for first, second in (("tester_first", "tester_second"), ("tester_second", "tester_first"))
    }
    assert str(conflict.value) in messages
    assert load(["tester_second"]).types == {".foo": "text/x-foo"}


def test_a_plugin_that_is_left_out_adds_no_content_type(folder: Path) -> None:
    code = TYPES + "{'.foo': 'text/x-foo'}\n@hookimpl\ndef wsrv_register_policies(): return 1 / 0"
    install(folder, "tester-bad", code)
    registry = load()
    only_left_out(registry)
    assert registry.types == {}
