# Long files that are asked for again: with no look, no open, and never with other bytes than their tag says.
"""Files that were sent a moment ago stay open."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.static.conftest import no_descriptor_to_be_had, open_descriptors
from tests.worker.parts import FILES, Answer, ask, get
from tests.worker.workbench import Workbench, statuses
from wsrv.engine.shm.row import HITS, MISSES
from wsrv.engine.worker import repeats
from wsrv.engine.worker.openfiles import KEPT_NS, MOST

LARGE = get(b"/large")
CONTENT = FILES[b"/large"]


class Opened:
    """The paths that a workbench's site is asked to find, or to open."""

    def __init__(self, bench: Workbench, patch: pytest.MonkeyPatch) -> None:
        self.paths: list[bytes] = []
        for name in ("find", "open_for_sending"):
            patch.setattr(bench.site, name, self._noting(getattr(bench.site, name)))

    def _noting(self, call: Callable[..., object]) -> Callable[..., object]:
        def noted(path: bytes, *arguments: object, **how: object) -> object:
            self.paths.append(path)
            return call(path, *arguments, **how)

        return noted


@pytest.fixture
def opened(held: Workbench, files: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    return Opened(held, monkeypatch)


def rewrite(path: Path, content: bytes) -> None:
    """Other bytes in the same file."""
    with path.open("r+b") as file:
        file.write(content)


def test_who_asks_again_is_answered_without_a_look_or_an_open(held: Workbench, opened: Opened) -> None:
    first = ask(held, LARGE)
    assert opened.paths == [b"large"] * 2
    again = ask(held, LARGE)
    assert opened.paths == [b"large"] * 2
    assert (again.status, again.fields, again.body) == (200, first.fields, CONTENT)
    assert (held.count(HITS), held.count(MISSES)) == (0, 2)
    assert len(held.log()) == 2


@pytest.mark.parametrize(
    ("request_bytes", "status", "sent"),
    [
        (get(b"/large", b"Range: bytes=5-9"), 206, slice(5, 10)),
        (get(b"/large", method=b"HEAD"), 200, slice(0)),
        (get(b"/large", b"If-None-Match: *"), 304, slice(0)),
        (get(b"/large", b'If-Match: "other"'), 412, None),
        (get(b"/large", b"Range: bytes=9999999-"), 416, None),
        (get(b"/large?query"), 200, slice(None)),
        (get(b"/large", b"Accept-Encoding: gzip"), 200, slice(None)),
        (get(b"/large", b"Accept-Encoding: identity;q=0"), 406, None),
        (get(b"/lar%67e"), 200, slice(None)),
    ],
)
def test_whoever_asks_otherwise_is_answered_as_ever(
    held: Workbench, opened: Opened, request_bytes: bytes, status: int, sent: slice | None
) -> None:
    for _ in range(2):
        ask(held, LARGE)
        client = held.client()
        answer = Answer(held.answers(client, request_bytes))
        assert answer.status == status
        assert sent is None or answer.body == CONTENT[sent]


def test_each_client_has_its_own_line_in_the_log(held: Workbench, opened: Opened) -> None:
    agents = ["one", "two", "one", "two"]
    for agent in agents:
        assert ask(held, get(b"/large", b"User-Agent: " + agent.encode())).body == CONTENT
    assert [line.split('"')[-2] for line in held.log()] == agents
    assert held.responses() == {200: 4}


def test_many_requests_in_a_row_are_answered_in_order(held: Workbench, opened: Opened) -> None:
    client = held.client()
    got = held.answers(client, LARGE * 3 + get(b"/small") + LARGE)
    assert statuses(got.replace(CONTENT, b"").replace(FILES[b"/small"], b"")) == [200] * 5
    assert got.count(CONTENT) == 4


def test_a_file_that_was_written_to_is_another_at_once(held: Workbench, files: Path, opened: Opened) -> None:
    first = ask(held, LARGE)
    new = os.urandom(len(CONTENT))
    rewrite(files / "large", new)
    second = ask(held, LARGE)
    assert second.body == new
    assert second.fields[b"etag"] != first.fields[b"etag"]


def test_a_file_that_was_replaced_is_another_at_once(held: Workbench, files: Path, opened: Opened) -> None:
    first = ask(held, LARGE)
    new = os.urandom(len(CONTENT))
    (files / "new").write_bytes(new)
    (files / "new").rename(files / "large")
    second = ask(held, LARGE)
    assert second.body == new
    assert second.fields[b"etag"] != first.fields[b"etag"]


def test_a_file_whose_folder_was_moved_is_missed_when_a_look_is_due(
    held: Workbench, files: Path, opened: Opened
) -> None:
    (files / "folder").mkdir()
    (files / "large").rename(files / "folder" / "large")
    request = get(b"/folder/large")
    assert ask(held, request).body == CONTENT
    (files / "folder").rename(files / "elsewhere")
    assert ask(held, request).body == CONTENT
    held.advance(1)
    assert ask(held, request).status == 404


def test_the_space_of_a_deleted_file_is_soon_free(held: Workbench, files: Path, opened: Opened) -> None:
    def is_open() -> bool:
        return any(target == f"{files / 'large'} (deleted)" for _, target in open_descriptors())

    ask(held, LARGE)
    (files / "large").unlink()
    assert is_open()
    assert ask(held, LARGE).status == 404
    assert not is_open()
    (files / "large").write_bytes(CONTENT)
    held.advance(1)
    ask(held, LARGE)
    (files / "large").unlink()
    held.advance(KEPT_NS / 1e9)
    assert is_open()
    held.intake.tick(held.now_ns)
    assert not is_open()


def test_who_asks_now_and_then_keeps_it_open(held: Workbench, opened: Opened) -> None:
    for _ in range(4):
        ask(held, LARGE)
        held.advance(0.75 * KEPT_NS / 1e9)
        held.intake.tick(held.now_ns)
    assert opened.paths == [b"large"] * 2


def test_there_are_so_many_and_the_one_that_was_not_asked_for_longest_is_closed(
    held: Workbench, files: Path, opened: Opened
) -> None:
    names = [b"%d" % number for number in range(MOST + 3)]
    for name in names:
        (files / os.fsdecode(name)).write_bytes(CONTENT)
        ask(held, get(b"/" + name))
    assert len(held.open_files) == MOST
    opened.paths.clear()
    for name in reversed(names):
        ask(held, get(b"/" + name))
    assert opened.paths == [name for name in reversed(names[:3]) for _ in range(2)]


def test_a_file_that_changes_at_the_moment_is_not_kept_open(
    held: Workbench, files: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held.site, "_clock", lambda: os.stat(files / "large").st_ctime_ns)
    for _ in range(3):
        assert ask(held, LARGE).body == CONTENT
    assert len(held.open_files) == 0


def test_without_a_descriptor_it_is_refused_and_the_next_one_served(held: Workbench, opened: Opened) -> None:
    client = held.client()
    client.send(LARGE)
    with no_descriptor_to_be_had():
        held.arrive(client)
    assert statuses(held.hear_all(client)) == [503]
    assert ask(held, LARGE).body == CONTENT


def test_who_asks_again_needs_no_descriptor(held: Workbench, opened: Opened) -> None:
    ask(held, LARGE)
    clients = [held.client() for _ in range(3)]
    with no_descriptor_to_be_had():
        for client in clients:
            client.send(LARGE)
            held.arrive(client)
        held.open_files.close()
        for client in clients:
            assert Answer(held.hear_all(client)).body == CONTENT


def test_in_another_root_it_is_another_file(held: Workbench, files: Path, opened: Opened) -> None:
    ask(held, LARGE)
    files.rename(files.with_name("old"))
    files.mkdir()
    (files / "large").write_bytes(CONTENT[::-1])
    assert held.hosts.check_roots(held.now_ns + 2_000_000_000, nowait=False)
    assert ask(held, LARGE).body == CONTENT[::-1]


def test_in_a_drain_the_connection_is_closed_behind_it(held: Workbench, opened: Opened) -> None:
    client = held.client()
    assert Answer(held.answers(client, LARGE)).body == CONTENT
    held.shelf.forget()
    held.intake.drain()
    answer = Answer(held.answers(client, LARGE))
    assert (answer.body, answer.fields[b"connection"]) == (CONTENT, b"close")
    assert client.is_over()


def test_what_is_remembered_of_requests_is_bounded(held: Workbench, opened: Opened) -> None:
    for number in range(300):
        assert ask(held, get(b"/large", b"X: %d" % number)).body == CONTENT
    remembered = [known for known in held.shelf.remembered.values() if known.sent]
    assert 0 < len(remembered) <= repeats.MOST
