"""The policy `fifo` evicts what came first, whatever was asked for since."""

from wsrv.plugins.policies.fifo import Fifo


def test_a_hit_saves_nobody() -> None:
    fifo = Fifo(2)
    fifo.admit(b"a", 1)
    fifo.admit(b"b", 1)
    fifo.hit(b"a")
    assert fifo.admit(b"c", 1) == [b"a"]


def test_whoever_comes_back_is_the_last_again() -> None:
    fifo = Fifo(2)
    for key in (b"a", b"b", b"c", b"a"):
        fifo.admit(key, 1)
    assert fifo.admit(b"d", 1) == [b"c"]


def test_as_many_leave_as_must_in_the_order_in_which_they_came() -> None:
    fifo = Fifo(6)
    for key in (b"a", b"b", b"c"):
        fifo.admit(key, 2)
    assert fifo.admit(b"d", 3) == [b"a", b"b"]
