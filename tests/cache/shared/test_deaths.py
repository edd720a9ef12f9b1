# Real processes that die by SIGKILL: before every single line of a change, and anywhere at all while others read.
"""What a killed writer leaves: no torn answer, no lock held, no block lost."""

import mmap
import os
import random
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from time import monotonic
from types import FrameType
from typing import Any, ClassVar

from tests.cache.shared.walk import check
from wsrv.engine.cache.shared.arena import FREE_BLOCKS, GENERATION, JOURNALLED, WRITING, Arena
from wsrv.engine.cache.shared.reading import Reader
from wsrv.engine.cache.shared.writing import Writer
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.plugins.primitives.robust import RobustLock
from wsrv.testing.processes import BOUND_SECONDS, Child, Gate

# `python -m tests.bench.deaths` kills workers of a whole server 200 times.
KILLS = 60
KEYS = [b"/file-%d.txt" % n for n in range(40)]
_CODE_FILE = Writer.publish.__code__.co_filename


def run_to(step: int, work: Callable[[], None]) -> int:
    """Do `work`, and die before line `step` of the writer's code; how many there were."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != _CODE_FILE:
            return None
        if event == "line":
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return seen


class Scene:
    """Three entries, of which a writer replaces one and drops another, and adds a fourth."""

    before: ClassVar = {b"a": b"A" * 5000, b"b": b"B" * 100, b"c": b"C" * 9000}
    after: ClassVar = {b"a": b"A" * 5000, b"b": b"new" * 3000, b"d": b"D" * 4000}

    def __init__(self, lock: RobustLock) -> None:
        self.arena = Arena(40 * 1024, rows=1)
        self.reader = Reader(self.arena, lock)
        self.writer = Writer(self.arena, lock)
        self.tickets = {key: self.writer.publish(key, b"", body, 0) for key, body in self.before.items()}

    def change(self) -> None:
        assert self.writer.publish(b"b", b"", self.after[b"b"], 0)
        dropped = self.tickets[b"c"]
        assert dropped is not None
        assert self.writer.drop(dropped)
        assert self.writer.publish(b"d", b"", self.after[b"d"], 0)

    def check_content(self) -> set[bytes]:
        """Each key has its old content, or its new, or none; the keys that have some."""
        found = set()
        for key in (b"a", b"b", b"c", b"d"):
            held = self.reader.get(key)
            if held is not None:
                assert held.body in (self.before.get(key), self.after.get(key))
                found.add(key)
        return found


def test_a_writer_killed_before_any_line_leaves_an_arena_that_is_whole_or_is_made_whole(lock: RobustLock) -> None:
    steps = run_to(0, Scene(lock).change)
    assert steps > 100
    repaired = 0
    for step in range(1, steps + 1):
        scene = Scene(lock)
        with Child(partial(run_to, step, scene.change)) as child:  # type: ignore[arg-type]
            child.wait_killed()
        # Before anybody has repaired anything.
        assert b"a" in scene.check_content(), f"line {step}: what nobody changed is gone"
        dead = scene.arena.header[WRITING] != 0
        if dead:
            assert scene.writer.publish(b"e", b"", b"", 0) is None
            assert scene.writer.repair()
            repaired += 1
        check(scene.arena)
        assert b"a" in scene.check_content()
        for entry in scene.reader.entries():
            assert scene.reader.get(entry.key) is not None, f"line {step}: half an entry was taken for a whole one"
        assert scene.writer.publish(b"e", b"", b"E", 0), f"line {step}: the lock is held by nobody"
        check(scene.arena)
    assert steps // 2 < repaired < steps, "most lines are inside, some are not"


def test_a_repair_killed_before_any_line_is_done_by_the_next(lock: RobustLock) -> None:
    def torn() -> Scene:
        scene = Scene(lock)
        with Child(partial(run_to, 70, scene.change)) as child:  # type: ignore[arg-type]
            child.wait_killed()
        assert scene.arena.header[WRITING]
        return scene

    def repair(scene: Scene) -> None:
        assert scene.writer.repair()

    steps = run_to(0, partial(repair, torn()))
    for step in range(1, steps + 1, 3):
        scene = torn()
        with Child(partial(run_to, step, partial(repair, scene))) as child:  # type: ignore[arg-type]
            child.wait_killed()
        scene.check_content()
        scene.writer.repair()
        check(scene.arena)
        assert b"a" in scene.check_content()


def body_of(key: bytes, version: int, chance: random.Random) -> bytes:
    """Some bytes that say what they are, behind the hash of them all."""
    text = b"%b version %d\n" % (key, version) * chance.choice((1, 40, 100, 1500))
    return sha256(text).digest() + text


def write_on(arena: Arena, lock: RobustLock, seed: int) -> None:
    """A worker's life: it publishes and drops until it is killed."""
    chance = random.Random(seed)
    writer = Writer(arena, lock)
    tickets = []
    version = seed << 32
    while True:
        version += 1
        key = chance.choice(KEYS)
        ticket = writer.publish(key, b"%d" % version, body_of(key, version, chance), 0)
        if ticket is not None:
            tickets.append(ticket)
        if tickets and (ticket is None or chance.random() < 0.3):
            writer.drop(tickets.pop(chance.randrange(len(tickets))))


