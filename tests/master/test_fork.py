# A child of the master, and what reaches it while it still is the master in all but its pid.
"""engine/master/fork.py."""

import os
import select
import signal
from collections.abc import Callable
from typing import Any

import pytest

from wsrv.engine.master import fork as room
from wsrv.engine.master.fork import fork
from wsrv.testing.processes import Child

_settle_in = room._settle_in


def as_master(work: Callable[[], None]) -> None:
    """Do `work` in a process that catches signals as a master does, and see that none was caught."""

    def catch() -> None:
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        work()
        assert select.select([ours], [], [], 0)[0] == [], "the master was told"

    with Child(catch):
        pass


def check(holds: bool) -> None:
    assert holds


def outcome(pid: int) -> int:
    """The exit status of a child, or the negated signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def hit(monkeypatch: pytest.MonkeyPatch) -> Callable[[signal.Signals], None]:
    """Has children hit by a signal right after their fork."""

    def prepare(number: signal.Signals) -> None:
        def settle_in(*arguments: Any) -> None:
            os.kill(os.getpid(), number)
            _settle_in(*arguments)

        monkeypatch.setattr(room, "_settle_in", settle_in)

    return prepare


def test_a_newborn_that_is_told_to_end_hears_of_it_when_it_listens(hit: Callable[[signal.Signals], None]) -> None:
    def newborn() -> None:
        heard: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        assert heard == []
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        assert heard == [signal.SIGTERM]

    hit(signal.SIGTERM)
    as_master(lambda: check(outcome(fork([], "newborn", newborn)) == 0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_to_a_newborn_too_is_the_masters_alone(
    hit: Callable[[signal.Signals], None], number: signal.Signals
) -> None:
    hit(number)
    as_master(lambda: check(outcome(fork([], "newborn", lambda: None)) == 0))


def test_a_child_that_does_not_listen_ends_when_it_unblocks(hit: Callable[[signal.Signals], None]) -> None:
    hit(signal.SIGTERM)
    unblock = (signal.SIG_UNBLOCK, {signal.SIGTERM})
    as_master(lambda: check(outcome(fork([], "deaf", lambda: check(bool(signal.pthread_sigmask(*unblock))))) == -15))


def test_the_master_hears_as_before_and_the_child_all_but_two() -> None:
    def child() -> None:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1}

    def master() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})
        assert outcome(fork([], "child", child)) == 0
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == {signal.SIGUSR1}

    as_master(master)
