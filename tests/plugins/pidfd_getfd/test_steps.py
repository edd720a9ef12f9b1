# Its worker is stopped and killed at every single instruction of take(): a trace function counts the opcodes of the
# transport's code and sends the signal before the one that is meant.
"""pidfd_getfd: who owns an entry, whatever either side was in the middle of."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from wsrv.engine.ipc.record import Arrival
from wsrv.plugins.transports.pidfd_getfd import PidfdGetfd, PidfdGetfdChannel
from wsrv.testing.processes import BOUND_SECONDS, Child, Gate, wait_readable
from wsrv.testing.surroundings import ending_in_time
from wsrv.testing.tcp import Clients, answer_all, answer_of, close_all, copies
from wsrv.testing.transport_channel import answer_so_many, worker_of

_CODE_FILE = PidfdGetfd.open.__code__.co_filename


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Some eight hundred processes, one after the other, take a while where there is other work."""
    with ending_in_time(10 * BOUND_SECONDS):
        yield


def run_to(step: int, number: signal.Signals, work: Callable[[], None]) -> int:
    """Do `work`, and get the signal before instruction `step` of the transport's code; how many there were."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != _CODE_FILE:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen == step:
                os.kill(os.getpid(), number)
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return seen


def instructions(channel: PidfdGetfdChannel, only: Arrival) -> int:
    """How many instructions two calls of take() are, for three connections of which one call claims two."""
    pipe, report = os.pipe()

    def work() -> None:
        source = channel.source()
        count = run_to(0, signal.SIGKILL, lambda: close_all([*source.take(), *source.take()]))
        os.write(report, count.to_bytes(4, "little"))

    assert channel.send(copies(only, 3)) == 3
    with Child(work, [*channel.kept_fds(), report]):
        wait_readable(pipe)
        count = int.from_bytes(os.read(pipe, 4), "little")
    channel.vacated()
    assert channel.settle() == []
    for fd in (pipe, report):
        os.close(fd)
    return count


def take_and_answer_until(channel: PidfdGetfdChannel, gate: Gate, step: int, number: signal.Signals) -> None:
    """A worker that is hit by the signal in one of its first two takes, and answers what it has."""
    source = channel.source()
    taken: list[Arrival] = []

    def take_twice() -> None:
        for _ in range(2):
            taken.extend(source.take())

    run_to(step, number, take_twice)
    gate.wait()
    while found := source.take():
        taken += found
    answer_all(taken)


def test_a_worker_stopped_at_any_instruction_and_the_master_that_reclaims_never_have_the_same_connection(
    few: None, channel: PidfdGetfdChannel, other: PidfdGetfdChannel, clients: Clients, gate: Gate, only: Arrival
) -> None:
    reclaimed_of = []
    for step in range(1, instructions(channel, only) + 1):
        arrivals = clients.arrive(3)
        assert channel.send(arrivals) == 3
        work = partial(take_and_answer_until, channel, gate, step, signal.SIGSTOP)
        with worker_of(channel, work, gate) as worker:
            worker.wait_stopped()
            back = channel.reclaim()
            reclaimed_of.append(len(back))
            assert [fields for _, fields in back] == [fields for _, fields in arrivals[3 - len(back) :]]
            numbers = {fd for fd, _ in back}
            assert other.send(back) == len(back)
            with worker_of(other, answer_so_many(other, len(back))):
                for arrival in arrivals[3 - len(back) :]:
                    assert clients.answer(arrival, other) == answer_of(arrival)
            # The master's numbers are free now, and used again at once: by connections that this worker is sent.
            later = clients.arrive(3)
            assert numbers <= {fd for fd, _ in later}
            assert channel.send(later) == 3
            worker.go_on()
            gate.open()
            for arrival in [*arrivals[: 3 - len(back)], *later]:
                assert clients.answer(arrival, channel, other) == answer_of(arrival)
        assert channel.depth() == other.depth() == 0
    assert set(reclaimed_of) == {0, 1, 3}, "before the first claim, after it, after the second"


def test_a_worker_killed_at_any_instruction_leaves_what_it_had_not_settled_to_its_successor(
    few: None, channel: PidfdGetfdChannel, clients: Clients, gate: Gate, only: Arrival
) -> None:
    settled_of = []
    for step in range(1, instructions(channel, only) + 1):
        arrivals = clients.arrive(3)
        assert channel.send(arrivals) == 3
        work = partial(take_and_answer_until, channel, gate, step, signal.SIGKILL)
        with worker_of(channel, work, gate) as worker:
            worker.wait_killed()
        left = channel.depth()
        settled_of.append(3 - left)
        with worker_of(channel, answer_so_many(channel, left)):
            answers = [clients.answer(arrival, channel) for arrival in arrivals]
        # What was settled died with the worker; nobody has answered it, and nobody answers twice.
        assert answers == [b""] * (3 - left) + [answer_of(arrival) for arrival in arrivals[3 - left :]]
        assert channel.depth() == 0
    assert set(settled_of) == {0, 2, 3}
