"""The JSON format: whatever a client sent, a line is one object that says so."""

import json
import re
from datetime import datetime
from time import monotonic_ns
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.escape import log_escape
from wsrv.engine.log.format import FORMATS, Format
from wsrv.engine.log.jsonlines import Json

NOON = 784121600
KEYS = [
    *("time", "client", "user", "method", "target", "protocol", "status", "bytes", "referer", "user_agent", "host"),
    *("duration", "worker", "cache", "tls", "request_id"),
]

anything = st.binary(max_size=60)


def pieces(form: Format, line: bytes = b"GET / HTTP/1.1", opening: bytes = b"") -> tuple[bytes, ...]:
    return (
        opening or form.opening(b"192.0.2.1"),
        form.stamp(NOON),
        line,
        form.outcome(200, 5),
        form.client(b"", b"curl/8", b"example.org:80"),
    )


def read(line: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert list(found) == KEYS
    return found


def single(form: Format, *five: bytes, cache: bytes = b"", tls: bytes = b"") -> dict[str, Any]:
    opening, stamp, line, outcome, client = five
    return read(form.line((opening, stamp, line, outcome, client), monotonic_ns(), cache, tls))


def test_a_hit_and_the_same_request_by_the_slow_lane_differ_in_duration_and_number_alone() -> None:
    form = Json(3)
    hit = read(form.weave([*pieces(form)], monotonic_ns()))
    slow = single(form, *pieces(form), cache=b"hit")
    assert (hit.pop("request_id"), slow.pop("request_id")) == tuple(f"{form._process.decode()}-{n}" for n in (1, 2))
    assert min(hit.pop("duration"), slow.pop("duration")) >= 0
    assert hit == slow
    assert datetime.fromisoformat(hit.pop("time")).timestamp() == NOON
    assert hit == {
        "client": "192.0.2.1",
        "user": None,
        "method": "GET",
        "target": "/",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 5,
        "referer": None,
        "user_agent": "curl/8",
        "host": "example.org:80",
        "worker": 3,
        "cache": "hit",
        "tls": None,
    }


def test_a_batch_is_a_line_a_hit_in_their_order() -> None:
    form = Json()
    batch = [piece for n in range(64) for piece in pieces(form, b"GET /%d?x=%%00 HTTP/1.0" % n)]
    lines = [read(line) for line in form.weave(batch, monotonic_ns()).splitlines(keepends=True)]
    assert [line["target"] for line in lines] == [f"/{n}?x=%00" for n in range(64)]
    assert len({line["request_id"] for line in lines}) == 64


def test_a_duration_is_in_seconds_to_the_microsecond() -> None:
    form = Json()
    opening, stamp, line, outcome, client = pieces(form)
    ago_ns = monotonic_ns() - 3_250_000_000
    for text in (
        form.line((opening, stamp, line, outcome, client), ago_ns, b"", b""),
        form.weave([*pieces(form)], ago_ns),
    ):
        assert re.search(rb'"duration":\d+\.\d{6},', text)
        assert json.loads(text)["duration"] >= 3.25


@given(line=anything, referer=anything, agent=anything, user=anything)
def test_whatever_a_client_sends_the_line_is_one_object(line: bytes, referer: bytes, agent: bytes, user: bytes) -> None:
    form = Json()
    opening = form.named(form.opening(b"::1"), log_escape(user)) if user else form.opening(b"::1")
    said = form.client(log_escape(referer), log_escape(agent))
    escaped = log_escape(line) or b"-"
    found = single(form, opening, form.stamp(NOON), escaped, form.outcome(400, 0), said)
    # What the other formats show is what is read here.
    assert found["user"] == (log_escape(user).decode() or None)
    assert (found["referer"] or "", found["user_agent"] or "") == (
        log_escape(referer).decode(),
        log_escape(agent).decode(),
    )
    words = [found["method"], found["target"], found["protocol"]]
    assert " ".join(word or "" for word in words).strip(" ") == escaped.decode().strip(" ")


@pytest.mark.parametrize("line", [b"-", b"GET", b"GET /", b"GET / HTTP/1.1 x", b"\\x16\\x03\\x01"])
def test_what_was_no_request_has_no_method(line: bytes) -> None:
    found = single(Json(), *pieces(Json(), line))
    assert (found["method"], found["protocol"], found["target"]) == (None, None, line.decode())


def test_tls_and_the_cache_are_named() -> None:
    found = single(Json(), *pieces(Json()), cache=b"miss", tls=b"TLSv1.3")
    assert (found["cache"], found["tls"]) == ("miss", "TLSv1.3")
    found = single(Json(), *pieces(Json()))
    assert (found["cache"], found["tls"]) == (None, None)


def test_processes_do_not_share_numbers() -> None:
    first, second = (single(form, *pieces(form))["request_id"] for form in (Json(), Json()))
    assert first != second


def test_only_json_weaves() -> None:
    assert [name for name, form in FORMATS.items() if form().weave is not None] == ["json"]
