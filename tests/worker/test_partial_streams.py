"""Parts that take their time: files that change under them, slow readers, and those who leave or say no more."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.worker.parts import FILES, Answer, ask, body_bytes_logged, get
from tests.worker.workbench import BOUND_SECONDS, Client, Workbench, statuses
from wsrv.engine.shm.row import BYTES_SENT
from wsrv.engine.static.entity import Entity
from wsrv.engine.worker.connection import CLOSED, IDLE, WAIT, WRITE

# What is open counts, not what was looked up.


def test_conditions_on_a_streamed_file_concern_the_one_that_is_sent(
    held: Workbench, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = ask(held, get(b"/large")).fields[b"etag"]
    new = os.urandom(1_400_000)
    open_for_sending = held.site.open_for_sending

    def old_file(name: str, content: bytes) -> Path:
        """The file as of a while ago: the workbench's clock stands, and nothing is modified after it is sent."""
        path = files / name
        path.write_bytes(content)
        os.utime(path, (path.stat().st_mtime - 60,) * 2)
        return path

    def replaced(path: bytes, like: Entity) -> tuple[int, Entity]:
        old_file("new", new).rename(files / "large")
        return open_for_sending(path, like)

    for condition, status in ((b"If-Range: ", 200), (b"If-Match: ", 412), (b"If-None-Match: ", 206)):
        old_file("large", FILES[b"/large"])
        etag = ask(held, get(b"/large")).fields[b"etag"]
        held.open_files.close()
        with monkeypatch.context() as patch:
            patch.setattr(held.site, "open_for_sending", replaced)
            answer = ask(held, get(b"/large", b"Range: bytes=100-", condition + etag))
        assert answer.status == status
        assert (status == 412) == (b"412 Precondition Failed" in answer.body)
        assert status == 412 or answer.body == (new if status == 200 else new[100:])


def test_a_file_replaced_under_a_part_goes_on_as_it_was(held: Workbench, files: Path) -> None:
    client = stalled(held, get(b"/large", b"Range: bytes=0-9,100-"))
    (files / "new").write_bytes(b"new")
    (files / "new").rename(files / "large")
    answer = Answer(held.hear_all(client))
    assert answer.parts() == [(0, FILES[b"/large"][:10]), (100, FILES[b"/large"][100:])]


@pytest.mark.parametrize("asked", [b"bytes=10-", b"bytes=0-9,20-1000000,1400000-"])
def test_a_file_that_shrinks_under_a_part_ends_the_connection_before_a_wrong_byte(
    held: Workbench, files: Path, asked: bytes
) -> None:
    client = stalled(held, get(b"/large", b"Range: " + asked))
    raw = client.received()
    os.truncate(files / "large", 1000)
    raw += held.hear_all(client)
    assert client.conn.state == CLOSED
    answer = Answer(raw)
    assert len(answer.body) < int(answer.fields[b"content-length"])
    sent = answer.body.rpartition(b"\r\n\r\n")[2] if asked.count(b",") else answer.body
    begin = 20 if asked.count(b",") else 10
    assert sent == FILES[b"/large"][begin : begin + len(sent)]
    assert held.responses() == {206: 1}
    assert held.count(BYTES_SENT) == len(raw)
    assert body_bytes_logged(held) == [(206, len(answer.body))]


# Slow readers, and those who leave.


def stalled(bench: Workbench, request: bytes) -> Client:
    """A client that has asked and has taken nothing."""
    client = bench.client()
    client.send(request)
    bench.arrive(client)
    while bench.hear(BOUND_SECONDS if client.conn.state == WAIT else 0.0):
        pass
    assert client.conn.state == WRITE
    return client


@pytest.mark.parametrize("path", [b"/medium", b"/large"])
@pytest.mark.parametrize("asked", [b"bytes=1-", b"bytes=1-100000,110000-280000,-5000", b"bytes=0-0,2-"])
def test_who_is_slow_gets_each_part_to_its_end(held: Workbench, path: bytes, asked: bytes) -> None:
    client = held.client()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    expected = ask(held, get(path, b"Range: " + asked))
    client.send(get(path, b"Range: " + asked) + get(b"/a.txt"))
    held.arrive(client)
    got, end = b"", b"alpha"
    while not got.endswith(end):
        try:
            got += client.socket.recv(10_007, socket.MSG_DONTWAIT)
        except BlockingIOError:
            assert held.hear(), "neither the client nor the server has anything to do"
    assert statuses(got) == [206, 200]
    first = Answer(got[: got.rindex(b"HTTP/1.1 200 OK")])
    assert first.parts() == expected.parts()
    assert client.conn.state == IDLE


@pytest.mark.parametrize("path", [b"/medium", b"/large"])
@pytest.mark.parametrize("asked", [b"bytes=1-", b"bytes=0-9,11-299990"])
def test_who_leaves_in_the_middle_of_a_part_is_counted_once_with_what_he_took(
    held: Workbench, path: bytes, asked: bytes
) -> None:
    client = stalled(held, get(path, b"Range: " + asked))
    got = len(client.received())
    client.close()
    held.hear_all()
    assert client.conn.state == CLOSED
    assert held.responses() == {206: 1}
    assert held.count(BYTES_SENT) == got
    assert len(held.log()) == 1


@pytest.mark.parametrize("path", [b"/small", b"/medium", b"/large"])
@pytest.mark.parametrize("fields", [(), (b"Range: bytes=0-9,20-",)])
def test_who_sends_no_more_after_his_request_gets_the_whole_answer(
    held: Workbench, path: bytes, fields: tuple[bytes, ...]
) -> None:
    for client in (held.tcp_client(), held.client()):
        client.send(get(path, *fields))
        client.socket.shutdown(socket.SHUT_WR)
        held.arrive(client)
        got = client.received()
        while client.conn.state != CLOSED:
            assert held.hear(BOUND_SECONDS)
            got += client.received()
        got += client.received()
        assert client.is_over()
        answer = Answer(got)
        assert len(answer.body) == int(answer.fields[b"content-length"])
        assert answer.body == FILES[path] if not fields else len(answer.parts()) == 2


@pytest.mark.parametrize("over_tcp", [False, True])
@pytest.mark.parametrize("path", FILES)
def test_who_sends_no_more_while_the_pool_works_for_him_gets_the_whole_answer(
    held: Workbench, path: bytes, over_tcp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = held.site.find

    def cold(path: bytes, raw_path: bytes, *, nowait: bool, **options: Any) -> Entity:
        if nowait:
            raise BlockingIOError
        return find(path, raw_path, nowait=False, **options)

    monkeypatch.setattr(held.site, "find", cold)
    client = held.tcp_client() if over_tcp else held.client()
    client.send(get(path))
    held.arrive(client)
    assert client.conn.state == WAIT
    client.socket.shutdown(socket.SHUT_WR)
    got = b""
    while client.conn.state != CLOSED:
        assert held.hear(BOUND_SECONDS)
        got += client.received()
    assert Answer(got + client.received()).body == FILES[path]


def test_a_part_of_what_is_held_is_not_copied(held: Workbench) -> None:
    client = stalled(held, get(b"/medium", b"Range: bytes=0-99,1000-"))
    cached = held.shelf.store.get(b"medium")
    assert cached is not None
    left = client.conn.dialogue().out
    spans = [part for part in left if isinstance(part, memoryview) and part.obj is cached.entity.body]
    assert sum(map(len, spans)) > 50_000
    held.hear_all(client)