def read_on(arena: Arena, lock: RobustLock, seed: int, enough: Gate) -> None:
    """A worker that reads, and believes nothing."""
    chance = random.Random(seed)
    reader = Reader(arena, lock, stores_in_order=True)
    whole = 0
    while not _is_open(enough) or whole < 1000:
        key = chance.choice(KEYS)
        held = reader.get(key)
        if held is None:
            continue
        assert sha256(held.body[32:]).digest() == held.body[:32], "a torn answer"
        assert held.body[32:].startswith(b"%b version %b\n" % (key, held.head)), "new head with old bytes"
        whole += 1


def _is_open(gate: Gate) -> bool:
    import select

    return bool(select.select([gate.fd], [], [], 0)[0])


def test_writers_killed_over_and_over_leave_no_torn_answer_and_no_lock_held(lock: RobustLock) -> None:
    arena = Arena(256 * 1024, rows=1)
    chance = random.Random(7)
    keeper = Writer(arena, lock)
    reader = Reader(arena, lock)
    enough = Gate()
    with ExitStack() as readers:
        readers.callback(enough.close)
        for seed in range(2):
            readers.enter_context(Child(partial(read_on, arena, lock, seed, enough), [enough.fd]))
        for kill in range(KILLS):
            begun = arena.header[JOURNALLED]
            wanted = chance.choice((1, chance.randrange(1, 30), chance.randrange(1, 200)))
            until = monotonic() + BOUND_SECONDS
            with (
                Child(partial(write_on, arena, lock, 2 * kill)) as first,
                Child(partial(write_on, arena, lock, 2 * kill + 1)) as second,
            ):
                while arena.header[JOURNALLED] - begun < wanted:
                    assert monotonic() < until, "nobody writes"
                # The other one may well be in the middle of something, or wait for the lock.
                first.kill()
                second.kill()
            keeper.repair()
            check(arena)
            if arena.header[FREE_BLOCKS] < arena.blocks // 2:
                assert keeper.drop_all([entry.ticket for entry in reader.entries()]) is not None
            assert keeper.publish(b"mine", b"", b"%d" % kill, 0), "the lock is held by nobody, and there is room"
            mine = reader.get(b"mine")
            assert mine is not None
            assert keeper.drop(mine.ticket)
        enough.open()
    assert arena.header[GENERATION] > KILLS // 10, "hardly anybody was killed in the middle of something"


def test_a_lock_whose_owner_is_stopped_costs_the_others_what_they_wanted_to_store_and_nothing_else() -> None:
    memory = mmap.mmap(-1, CELL_BYTES)
    lock = RobustLock("cache_writer", memoryview(memory))
    arena = Arena(64 * 1024, rows=1)
    writer, reader = Writer(arena, lock), Reader(arena, lock)
    assert writer.publish(b"held", b"", b"body", 0)

    def stop_inside() -> None:
        lock.acquire()
        os.kill(os.getpid(), signal.SIGSTOP)
        lock.release()

    with Child(stop_inside) as child:
        child.wait_stopped()
        assert writer.publish(b"key", b"", b"", 0) is None
        assert not writer.repair()
        assert reader.get(b"held") is not None
        child.go_on()
    assert writer.publish(b"key", b"", b"", 0) is not None
    lock.close()
