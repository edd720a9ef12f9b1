# A site that only the disk can tell about is made by a look-up that refuses not to wait.
"""Whole requests: answered at once or by the pool, in order, and never with what was meant for another path."""

import os
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import wait_for
from tests.worker.conftest import MakeBench
from tests.worker.guards import BOUND_SECONDS
from tests.worker.parts import ask
from tests.worker.workbench import Workbench, statuses
from wsrv.engine.http.dates import http_date
from wsrv.engine.shm.row import HITS, MISSES
from wsrv.engine.static.entity import Entity
from wsrv.engine.worker.connection import CLOSED, IDLE, WAIT

GET = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"

Patch = pytest.MonkeyPatch


def get(path: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    """A request for `path`."""
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, path, b"".join(field + b"\r\n" for field in fields))


class Cold:
    """A disk for `bench` that answers only threads, and those when it is let."""

    def __init__(self, bench: Workbench, patch: Patch) -> None:
        self._find: Callable[..., Entity] = bench.site.find
        self.looked_up: list[bytes] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        patch.setattr(bench.site, "find", self)

    def __call__(self, path: bytes, raw_path: bytes, *, nowait: bool, **options: Any) -> Entity:
        if nowait:
            raise BlockingIOError
        self.looked_up.append(path)
        self.begun.release()
        assert self.go_on.acquire(timeout=BOUND_SECONDS)
        return self._find(path, raw_path, nowait=False, **options)


@pytest.fixture
def cold(bench: Workbench, monkeypatch: Patch) -> Cold:
    """The disk of `bench`."""
    return Cold(bench, monkeypatch)


# The pool.


def test_what_only_the_disk_has_is_fetched_and_held(bench: Workbench, cold: Cold) -> None:
    client = bench.client()
    assert bench.ask(client, GET) == b""
    assert client.conn.state == WAIT
    assert (bench.responses(), bench.log()) == ({}, [])
    cold.go_on.release()
    assert bench.hear_all(client).endswith(b"alpha")
    assert client.conn.state == IDLE
    assert bench.ask(bench.client(), GET).endswith(b"alpha")
    assert cold.looked_up == [b"a.txt"]
    assert (bench.count(HITS), bench.count(MISSES)) == (1, 1)


def test_one_look_serves_all_who_wait_for_the_path(bench: Workbench, cold: Cold) -> None:
    clients = [bench.client().send(GET) for _ in range(5)]
    bench.arrive(*clients)
    cold.go_on.release()
    got = bench.hear_all(*clients)
    assert statuses(got) == [200] * 5
    assert cold.looked_up == [b"a.txt"]
    assert bench.responses() == {200: 5}


def test_when_the_pool_is_full_there_is_a_503_and_the_connection_goes_on(
    make_bench: MakeBench, monkeypatch: Patch
) -> None:
    bench = make_bench(places=1)
    cold = Cold(bench, monkeypatch)
    busy, waiting, refused = (bench.client().send(get(b"/%b" % name)) for name in (b"1", b"2", b"3"))
    bench.arrive(busy)
    assert cold.begun.acquire(timeout=BOUND_SECONDS)
    bench.arrive(waiting, refused)
    answer = refused.received()
    assert statuses(answer) == [503]
    assert b"\r\nRetry-After: 1\r\n" in answer
    assert refused.conn.state == IDLE
    cold.go_on.release(2)
    bench.hear_all()
    assert bench.responses() == {404: 2, 503: 1}


def test_who_leaves_while_he_waits_is_dropped_and_the_others_are_served(bench: Workbench, cold: Cold) -> None:
    gone, there = bench.client().send(GET), bench.client().send(GET)
    bench.arrive(gone, there)
    gone.close()
    bench.hear()
    assert gone.conn.state == CLOSED
    cold.go_on.release()
    assert bench.hear_all(there).endswith(b"alpha")
    assert bench.responses() == {200: 1}


def test_what_follows_a_request_that_waits_is_answered_after_it(bench: Workbench, cold: Cold) -> None:
    client = bench.client()
    bench.ask(client, get(b"/none") + get(b"/a.txt", method=b"BREW") + get(b"/.hidden"))
    cold.go_on.release()
    assert statuses(bench.hear_all(client)) == [404, 501, 404]


