# Told once a minute.
"""Complaints that are not repeated all the time."""

from wsrv.engine.log.seldom import Seldom


def test_the_same_is_told_once_a_minute_and_something_else_at_once() -> None:
    told: list[str] = []
    now = 0.0
    seldom = Seldom(told.append, lambda: now)
    assert [seldom.tell(text) for text in ("full", "full", "gone", "full")] == [True, False, True, False]
    now = 59.0
    assert not seldom.tell("full")
    now = 60.0
    assert seldom.tell("full")
    assert told == ["full", "gone", "full"]
