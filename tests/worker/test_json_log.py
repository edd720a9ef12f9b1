"""A worker that logs JSON: hits, misses, errors, streams and what is no request, each one object a line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench
from wsrv.engine.log.format import Common
from wsrv.engine.log.jsonlines import Json
from wsrv.engine.settings import CacheSettings
from wsrv.engine.worker.connection import Connection

GET = b'GET /a.txt HTTP/1.1\r\nHost: x\r\nReferer: http://x/\r\nUser-Agent: \xe9"t\\\r\n\r\n'


@pytest.fixture
def bench(make_bench: MakeBench, root: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A workbench that logs JSON and streams /big."""
    (root / "big").write_bytes(os.urandom(1_000_000))
    form = Json(7)
    made = make_bench(log_format=form, cache=CacheSettings(max_object_bytes=1000))
    plain = made.client

    def client() -> Any:
        found = plain()
        found.conn.opening = form.opening(b"127.0.0.1")
        return found

    # Else its connections begin as those of Combined.
    monkeypatch.setattr(made, "client", client)
    return made


def lines(bench: Workbench) -> list[dict[str, Any]]:
    return [json.loads(line) for line in bench.log()]


def test_misses_hits_of_the_slow_lane_and_of_the_hot_path_are_told_apart(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.warm(GET)
    bench.ask(bench.client(), GET.replace(b"x\r\n", b'x\r\nIf-None-Match: "no"\r\n', 1))

    def slow(conn: Connection, seen: bytes, now_ns: int) -> None:
        raise AssertionError(f"not answered by the hot path: {seen!r}")

    monkeypatch.setattr(bench.hot, "_slow", slow)
    clients = [bench.client().send(GET) for _ in range(3)]
    bench.arrive(*clients)
    found = lines(bench)
    assert [line["cache"] for line in found] == ["miss", "hit", "hit", "hit", "hit"]
    for line in found:
        assert (line["status"], line["bytes"], line["worker"], line["tls"]) == (200, 5, 7, None)
        assert (line["host"], line["referer"], line["user_agent"]) == ("x", "http://x/", "\\xE9\\x22t\\x5C")
        assert 0 <= line["duration"] < 60
    assert len({line["request_id"] for line in found}) == len(found)


def test_errors_and_streams_have_durations_too(bench: Workbench) -> None:
    bench.answers(bench.client(), b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
    bench.answers(bench.client(), b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    bench.answers(bench.client(), b"FOO\x01\r\n\r\n")
    missing, big, refused = lines(bench)
    assert (missing["status"], missing["cache"], missing["target"]) == (404, "miss", "/none")
    assert (big["status"], big["bytes"], big["cache"]) == (200, 1_000_000, "miss")
    assert (refused["status"], refused["method"], refused["target"], refused["cache"]) == (400, None, "FOO\\x01", None)
    assert all(0 <= line["duration"] < 60 for line in (missing, big, refused))


def test_a_request_that_began_long_ago_has_taken_that_long(bench: Workbench) -> None:
    bench.advance(-5)
    bench.answers(bench.client(), b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
    assert 5 <= lines(bench)[0]["duration"] < 60


def test_common_ends_with_the_bytes(make_bench: MakeBench) -> None:
    bench = make_bench(log_format=Common())
    for _ in range(2):
        bench.warm(GET)
    assert [line.partition("] ")[2] for line in bench.log()] == ['"GET /a.txt HTTP/1.1" 200 5'] * 2
