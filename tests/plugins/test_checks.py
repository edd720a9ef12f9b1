"""What a class lacks is named when it is registered, all of it."""

import inspect
from typing import Any, ClassVar

import pytest

from wsrv.engine.cache.policy import Policy
from wsrv.engine.ipc.transport import Transport
from wsrv.engine.sync.primitive import Primitive
from wsrv.plugins.checks import Kind, faults
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.primitives.posix import Posix
from wsrv.plugins.registry import load
from wsrv.plugins.transports.socketpair import Socketpair


def changed(original: type, **attributes: Any) -> type:
    """The class with something else in it."""
    return type("Changed", (original,), {"__doc__": "Changed.", **attributes})


def without(original: type, *names: str) -> type:
    """A copy of the class that lacks something."""
    attributes = {name: value for name, value in vars(original).items() if name not in (*names, "__dict__")}
    if "__annotations__" in attributes:
        kept = {name: said for name, said in attributes["__annotations__"].items() if name not in names}
        attributes["__annotations__"] = kept
    return type("Copy", original.__bases__, attributes)


@pytest.mark.parametrize("kind", ["transport", "primitive", "policy"])
def test_the_built_in_classes_lack_nothing(kind: Kind) -> None:
    registry = load()
    for name in registry.names(kind):
        assert faults(kind, registry.choose(kind, name)) == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("NAME", "no NAME"),
        ("__doc__", "no docstring"),
        ("available", "no classmethod available(settings)"),
        ("hit", "no method hit(key)"),
        ("admit", "no method admit(key, weight)"),
        ("remove", "no method remove(key)"),
        ("__contains__", "no method __contains__(key)"),
        ("__len__", "no method __len__()"),
        ("weight_bytes", "no property weight_bytes"),
        ("check_invariants", "no method check_invariants()"),
        ("__init__", "it is not made with (capacity_bytes)"),
    ],
)
def test_what_is_missing_from_a_policy_is_named(name: str, fault: str) -> None:
    assert faults("policy", without(Lru, name)) == [fault]


def test_all_that_is_missing_is_named_at_once() -> None:
    assert faults("policy", without(Lru, "NAME", "remove", "__len__")) == [
        "no NAME",
        "no method remove(key)",
        "no method __len__()",
    ]


@pytest.mark.parametrize(
    ("kind", "original", "attributes", "fault"),
    [
        ("policy", Lru, {"NAME": "Two Words"}, "NAME is 'Two Words', not a word of a-z, 0-9, '-', '_' and '.'"),
        ("policy", Lru, {"NAME": "-x"}, "NAME is '-x', not a word of a-z, 0-9, '-', '_' and '.'"),
        ("policy", Lru, {"NAME": "two words"}, "NAME is 'two words', not a word of a-z, 0-9, '-', '_' and '.'"),
        ("policy", Lru, {"NAME": 7}, "NAME is 7, not a word of a-z, 0-9, '-', '_' and '.'"),
        ("policy", Lru, {"admit": lambda self, key: []}, "admit is no method admit(key, weight)"),
        ("policy", Lru, {"admit": None}, "admit is no method admit(key, weight)"),
        ("policy", Lru, {"available": lambda cls, settings: None}, "available is no classmethod available(settings)"),
        ("policy", Lru, {"__init__": lambda self: None}, "it is not made with (capacity_bytes)"),
        ("transport", Socketpair, {"DISPATCHES": "yes"}, "DISPATCHES is 'yes', not a bool"),
        ("transport", Socketpair, {"DISPATCHES": 1}, "DISPATCHES is 1, not a bool"),
        ("primitive", Posix, {"OFFERS": frozenset({"survives-owner"})}, "OFFERS is frozenset({'survives-owner'}), not"),
        ("primitive", Posix, {"OFFERS": frozenset()}, "OFFERS is frozenset(), not a set that has"),
        ("primitive", Posix, {"OFFERS": "lock"}, "OFFERS is 'lock', not a set that has"),
        ("primitive", Posix, {"OFFERS": None}, "no OFFERS"),
    ],
)
def test_what_is_wrong_is_named(kind: Kind, original: type, attributes: dict[str, Any], fault: str) -> None:
    (found,) = faults(kind, changed(original, **attributes))
    assert found.startswith(fault)


@pytest.mark.parametrize(("kind", "protocol"), [("transport", Transport), ("primitive", Primitive), ("policy", Policy)])
def test_the_empty_bodies_of_an_inherited_protocol_are_no_methods(kind: Kind, protocol: type) -> None:
    found = faults(kind, changed(protocol, NAME="empty"))
    assert any("classmethod available(" in fault for fault in found)


def test_methods_may_be_inherited_static_or_take_more_than_they_must() -> None:
    class Grown(Lru):
        """More than a policy must be."""

        NAME: ClassVar[str] = "grown"

        def admit(self, key: bytes, weight: int, *more: int, hint: str = "") -> list[bytes]:
            return super().admit(key, weight)

        @staticmethod
        def available(settings: object) -> None:
            return None

        @staticmethod
        def hit(key: bytes) -> None: ...

    assert faults("policy", Grown) == []


def test_what_a_class_may_be_though_it_looks_odd() -> None:
    assert faults("policy", changed(Lru, NAME="x")) == []
    assert faults("primitive", changed(Posix, OFFERS={"lock", "more"})) == []
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(max)
    assert faults("policy", changed(Lru, hit=max)) == [], "what does not say what it takes is believed"


@pytest.mark.parametrize("part", [Lru(1), "lru", None])
def test_an_object_is_no_class(part: object) -> None:
    assert faults("policy", part) == ["an object, not a class"]
