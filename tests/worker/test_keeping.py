# The keeper's process and what it answers, over an arena that a worker taken apart has filled.
"""What the keeper of a shared cache says of it, and its process."""

import json
import mmap
import os
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cache.shared.walk import check
from tests.worker.conftest import MakeBench
from tests.worker.parts import ask, get
from tests.worker.workbench import Workbench
from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.shared.arena import BLOCK_BYTES, EVICTIONS, Arena
from wsrv.engine.cache.shared.keeper import Keeper, policy_bytes
from wsrv.engine.cache.shared.writing import Writer
from wsrv.engine.ipc.question import MOST_PAGE_BYTES, pack
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.keeping import SharedInspection, serve_cache
from wsrv.engine.worker.questions import Steps
from wsrv.engine.worker.sharedshelf import SharedMemory
from wsrv.plugins.policies.lfu import Lfu
from wsrv.plugins.policies.lru import Lru
from wsrv.plugins.policies.wtinylfu import WTinyLfu
from wsrv.plugins.primitives.robust import RobustLock
from wsrv.testing.processes import Child, wait_readable

REVALIDATE_NS = SECOND_NS


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    lock = RobustLock("cache_writer", memoryview(mmap.mmap(-1, CELL_BYTES)))
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    yield SharedMemory(Arena(40 * 2120, rows=2), lock, bell, 0)
    os.close(bell)
    lock.close()


@pytest.fixture
def bench(memory: SharedMemory, make_bench: MakeBench, root: Path) -> Workbench:
    (root / "b.txt").write_bytes(b"beta")
    for number in range(40):
        (root / f"{number}.bin").write_bytes(bytes(3000))
    made = make_bench(shared=memory, number=0)
    # Time passes here by leaps, and has to stay behind the clock by which answers are timed.
    made.now_ns -= 60 * SECOND_NS
    return made


class Desk:
    """A keeper beside the worker, and what it answers."""

    def __init__(self, memory: SharedMemory, bench: Workbench, policy: type[Policy] = Lru) -> None:
        self._bench = bench
        self.keeper = Keeper(memory.arena, memory.lock, policy(policy_bytes(memory.arena)))
        hosts = {b"": "", b"1": "blog"}
        self._inspection = SharedInspection(memory.arena, memory.lock, self.keeper, hosts, REVALIDATE_NS)

    def settle(self) -> None:
        while self.keeper.turn():
            pass

    def ask(self, what: str, **question: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """All entries of an answer, and its last page."""
        self.settle()
        handler: Callable[[dict[str, Any], int], Steps] = self._inspection.handlers()[what]
        steps = handler(question, self._bench.now_ns)
        entries: list[dict[str, Any]] = []
        while True:
            try:
                page = next(steps)
            except StopIteration as end:
                return entries, end.value
            if isinstance(page, dict):
                entries += page["entries"]


def test_what_is_held_for_all_is_listed_with_what_its_policy_says(memory: SharedMemory, bench: Workbench) -> None:
    desk = Desk(memory, bench, Lfu)
    for path in (b"/a.txt", b"/b.txt", b"/a.txt"):
        assert ask(bench, get(path)).status == 200
        # What its front answers within a second, a worker does not tell.
        bench.advance(2)
    entries, last = desk.ask("entries", sort="hits", top=10)
    assert [(one["path"], one["hits"], one["state"], one["host"]) for one in entries] == [
        ("/a.txt", 1, {"frequency": 2}, ""),
        ("/b.txt", 0, {"frequency": 1}, ""),
    ]
    assert entries[0]["bytes"] == len(b"alpha")
    assert entries[0]["weight"] == BLOCK_BYTES
    assert (last["policy"], last["objects"], last["matching"]) == ("lfu", 2, 2)
    assert last["size_bytes"] == 2 * BLOCK_BYTES
    assert 0 < last["logical_bytes"] < last["size_bytes"]
    only, last = desk.ask("entries", glob="/b*")
    assert ([one["path"] for one in only], last["matching"], last["objects"]) == (["/b.txt"], 1, 2)
    with pytest.raises(ValueError, match="nobody sorts by colour"):
        desk.ask("entries", sort="colour", top=1)


def test_an_entry_is_shown_with_its_file_its_fields_and_how_fresh_it_is(memory: SharedMemory, bench: Workbench) -> None:
    desk = Desk(memory, bench)
    answer = ask(bench, get(b"/a.txt"))
    (entry,), _ = desk.ask("show", key="/a.txt")
    assert entry["etag"].encode() == answer.fields[b"etag"]
    assert entry["identity"]["size"] == len(b"alpha")
    assert 0 < entry["fresh_seconds"] <= 1
    assert desk.ask("show", key="/none.txt")[0] == []


def test_who_left_is_told_with_the_reason_and_for_whom(memory: SharedMemory, bench: Workbench) -> None:
    desk = Desk(memory, bench)
    for number in range(40):
        assert ask(bench, get(b"/%d.bin" % number)).status == 200
        desk.settle()
    _, last = desk.ask("entries")
    assert last["evictions"] == memory.arena.header[EVICTIONS] > 5
    told = last["departures"]
    assert {one["reason"] for one in told} == {"capacity"}
    assert [one["path"] for one in told] == [f"/{last['evictions'] - len(told) + n}.bin" for n in range(len(told))]
    assert told[-1]["pushed_by"] == "/39.bin"
    assert told[-1]["weight"] == 2 * BLOCK_BYTES


def test_what_was_refused_was_pushed_out_by_nobody(memory: SharedMemory, bench: Workbench) -> None:
    desk = Desk(memory, bench, WTinyLfu)
    arena = memory.arena
    writer = Writer(arena, memory.lock)
    for number in range(60):
        for _ in range(3):
            assert writer.publish(b"%d\0@root" % number, b"", bytes(3000), 0) is not None
        desk.settle()
    _, last = desk.ask("entries")
    refused = [one for one in last["departures"] if one["reason"] == "refused"]
    assert refused
    assert all(one["pushed_by"] is None and one["path"].startswith("/") for one in refused)


def test_its_process_makes_room_answers_and_ends_with_the_lifeline(memory: SharedMemory) -> None:
    arena, lock, bell = memory.arena, memory.lock, memory.bell
    writer = Writer(arena, lock)
    lifeline, end = os.pipe()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    work: Callable[[], None] = partial(serve_cache, arena, lock, Lru, bell, lifeline, theirs, {b"": ""}, REVALIDATE_NS)
    with ours, theirs, Child(work, [bell, lifeline, theirs.fileno()]) as child:
        stored = 0
        while stored < 4 * arena.blocks:
            if writer.publish(b"%d\0@root" % stored, b"", bytes(BLOCK_BYTES // 2), 0) is None:
                os.eventfd_write(bell, 1)
            else:
                stored += 1
        ours.settimeout(10)
        for packet in ({"number": 7, "ask": "entries", "top": 2, "sort": "age"}, {"number": 7, "go": "on"}):
            ours.send(pack(packet, MOST_PAGE_BYTES))
            page = json.loads(ours.recv(MOST_PAGE_BYTES))
            assert page["number"] == 7
            if page["more"]:
                assert len(page["entries"]) == 2
        assert page["policy"] == "lru"
        assert {one["reason"] for one in page["departures"]} == {"capacity"}
        os.kill(child.pid, signal.SIGTERM)
        os.close(end)
        child.join()
    wait_readable(lifeline)
    check(arena)
    assert arena.header[EVICTIONS] >= 3 * arena.blocks
    os.close(lifeline)
