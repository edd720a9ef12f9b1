"""Which entries are hot, and what a successor loads of them."""

import time
from pathlib import Path

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench
from wsrv.engine.cache.policy import order_of
from wsrv.engine.settings import CacheSettings
from wsrv.engine.shm.hottest import HotLists
from wsrv.engine.static.recoding import Bounds
from wsrv.engine.worker.answering import Answering
from wsrv.engine.worker.hottest import Hottest
from wsrv.engine.worker.loading import Loading

NAMES = [b"%d.txt" % number for number in range(8)]


@pytest.fixture
def many(root: Path) -> Path:
    for name in NAMES:
        (root / name.decode()).write_bytes(name * 100)
    return root


def get(bench: Workbench, name: bytes, times: int = 1) -> None:
    client = bench.client()
    for _ in range(times):
        assert b" 200 OK" in bench.answers(client, b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % name)
    client.close()


def test_the_list_has_what_is_asked_for_most_first(many: Path, bench: Workbench) -> None:
    found = HotLists(1).of(0)
    hottest = Hottest(bench.shelf, found)
    bench.advance(-1000)
    for times, name in enumerate(NAMES, start=1):
        get(bench, name, times)
    hottest.tick(bench.now_ns)
    # What was hit within the second counts with the next look.
    bench.advance(1.5)
    for name in NAMES:
        get(bench, name)
    hottest.tick(bench.now_ns)
    assert found.read() == NAMES[::-1]
    assert hottest.written == len(NAMES)


def test_old_hits_count_less(many: Path, bench: Workbench) -> None:
    found = HotLists(1).of(0)
    hottest = Hottest(bench.shelf, found)
    bench.advance(-1000)
    get(bench, NAMES[0], 9)
    bench.advance(1.5)
    get(bench, NAMES[0])
    hottest.tick(bench.now_ns)
    bench.advance(600)
    get(bench, NAMES[1], 3)
    bench.advance(1.5)
    get(bench, NAMES[1])
    hottest.tick(bench.now_ns)
    assert found.read() == [NAMES[1], NAMES[0]]
    # For years, without a number growing out of its bounds.
    for years in range(1, 20):
        bench.advance(1.5)
        get(bench, NAMES[2], 2)
        hottest.tick(bench.now_ns + years * 10**16)
    assert found.read()[0] == NAMES[2]


def test_what_has_left_the_cache_leaves_the_list(many: Path, bench: Workbench) -> None:
    found = HotLists(1).of(0)
    hottest = Hottest(bench.shelf, found)
    for name in NAMES[:2]:
        get(bench, name)
    hottest.tick(bench.now_ns)
    assert sorted(found.read()) == NAMES[:2]
    bench.shelf.store.drop(NAMES[0])
    bench.advance(1.5)
    hottest.tick(bench.now_ns)
    assert found.read() == [NAMES[1]]


def loading(bench: Workbench, capacity_bytes: int = 1 << 20) -> Loading:
    bounds = Bounds(compressed=capacity_bytes, decoded=capacity_bytes)
    answering = Answering(bench.connections, bench.delivery, bench.shelf, bench.pool, bench.ledger, bench.clock, bounds)
    return Loading(bench.shelf, answering.errands, bench.pool, bounds, capacity_bytes)


def test_a_successor_holds_what_it_was_left_the_hottest_youngest(many: Path, bench: Workbench) -> None:
    loading(bench).recall([NAMES[3], NAMES[1], b"gone.txt", NAMES[2] + b"\0gzip", b"x\0\0nobody's", b""], 10**10)
    assert bench.shelf.store.held() == [NAMES[3], NAMES[1], NAMES[2] + b"\0gzip"]
    # lru: from the one that leaves first.
    assert list(order_of(bench.policy, ())) == [NAMES[2] + b"\0gzip", NAMES[1], NAMES[3]]
    cached = bench.shelf.store.get(NAMES[2] + b"\0gzip")
    assert cached is not None
    assert cached.entity.coding == b"gzip"
    get(bench, NAMES[3])
    assert bench.responses() == {200: 1}


def test_nobody_has_to_leave_for_what_is_recalled(many: Path, make_bench: MakeBench) -> None:
    bench = make_bench(cache=CacheSettings(capacity_bytes=20_000))
    loading(bench, 20_000).recall(NAMES, 10**10)
    assert bench.shelf.store.evictions == 0
    assert 0 < len(bench.shelf.store) < len(NAMES)
    assert bench.shelf.store.held() == NAMES[: len(bench.shelf.store)], "the hottest"


def test_a_disk_that_hangs_delays_the_start_for_so_long_and_no_longer(
    many: Path, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look without waiting fails, and the pool's never ends before the time is up."""
    ahead = loading(bench)
    real = bench.site.find
    let_go: list[bool] = []

    def slow(*args: object, nowait: bool, **rest: object) -> object:
        if nowait:
            raise BlockingIOError
        while not let_go:
            time.sleep(0.001)
        return real(*args, nowait=False, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bench.site), "find", lambda self, *args, **rest: slow(*args, **rest))
    ahead.recall(NAMES, 50_000_000)
    assert bench.shelf.store.held() == []
    assert ahead.under_way == 4
    # What comes later is kept by the loop.
    let_go.append(True)
    ahead.recall([], 10**10)
    assert ahead.under_way == 0
    assert sorted(bench.shelf.store.held()) == NAMES[:4]


def test_what_goes_wrong_costs_no_worker_its_start(
    many: Path, bench: Workbench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: object, **rest: object) -> object:
        raise KeyError("a bug")

    monkeypatch.setattr(type(bench.site), "find", fail)
    loading(bench).recall(NAMES, 10**10)
    assert "a bug" in capfd.readouterr().err
