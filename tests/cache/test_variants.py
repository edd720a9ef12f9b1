"""Policies by name, with parameters."""

import pytest

from tests.suites.policy import PolicyContract
from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.variants import UnfitParameter, variant
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.policies.s3fifo import S3Fifo


class Told(Lru):
    """As lru, with a parameter of each kind."""

    NAME = "told"

    def __init__(
        self, capacity_bytes: int, *, probes: int = 4, share: float = 0.5, word: str = "a", on: bool = True
    ) -> None:
        super().__init__(capacity_bytes)
        self.told = (probes, share, word, on)


POLICIES: dict[str, type[Policy]] = {"s3fifo": S3Fifo, "lru": Lru, "told": Told}


class TestBounded(PolicyContract):
    """A policy with parameters is one like any other, but for what it refuses."""

    policy = variant({"s3fifo": S3Fifo}, "s3fifo:bounded=0")

    def test_the_class_can_be_registered(self) -> None:
        """It is not registered: the colon is no letter of a name."""


def test_a_name_alone_is_the_class_itself() -> None:
    assert variant(POLICIES, "s3fifo") is S3Fifo


def test_bounded_s3fifo_refuses_what_the_small_queue_cannot_hold() -> None:
    bounded = variant(POLICIES, "s3fifo:bounded=1")
    assert bounded.NAME == "s3fifo:bounded=1"
    assert bounded(100).admit(b"key", 11) == [b"key"]
    assert variant(POLICIES, "s3fifo:bounded=false")(100).admit(b"key", 11) == []
    assert S3Fifo(100).admit(b"key", 11) == []


def test_each_parameter_is_read_as_what_its_default_is() -> None:
    made = variant(POLICIES, "told:probes=8,share=0.25,word=x=y,on=0")(10)
    assert isinstance(made, Told)
    assert made.told == (8, 0.25, "x=y", False)
    made = variant(POLICIES, "told:share=1")(10)
    assert isinstance(made, Told)
    assert made.told == (4, 1.0, "a", True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lru:x=1", "lru: no parameter 'x'; it has none"),
        ("s3fifo:", "s3fifo: no parameter ''; its parameters: bounded"),
        ("s3fifo:bounded", "s3fifo: bounded=: not 0 or 1"),
        ("s3fifo:bounded=2", "s3fifo: bounded=2: not 0 or 1"),
        ("told:probes=1.5", "told: probes=1.5: not a value like 4"),
        ("told:capacity_bytes=1", "told: no parameter 'capacity_bytes'; its parameters: probes, share, word, on"),
    ],
)
def test_what_it_cannot_be_told_is_named(name: str, said: str) -> None:
    with pytest.raises(UnfitParameter, match=r"^\w+: ") as raised:
        variant(POLICIES, name)
    assert str(raised.value) == said


def test_nobody_is_told_anything_under_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        variant(POLICIES, "nobody:x=1")
