"""Lines of access logs, whole: ours in every format, and those of others."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.escape import log_escape
from wsrv.engine.log.entries import Malformed
from wsrv.engine.log.format import FORMATS
from wsrv.engine.log.line import Line, epoch_of, parse, rfc3339

NOON = 784121600


def written(
    name: str, target: bytes = b"/a?b", agent: bytes = b"curl/8", user: bytes = b"", status: int = 200
) -> bytes:
    """A line as a worker writes it."""
    form = FORMATS[name](3)
    opening = form.opening(b"192.0.2.1")
    pieces = (
        form.named(opening, log_escape(user)) if user else opening,
        form.stamp(NOON),
        b"GET %b HTTP/1.1" % target,
        form.outcome(status, 12),
        form.client(b"http://x/", log_escape(agent), b"example.org"),
    )
    return form.line(pieces, 0, b"hit", b"TLSv1.3").rstrip(b"\n")


@pytest.mark.parametrize("name", FORMATS)
def test_what_we_write_is_read_back(name: str) -> None:
    line = parse(written(name, user=b"ann b"))
    assert (line.client, line.method, line.target, line.path) == ("192.0.2.1", "GET", "/a?b", "/a")
    assert (line.protocol, line.status, line.bytes) == ("HTTP/1.1", 200, 12)
    assert line.user == ("ann b" if name == "json" else "ann\\x20b")
    assert epoch_of(line.time) == NOON
    assert epoch_of(rfc3339(line.time)) == NOON
    assert line.user_agent == (None if name == "common" else "curl/8")
    if name == "json":
        assert (line.host, line.worker, line.cache, line.tls, line.is_json) == (
            "example.org",
            3,
            "hit",
            "TLSv1.3",
            True,
        )
        assert line.duration is not None


@given(agent=st.binary(max_size=40), name=st.sampled_from(list(FORMATS)))
def test_no_user_agent_breaks_a_line(agent: bytes, name: str) -> None:
    line = parse(written(name, agent=agent))
    assert (line.target, line.status) == ("/a?b", 200)
    if name != "common":
        # In Combined a dash is nothing.
        assert (line.user_agent or "-") == (log_escape(agent).decode() or "-")


def test_a_document_has_the_keys_of_our_json() -> None:
    assert list(parse(written("combined")).document()) == list(json.loads(written("json")))
    ours = parse(written("json"))
    assert ours.document() == json.loads(written("json")) | {"request_id": ours.request_id, "duration": ours.duration}


def test_what_was_no_request_is_the_target() -> None:
    line = parse(b'::1 - - [25/Nov/2026:10:00:00 +0000] "\\x16\\x03" 400 0 "-" "-"')
    assert (line.method, line.target, line.protocol, line.referer) == (None, "\\x16\\x03", None, None)


@pytest.mark.parametrize(
    "text",
    [
        b'{"ts":1764064800.5,"request":{"remote_ip":"192.0.2.9","proto":"HTTP/2.0","method":"GET","uri":"/x"},'
        b'"duration":0.25,"size":7,"status":200}',
        b'{"time_iso8601":"2025-11-25T10:00:00+00:00","remote_addr":"192.0.2.9","request":"GET /x HTTP/1.1",'
        b'"status":"200","body_bytes_sent":"7","request_time":"0.250"}',
    ],
    ids=["Caddy", "nginx"],
)
def test_json_of_others(text: bytes) -> None:
    line = parse(text)
    assert (line.client, line.method, line.target, line.status, line.bytes) == ("192.0.2.9", "GET", "/x", 200, 7)
    assert line.duration == 0.25
    assert epoch_of(line.time) is not None


@pytest.mark.parametrize(
    "text", [b"", b"x", b"{", b"{}", b'{"status":200}', b"[1]", b'a - - [t] "GET / HTTP/1.1" 20 1']
)
def test_other_lines_are_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse(text)


@given(st.binary(max_size=200))
def test_whatever_a_line_has_it_is_a_line_or_none(text: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(parse(text), Line)
