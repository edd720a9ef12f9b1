# What a worker remembers takes the memory it is said to take, whoever decides what there is to remember.
"""Bounds of memory, measured."""

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.test_shelf import keep, shelve
from tests.worker.workbench import Workbench
from wsrv.engine.worker.prepared import MEMORY_BYTES


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


@pytest.mark.parametrize("size", [100, 2000])
def test_what_is_held_is_within_its_weight(bench: Workbench, root: Path, size: int) -> None:
    number = 300
    for n in range(number):
        (root / f"{n}.txt").write_bytes(os.urandom(size))

    def work() -> None:
        for n in range(number):
            shelve(bench, keep(bench, b"%d.txt" % n), b"GET /%d.txt HTTP/1.1" % n)

    assert grown(work) < bench.shelf.store.size_bytes * 1.15


def test_long_lines_and_three_kinds_of_connection_are_within_the_weight(bench: Workbench, root: Path) -> None:
    number = 20
    for n in range(number):
        (root / f"{n}.txt").write_bytes(os.urandom(2000))

    def work() -> None:
        for n in range(number):
            cached = keep(bench, b"%d.txt" % n)
            for connection in (b"", b"close", b"keep-alive"):
                bench.shelf.prepare(cached, False, connection, bench.now_ns)
            for query in range(16):
                shelve(bench, cached, b"GET /%d.txt?%d%b HTTP/1.1" % (n, query, b"q" * 8000))

    assert grown(work) < bench.shelf.store.size_bytes * 1.15
