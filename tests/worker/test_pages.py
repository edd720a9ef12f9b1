# What clients receive from pages, against what the same workbench sends of what is held.
"""Long answers in pages."""

import ctypes
import os
import socket
import time
from itertools import count
from pathlib import Path
from time import monotonic_ns
from types import SimpleNamespace

import pytest

from tests.static.conftest import open_descriptors
from tests.worker.conftest import MakeBench
from tests.worker.workbench import Client, Workbench
from wsrv.engine.settings import CacheSettings
from wsrv.engine.worker import hot, pages
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.pages import LEAST_BYTES, OFTEN
from wsrv.engine.worker.prepared import Prepared

KIB = 1024
CONTENT = os.urandom(200 * KIB)
MAPS = "/memfd:wsrv-answer (deleted)"


def get(name: str) -> bytes:
    return f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


GET = get("long")


@pytest.fixture(autouse=True)
def _late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the workbenches runs ahead: an answer must not be written before it was asked for. Each second of
    theirs has a date of its own."""
    monkeypatch.setattr(hot, "monotonic_ns", lambda: monotonic_ns() + 100 * SECOND_NS)
    walls_ns = count(time.time_ns() // SECOND_NS * SECOND_NS, SECOND_NS)
    monkeypatch.setattr("wsrv.engine.worker.clock.time", SimpleNamespace(time_ns=lambda: next(walls_ns)))


def files_in_memory() -> int:
    return sum(target == MAPS for _, target in open_descriptors())


@pytest.fixture
def long(bench: Workbench, root: Path) -> Workbench:
    (root / "long").write_bytes(CONTENT)
    return bench


def ask_often(bench: Workbench, name: str = "long", seconds: int = 2) -> bytes:
    """Ask for it often, in so many seconds; the last answer."""
    got = b""
    for _ in range(seconds):
        bench.advance(1)
        for _ in range(OFTEN + 1):
            client = bench.client()
            got = bench.answers(client, get(name))
            client.close()
            bench.arrive(client)
    return got


def date_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\nDate: ")[2].partition(b"\r\n")[0]


def answers_in_pages(bench: Workbench) -> list[Prepared]:
    store = bench.shelf.store
    held = [cached for key in store.held() if (cached := store.get(key)) is not None]
    return [answer for cached in held for answer in cached.answers.values() if answer.pages is not None]


def test_what_is_asked_for_often_is_in_pages_and_is_what_it_was(long: Workbench) -> None:
    first = ask_often(long, seconds=1)
    assert files_in_memory() == 0
    assert ask_often(long, seconds=1) == first.replace(date_of(first), long.clock.date)
    assert len(answers_in_pages(long)) == files_in_memory() == len(long.shelf.paged) == 1
    for _ in range(3):
        got = ask_often(long, seconds=1)
        assert date_of(got) == long.clock.date
        assert got.endswith(b"\r\n\r\n" + CONTENT)
        assert got == first.replace(date_of(first), long.clock.date)
    assert files_in_memory() == 1


@pytest.mark.parametrize("over_tcp", [False, True])
@pytest.mark.parametrize("length", [LEAST_BYTES - 1000, LEAST_BYTES, 100_000, 700_001])
def test_all_lengths_come_whole(long: Workbench, root: Path, length: int, over_tcp: bool) -> None:
    (root / "other").write_bytes(CONTENT[:1] * length)
    ask_often(long, "other", 3)
    assert files_in_memory() == (length >= LEAST_BYTES)
    client = long.tcp_client() if over_tcp else long.client()
    got = long.answers(client, get("other") * 3)
    while got.count(b"\r\n\r\n" + CONTENT[:1] * length) < 3:
        piece = long.hear_all(client)
        got += piece or client.received()
    assert len(got) == 3 * len(got.partition(b"\r\n\r\n")[0] + b"\r\n\r\n") + 3 * length


def test_what_is_asked_for_seldom_is_not(long: Workbench) -> None:
    for _ in range(4 * OFTEN):
        long.advance(1)
        long.answers(long.client(), GET)
    assert files_in_memory() == 0


def test_an_answer_by_the_slow_lane_renews_the_pages_too(long: Workbench) -> None:
    ask_often(long)
    (answer,) = answers_in_pages(long)
    long.advance(1)
    client = long.client()
    # Two requests at once are not the hot path's.
    long.answers(client, GET * 2)
    assert date_of(long.answers(long.client(), GET)) == long.clock.date
    assert answers_in_pages(long) == [answer]


@pytest.mark.parametrize("over_tcp", [False, True])
def test_what_is_on_its_way_stays_as_it_was(long: Workbench, over_tcp: bool) -> None:
    ask_often(long)

    def slow() -> Client:
        client = long.tcp_client() if over_tcp else long.client()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return client

    client, before = slow(), long.clock.date
    client.send(GET)
    long.arrive(client)
    for _ in range(3):
        ask_often(long, seconds=1)
    assert files_in_memory() == 1
    got = bytearray()
    while len(got) < len(CONTENT) or not got.endswith(CONTENT[-100:]):
        got += long.hear_all(client) or client.received()
    assert date_of(bytes(got)) == before
    assert got.endswith(b"\r\n\r\n" + CONTENT)


def test_what_leaves_the_cache_has_no_pages(long: Workbench, root: Path) -> None:
    ask_often(long)
    assert files_in_memory() == 1
    (root / "long").write_bytes(CONTENT[::-1])
    long.advance(1)
    assert long.answers(long.client(), GET).endswith(CONTENT[::-1])
    assert files_in_memory() == len(long.shelf.paged) == long.shelf.paged.size_bytes == 0
    ask_often(long)
    assert files_in_memory() == 1
    long.shelf.store.drop(b"long")
    assert files_in_memory() == len(long.shelf.paged) == long.shelf.paged.size_bytes == 0


def test_there_are_so_many_and_who_was_renewed_longest_ago_makes_room(
    make_bench: MakeBench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(cache=CacheSettings(capacity_bytes=1 << 30))
    monkeypatch.setattr(pages, "MOST", 3)
    names = ["1", "2", "3", "4"]
    for name in names:
        (root / name).write_bytes(CONTENT)
        bench.answers(bench.client(), get(name))
    for _ in range(3):
        bench.advance(1)
        for name in names * (OFTEN + 1):
            client = bench.client()
            bench.answers(client, get(name))
            client.close()
            bench.arrive(client)
    assert len(answers_in_pages(bench)) == files_in_memory() == 3
    assert bench.shelf.paged.size_bytes == sum(answer.length for answer in answers_in_pages(bench))


def test_they_take_an_eighth_of_the_cache_at_most(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(cache=CacheSettings(capacity_bytes=8 * 450 * KIB))
    for name in "abc":
        (root / name).write_bytes(CONTENT)
        ask_often(bench, name, 3)
    assert files_in_memory() == 2
    assert bench.shelf.paged.size_bytes <= 450 * KIB
    (root / "d").write_bytes(CONTENT * 3)
    ask_often(bench, "d", 3)
    assert files_in_memory() == 2, "what is longer than all of it is no reason to make room"


@pytest.mark.parametrize("lacking", ["memory", "a hole"])
def test_without_them_it_is_written_as_it_is_held(
    long: Workbench, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def fails(*_: object) -> int:
        raise OSError(28, "No space left on device")

    if lacking == "memory":
        monkeypatch.setattr(os, "memfd_create", fails)
    else:
        no_hole = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        monkeypatch.setattr(pages, "_fallocate", no_hole(lambda *_: -1))
    for _ in range(4):
        got = ask_often(long, seconds=1)
        assert got.endswith(b"\r\n\r\n" + CONTENT)
        assert date_of(got) == long.clock.date
    assert long.shelf.paged.size_bytes == files_in_memory() * len(got)
