# Corners in which clients wait, share or lose what they should not.
"""Rare ways through the slow lane."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench, statuses
from wsrv.engine.settings import CacheSettings, RewriteRule, SiteSettings
from wsrv.engine.shm.row import BYTES_SENT
from wsrv.engine.static.entity import Entity
from wsrv.engine.worker.connection import CLOSED, HEAD

GET = b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"


def make_cold(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    find = bench.site.find

    def cold(path: bytes, raw_path: bytes, *, nowait: bool, **options: Any) -> Entity:
        if nowait:
            raise BlockingIOError
        return find(path, raw_path, nowait=False, **options)

    monkeypatch.setattr(bench.site, "find", cold)


def test_a_408_that_cannot_be_written_does_not_hold_its_place_for_ever(bench: Workbench) -> None:
    client = bench.client()
    bench.ask(client, b"GET /a.txt HT")
    assert client.conn.state == HEAD
    for size in (4096, 1):
        try:
            while True:
                os.write(client.conn.fd, b"x" * size)
        except BlockingIOError:
            pass
    for _ in range(600):  # 150 s, five timeouts
        bench.advance(0.25)
        bench.look_at_deadlines()
    assert client.conn.state == CLOSED


def test_pipelined_behind_a_stream_that_was_taken_at_once_is_answered(
    make_bench: Callable[..., Workbench], root: Path
) -> None:
    (root / "big").write_bytes(b"b" * 100)
    bench = make_bench(cache=CacheSettings(max_object_bytes=50))
    got = bench.answers(bench.client(), GET.replace(b"a.txt", b"big") + GET)
    assert statuses(got) == [200, 200]


def test_a_stream_of_nothing_is_recorded(bench: Workbench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "big").write_bytes(b"b" * 100)
    find = bench.site.find

    def truncated(*a: Any, **k: Any) -> Entity:
        entity = find(*a, **k)
        entity.body = None  # as for a file past max_object_bytes
        (root / "big").write_bytes(b"")
        return entity

    monkeypatch.setattr(bench.site, "find", truncated)
    got = bench.answers(bench.client(), GET.replace(b"a.txt", b"big"))
    assert b"\r\nContent-Length: 0\r\n" in got
    assert bench.responses() == {200: 1}
    assert len(bench.log()) == 1


def test_who_waits_for_a_redirect_gets_his_own_query(
    bench: Workbench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "dir").mkdir()
    make_cold(bench, monkeypatch)
    alice = bench.client().send(GET.replace(b"a.txt", b"dir?token=alice"))
    bob = bench.client().send(GET.replace(b"a.txt", b"dir?b=2"))
    bench.arrive(alice, bob)
    bench.hear_all()
    assert b"\r\nLocation: /dir/?token=alice\r\n" in alice.received()
    assert b"alice" not in bob.received()


def test_who_waits_for_a_redirect_stays_in_his_own_folder(
    make_bench: MakeBench, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "dir").mkdir()
    rewrites = (RewriteRule("/alice", "/dir"), RewriteRule("/bob", "/dir"))
    bench = make_bench(site=SiteSettings(root=root, pages=root, rewrites=rewrites))
    make_cold(bench, monkeypatch)
    alice = bench.client().send(GET.replace(b"a.txt", b"alice"))
    bob = bench.client().send(GET.replace(b"a.txt", b"bob"))
    bench.arrive(alice, bob)
    bench.hear_all()
    assert b"\r\nLocation: /alice/\r\n" in alice.received()
    assert b"\r\nLocation: /bob/\r\n" in bob.received()


def test_what_was_not_counted_as_sent_is_not_taken_off_again(bench: Workbench) -> None:
    bench.warm(GET)
    sent = bench.count(BYTES_SENT)
    client = bench.client().send(GET.replace(b"a.txt", b"_wsrv/none"))
    client.close()
    bench.arrive(client)
    bench.hear_all()
    assert bench.count(BYTES_SENT) == sent


def test_an_interim_that_was_not_taken_is_not_taken_off_what_was_sent(bench: Workbench) -> None:
    bench.warm(GET)
    sent = bench.count(BYTES_SENT)
    client = bench.client().send(b"GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    client.close()
    bench.arrive(client)
    assert bench.count(BYTES_SENT) == sent


def test_an_answer_is_not_held_back_by_a_body_that_follows(bench: Workbench) -> None:
    client = bench.client()
    got = bench.ask(client, GET + b"GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
    assert statuses(got) == [200]


def test_an_answer_is_not_held_back_by_a_look_up_that_follows(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.warm(GET)
    make_cold(bench, monkeypatch)
    client = bench.client()
    assert statuses(bench.ask(client, GET + GET.replace(b"a.txt", b"none"))) == [200]
    bench.hear_all()


def test_a_pool_whose_threads_cannot_start_does_not_keep_anybody_waiting(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_cold(bench, monkeypatch)
    with monkeypatch.context() as patch:

        def fails(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", fails)
        assert statuses(bench.ask(bench.client(), GET)) == [503]
    second = bench.client().send(GET)
    bench.arrive(second)
    bench.hear(0.5)
    assert statuses(second.received()) in ([200], [500], [503])
