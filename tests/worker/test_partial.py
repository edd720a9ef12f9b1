# One file a way of sending: joined to one string, by writev, streamed. What a client gets must not show which it was.
"""Ranges and conditions of whole requests: the same on every path that bytes take, and counted to the byte."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worker.parts import FILES, Answer, ask, body_bytes_logged, get
from tests.worker.workbench import Workbench, statuses
from wsrv.engine.http.dates import http_date
from wsrv.engine.shm.row import BYTES_SENT
from wsrv.engine.static.entity import Entity
from wsrv.engine.worker.connection import CLOSED, IDLE

PATHS = pytest.mark.parametrize("path", FILES)
OLD_SECONDS = 784_111_777


# The same on all paths.


@PATHS
@pytest.mark.parametrize(
    ("asked", "spans"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=10-", [(10, None)]),
        (b"bytes=-10", [(-10, None)]),
        (b"bytes=0-", [(0, None)]),
        (b"bytes=500-509,0-9,-1", [(500, 510), (0, 10), (-1, None)]),
        (b"bytes=0-9,5-19", [(0, 20)]),
    ],
)
def test_a_range_is_206_with_those_bytes_and_the_fields_of_the_200(
    held: Workbench, path: bytes, asked: bytes, spans: list[tuple[int, int | None]]
) -> None:
    content = FILES[path]
    whole = ask(held, get(path))
    client = held.client()
    raw = held.answers(client, get(path, b"Range: " + asked))
    answer = Answer(raw)
    assert answer.parts() == [(begin % len(content), content[begin:end]) for begin, end in spans]
    assert answer.fields[b"content-length"] == b"%d" % len(answer.body)
    own = {b"content-type", b"content-length", b"content-range", b"date"}
    assert {k: v for k, v in answer.fields.items() if k not in own} == {
        k: v for k, v in whole.fields.items() if k not in own
    }
    assert answer.fields[b"accept-ranges"] == b"bytes"
    assert client.conn.state == IDLE
    assert held.responses() == {200: 1, 206: 1}
    assert held.count(BYTES_SENT) == len(raw) + whole.head_bytes + len(content)
    assert body_bytes_logged(held) == [(200, len(content)), (206, len(answer.body))]


@PATHS
def test_what_lies_behind_the_end_is_416_with_the_length(held: Workbench, path: bytes) -> None:
    client = held.client()
    answer = Answer(held.answers(client, get(path, b"Range: bytes=%d-" % len(FILES[path]))))
    assert answer.status == 416
    assert answer.fields[b"content-range"] == b"bytes */%d" % len(FILES[path])
    assert answer.fields[b"content-type"] == b"text/html; charset=utf-8"
    assert answer.fields[b"vary"] == b"Accept-Encoding"
    assert b"416 Range Not Satisfiable" in answer.body
    assert not {b"etag", b"last-modified", b"accept-ranges"} & set(answer.fields)
    assert client.conn.state == IDLE
    assert held.responses() == {416: 1}


def test_a_416_keeps_its_length_to_itself(held: Workbench) -> None:
    lengths = [ask(held, get(path, b"Range: bytes=9999999-")).fields[b"content-range"] for path in FILES]
    assert lengths == [b"bytes */%d" % len(content) for content in FILES.values()]


@PATHS
@pytest.mark.parametrize("asked", [b"bytes=9-0", b"lines=0-9", b"bytes=0-9,", b"bytes=" + b"0-0," * 300])
def test_a_range_that_is_ignored_is_200_with_all_of_it(held: Workbench, path: bytes, asked: bytes) -> None:
    expected = (206, FILES[path][:10]) if asked == b"bytes=0-9," else (200, FILES[path])
    answer = ask(held, get(path, b"Range: " + asked))
    assert (answer.status, answer.body) == expected


@PATHS
def test_a_range_of_head_is_ignored(held: Workbench, path: bytes) -> None:
    for asked in (b"bytes=0-9", b"bytes=9999999-"):
        answer = Answer(held.answers(held.client(), get(path, b"Range: " + asked, method=b"HEAD")))
        assert (answer.status, answer.body) == (200, b"")
        assert answer.fields[b"content-length"] == b"%d" % len(FILES[path])
        assert b"content-range" not in answer.fields


@PATHS
def test_conditions_come_before_ranges_and_if_range_decides(held: Workbench, path: bytes) -> None:
    os.utime(held_file(held, path), (OLD_SECONDS, OLD_SECONDS))
    etag = ask(held, get(path)).fields[b"etag"]
    date = http_date(OLD_SECONDS)
    part, beyond = b"Range: bytes=0-9", b"Range: bytes=9999999-"
    expected = {
        (part, b"If-None-Match: " + etag): 304,
        (part, b'If-None-Match: "x"'): 206,
        (part, b"If-Match: " + etag): 206,
        (part, b'If-Match: "x"'): 412,
        (part, b"If-Unmodified-Since: " + date): 206,
        (part, b"If-Unmodified-Since: " + http_date(OLD_SECONDS - 1)): 412,
        (part, b"If-Modified-Since: " + date): 304,
        (part, b"If-Range: " + etag): 206,
        (part, b'If-Range: "x"'): 200,
        (part, b"If-Range: W/" + etag): 200,
        (part, b"If-Range: " + date): 206,
        (part, b"If-Range: " + http_date(OLD_SECONDS + 1)): 200,
        (beyond, b"If-None-Match: " + etag): 304,
        (beyond, b'If-Match: "x"'): 412,
        (beyond, b"If-Range: " + etag): 416,
        (beyond, b'If-Range: "x"'): 200,
        (b"If-Range: " + etag,): 200,
        (b'If-Range: "x"',): 200,
        (part, b"If-Range: " + etag, b'If-Match: "x"'): 412,
    }
    client = held.client()
    for fields, status in expected.items():
        answer = Answer(held.answers(client, get(path, *fields)))
        assert answer.status == status, fields
        if status in (200, 206):
            assert answer.body == FILES[path][: 10 if status == 206 else None]
    counted: dict[int, int] = {}
    for status in (200, *expected.values()):
        counted[status] = counted.get(status, 0) + 1
    assert held.responses() == counted


def held_file(bench: Workbench, path: bytes) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{bench.site._root.fd}")) / path[1:].decode()


@PATHS
def test_a_date_that_may_stand_for_two_contents_gives_the_whole(held: Workbench, path: bytes) -> None:
    # The site's clock is ahead, so a time to come stands in Last-Modified as it is.
    soon = int(held.clock.wall_seconds(held.now_ns)) + 5
    os.utime(held_file(held, path), (soon, soon))
    assert ask(held, get(path)).fields[b"last-modified"] == http_date(soon)
    answer = ask(held, get(path, b"Range: bytes=0-9", b"If-Range: " + http_date(soon)))
    assert (answer.status, answer.body) == (200, FILES[path])


@PATHS
def test_who_resumes_a_file_that_has_changed_gets_the_new_one_whole(held: Workbench, path: bytes) -> None:
    etag = ask(held, get(path)).fields[b"etag"]
    new = FILES[path][::-1]
    held_file(held, path).write_bytes(new)
    held.advance(1)
    answer = ask(held, get(path, b"Range: bytes=500-", b"If-Range: " + etag))
    assert (answer.status, answer.body) == (200, new)
    assert answer.fields[b"etag"] != etag
    assert ask(held, get(path, b"Range: bytes=500-", b"If-Match: " + etag)).status == 412


@PATHS
def test_a_range_is_not_remembered_for_those_who_ask_without(held: Workbench, path: bytes) -> None:
    part, whole = get(path, b"Range: bytes=0-9"), get(path)
    for request in (part, whole, part, whole, whole, part):
        answer = ask(held, request)
        assert answer.body == (FILES[path][:10] if request is part else FILES[path])


@PATHS
@pytest.mark.parametrize("asked", [b"bytes=1-", b"bytes=0-99,200-"])
def test_pipelined_parts_and_wholes_come_in_order(held: Workbench, path: bytes, asked: bytes) -> None:
    client = held.client()
    requests = [get(path, b"Range: " + asked), get(b"/a.txt"), get(path), get(path, b"Range: bytes=-3"), get(b"/a.txt")]
    got = held.answers(client, b"".join(requests))
    alone = b"".join(held.answers(held.client(), request) for request in requests)
    assert statuses(got) == [206, 200, 200, 206, 200]
    assert without_chance(got) == without_chance(alone)
    assert client.conn.state == IDLE


def without_chance(answers: bytes) -> bytes:
    """Answers without what differs from one to the next: dates and boundaries."""
    for boundary in set(re.findall(rb"boundary=([0-9a-f]+)", answers)):
        answers = answers.replace(boundary, b"B")
    return re.sub(rb"\r\nDate: [^\r]+", b"", answers)


def test_boundaries_never_come_again(held: Workbench) -> None:
    found = {ask(held, get(b"/small", b"Range: bytes=0-0,2-2")).fields[b"content-type"] for _ in range(20)}
    assert len(found) == 20


@PATHS
@pytest.mark.parametrize("asked", [b"bytes=0-,0-", b"bytes=-1000000,0-400"])
@pytest.mark.parametrize("minor", [0, 1])
def test_a_part_is_followed_by_the_close_that_was_asked_for(
    held: Workbench, path: bytes, asked: bytes, minor: int
) -> None:
    client = held.client()
    request = get(path, b"Range: " + asked, b"Connection: close").replace(b"HTTP/1.1", b"HTTP/1.%d" % minor)
    answer = Answer(held.answers(client, request))
    assert answer.status == 206
    assert answer.fields[b"connection"] == b"close"
    assert client.conn.state == CLOSED


def test_what_is_no_file_has_no_parts(held: Workbench, files: Path) -> None:
    (files / "sub").mkdir()
    part = b"Range: bytes=0-1"
    for path, status in ((b"/none", 404), (b"/sub", 301), (b"/%zz", 400), (b"/_wsrv/none", 403)):
        plain, ranged = ask(held, get(path)), ask(held, get(path, part))
        assert (ranged.status, ranged.body) == (status, plain.body)
        assert b"accept-ranges" not in ranged.fields
        assert ask(held, get(path, b'If-Match: "x"', part)).status == status, "no conditions on what is not there"
        assert ask(held, get(path, b"If-None-Match: *", part)).status == status


def test_of_an_empty_file_there_is_no_first_byte(held: Workbench, files: Path) -> None:
    (files / "empty").touch()
    for asked, status in ((b"bytes=0-", 416), (b"bytes=0-0", 416), (b"bytes=-0", 416), (b"bytes=-1", 200)):
        answer = ask(held, get(b"/empty", b"Range: " + asked))
        assert answer.status == status
        if status == 416:
            assert answer.fields[b"content-range"] == b"bytes */0"
        else:
            assert (answer.fields[b"content-length"], answer.body) == (b"0", b"")


@pytest.mark.not_linted("the fields are the test's own")
def test_an_entity_that_only_has_bytes_and_a_tag_is_given_in_parts(held: Workbench) -> None:
    # As a coded representation is one: nothing but its own body, length, tag and fields count.
    entity = held.site.find(b"small", b"/small", nowait=False)
    coded = Entity(
        200,
        entity.content_type,
        7,
        b'"coded"',
        entity.mtime_seconds,
        entity.last_modified,
        entity.identity,
        b"1234567",
        ((b"Content-Length", b"7"), (b"Content-Encoding", b"br"), (b"ETag", b'"coded"')),
        entity.path,
        True,
    )
    held.shelf.keep(b"small", held.site, b"small", coded, held.now_ns)
    answer = ask(held, get(b"/small", b"Range: bytes=2-3", b'If-Range: "coded"'))
    assert (answer.status, answer.body) == (206, b"34")
    assert answer.fields[b"content-encoding"] == b"br"
    assert answer.fields[b"content-range"] == b"bytes 2-3/7"


# Any ranges, of any of them.


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=6),
    st.booleans(),
)
def test_any_ranges_come_as_asked_and_the_connection_goes_on(
    held: Workbench, path: bytes, tenths: list[tuple[int, int]], suffix: bool
) -> None:
    content = FILES[path]
    step = len(content) // 10
    specs = [b"%d-%d" % (step * begin + 1, step * (begin + more) + 1) for begin, more in tenths]
    covered = bytearray(len(content))
    for begin, more in tenths:
        covered[step * begin + 1 : step * (begin + more) + 2] = b"\1" * len(
            covered[step * begin + 1 : step * (begin + more) + 2]
        )
    if suffix:
        specs.append(b"-3")
        covered[-3:] = b"\1\1\1"
    client = held.client()
    raw = held.answers(client, get(path, b"Range: bytes=" + b",".join(specs)))
    if not any(covered):
        assert statuses(raw) == [416]
    else:
        runs = [(m.start(), content[m.start() : m.end()]) for m in re.finditer(b"\1+", bytes(covered))]
        assert sorted(Answer(raw).parts()) == runs
    assert client.conn.state == IDLE
    assert held.ask(client, get(b"/a.txt")).endswith(b"alpha")
    client.close()
    held.hear_all()
