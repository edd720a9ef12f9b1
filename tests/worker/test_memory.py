# What a worker remembers takes the memory it is said to take, whoever decides what there is to remember.
"""Bounds of memory, measured."""

import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.test_shelf import keep, shelve
from tests.worker.workbench import Workbench
from wsrv.engine.settings import CacheSettings
from wsrv.engine.static.entity import Entity
from wsrv.engine.worker.prepared import LINE_BYTES, LINES_PER_ENTITY, MEMORY_BYTES, Cached

CONNECTIONS = (b"", b"close", b"keep-alive")
# Short, held in one piece with the head, and held apart from it.
SIZES = (0, 100, 2000, 20_000)


def grown(work: Callable[[], None]) -> int:
    """By how many bytes `work` has made the process larger."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        after, _ = tracemalloc.get_traced_memory()
        return after - before
    finally:
        tracemalloc.stop()


def test_short_blocks_do_not_take_more_memory_than_all_blocks_may(bench: Workbench) -> None:
    def attack() -> None:
        for number in range(20_000):
            bench.shelf.remember(b"Host: x\r\nA: %x\r\n\r\n" % number)

    assert grown(attack) < MEMORY_BYTES * 1.15


def taken(bench: Workbench, root: Path, size: int, use: Callable[[bytes, Cached], None]) -> float:
    """How much memory entities of `size` bytes take, as a part of their weight, when each is made `use` of by name.

    What is there once for all of them (caches, interned strings, the first size of a dict) is made before by another
    one; that dicts grow in steps is little beside so many.
    """
    names = [b"%d.txt" % n for n in range(300)]
    for name in (b"first.txt", *names):
        (root / name.decode()).write_bytes(os.urandom(size))

    def work(some: list[bytes]) -> None:
        for name in some:
            use(name, keep(bench, name))

    work([b"first.txt"])
    before = bench.shelf.store.size_bytes
    bytes_taken = grown(lambda: work(names))
    assert len(bench.shelf.store) == len(names) + 1
    return bytes_taken / (bench.shelf.store.size_bytes - before)


def test_what_has_left_takes_no_memory_though_nobody_collects_it(root: Path) -> None:
    bench = Workbench(root, cache=CacheSettings(capacity_bytes=1 << 20))
    for number in range(40):
        (root / f"{number}.bin").write_bytes(bytes(200 * 1024))
    gc.disable()
    try:
        before = sum(isinstance(found, Entity) for found in gc.get_objects())
        for number in range(40):
            assert bench.answers(bench.client(), b"GET /%d.bin HTTP/1.1\r\nHost: x\r\n\r\n" % number).endswith(bytes(9))
        after = sum(isinstance(found, Entity) for found in gc.get_objects())
        held = len(bench.shelf.store)
    finally:
        gc.enable()
        bench.close()
    assert held == after - before


@pytest.mark.parametrize("size", SIZES)
def test_what_is_held_is_within_its_weight(bench: Workbench, root: Path, size: int) -> None:
    def use(name: bytes, cached: Cached) -> None:
        shelve(bench, cached, b"GET /%b HTTP/1.1" % name)

    assert taken(bench, root, size, use) < 1.0


@pytest.mark.parametrize("size", SIZES)
def test_three_kinds_of_connection_and_many_lines_are_within_the_weight(
    bench: Workbench, root: Path, size: int
) -> None:
    def use(name: bytes, cached: Cached) -> None:
        for connection in CONNECTIONS:
            bench.shelf.prepare(cached, False, connection, bench.now_ns)
        for query in range(2 * LINES_PER_ENTITY):
            shelve(bench, cached, b"GET /%b?%d HTTP/1.1" % (name, query))
            shelve(bench, cached, b"GET /%b?%d%b HTTP/1.1" % (name, query, bytes(8000)))

    assert taken(bench, root, size, use) < 1.1


@pytest.mark.parametrize("size", SIZES)
def test_the_worst_that_can_be_asked_for_is_within_twice_the_weight(bench: Workbench, root: Path, size: int) -> None:
    def use(name: bytes, cached: Cached) -> None:
        for connection in CONNECTIONS:
            for head_only in (False, True):
                bench.shelf.prepare(cached, head_only, connection, bench.now_ns)
        for query in range(2 * LINES_PER_ENTITY):
            shelve(bench, cached, (b"GET /%b?%d HTTP/1.1" % (name, query)).ljust(LINE_BYTES))

    assert taken(bench, root, size, use) < 2.0