def test_a_look_up_that_breaks_is_a_500(
    bench: Workbench, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*path: bytes, nowait: bool, **options: object) -> Entity:
        raise BlockingIOError if nowait else ZeroDivisionError

    monkeypatch.setattr(bench.site, "find", broken)
    client = bench.client()
    bench.ask(client, GET)
    assert statuses(bench.hear_all(client)) == [500]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_bug_of_ours_costs_one_client_one_answer(
    bench: Workbench, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*path: bytes, nowait: bool, **options: object) -> Entity:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.site, "find", broken)
    unlucky, other = bench.client().send(GET), bench.client().send(get(b"/.hidden"))
    bench.arrive(unlucky, other)
    assert statuses(unlucky.received()) == [500]
    assert statuses(other.received()) == [404]
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert bench.responses() == {404: 1, 500: 1}


# Answers.


def test_a_second_asker_is_a_hit_whatever_the_spelling(bench: Workbench) -> None:
    for path in (b"/a.txt", b"/./a.txt", b"/%61.txt", b"/a.txt?q"):
        assert bench.ask(bench.client(), get(path)).endswith(b"alpha")
    assert (bench.count(HITS), bench.count(MISSES)) == (3, 1)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (get(b"/none"), 404),
        (get(b"/.git/config"), 404),
        (get(b"/../a.txt"), 400),
        (get(b"/%zz"), 400),
        (get(b"/a%2ftxt"), 404),
        (get(b"/a.txt/b"), 404),
        (get(b"/", method=b"POST"), 405),
        (get(b"/", method=b"BREW"), 501),
        (get(b"/sub"), 301),
        (get(b"/sub/"), 404),
        (get(b"/a.txt", b'If-Match: "no"'), 412),
        (get(b"/a.txt", b"If-None-Match: *"), 304),
    ],
)
def test_each_request_has_its_status_and_the_connection_goes_on(
    bench: Workbench, root: Path, request_: bytes, expected: int
) -> None:
    (root / "sub").mkdir()
    client = bench.client()
    assert statuses(bench.answers(client, request_ + GET)) == [expected, 200]
    assert [int(line.split('"')[2].split()[0]) for line in bench.log()] == [expected, 200]


def test_a_redirect_keeps_the_query_and_is_not_held(bench: Workbench, root: Path) -> None:
    (root / "sub").mkdir()
    for query in (b"?a", b"?b", b""):
        got = bench.answers(bench.client(), get(b"/sub" + query))
        assert b"\r\nLocation: /sub/%b\r\n" % query in got
    assert len(bench.shelf.store) == 0


def test_the_answer_to_head_has_no_body_and_the_same_fields(bench: Workbench) -> None:
    for path in (b"/a.txt", b"/none", b"/.hidden"):
        whole, head = (bench.answers(bench.client(), get(path, method=method)) for method in (b"GET", b"HEAD"))
        assert head == whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_a_304_says_what_rfc_9110_lets_it(bench: Workbench) -> None:
    whole = bench.answers(bench.client(), GET)
    (etag,) = [line for line in whole.split(b"\r\n") if line.startswith(b"ETag: ")]
    got = bench.answers(bench.client(), get(b"/a.txt", etag.replace(b"ETag", b"If-None-Match")))
    assert statuses(got) == [304]
    assert etag in got.split(b"\r\n")
    assert got.endswith(b"\r\n\r\n")


def test_http_10_is_answered_and_closed_unless_it_asks_to_go_on(bench: Workbench) -> None:
    client = bench.client()
    got = bench.answers(client, b"GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"\r\nConnection: keep-alive\r\n" in got
    assert client.conn.state == IDLE
    assert b"\r\nConnection: close\r\n" in bench.answers(client, b"GET /a.txt HTTP/1.0\r\n\r\n")
    assert client.conn.state == CLOSED


def test_a_file_that_changes_is_never_answered_with_the_old_head(bench: Workbench, root: Path) -> None:
    for content in (b"one", b"three", b"fifteen"):
        (root / "a.txt").write_bytes(content)
        bench.advance(1)
        got = bench.answers(bench.client(), GET)
        assert got.endswith(b"\r\n\r\n" + content)
        assert b"\r\nContent-Length: %d\r\n" % len(content) in got


@pytest.mark.parametrize("length", [5, 1_500_000], ids=["held", "streamed"])
def test_no_answer_is_older_than_the_file_that_it_brings(bench: Workbench, root: Path, length: int) -> None:
    """It was modified after the round had begun, which is when the second of the Date was read."""
    second = bench.clock.wall_seconds(bench.now_ns) + 1
    (root / "new").write_bytes(bytes(length))
    os.utime(root / "new", (second, second))
    wait_for(lambda: time.time() >= second, "its second")
    fields = ask(bench, get(b"/new")).fields
    assert fields[b"last-modified"] == http_date(second)
    assert parsedate_to_datetime(fields[b"date"].decode()).timestamp() >= second
