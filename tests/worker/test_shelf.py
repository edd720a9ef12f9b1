"""The Shelf: what it remembers is bounded, goes when its entity goes, and is never served past its time."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.workbench import Workbench
from wsrv.engine.http.dates import http_date
from wsrv.engine.http.grammar import Malformed
from wsrv.engine.settings import CacheSettings
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.prepared import (
    BLOCK_BYTES,
    COPIES,
    COPY_BYTES,
    JOIN_BYTES,
    LINES_PER_ENTITY,
    MEMORY_BYTES,
    OVERHEAD_BYTES,
    Cached,
    Prepared,
)

BLOCK = b"Host: x\r\n\r\n"
LINE = b"GET /a.txt HTTP/1.1"


def keep(bench: Workbench, name: bytes = b"a.txt") -> Cached:
    """The entity of a file of the site, held."""
    entity = bench.site.find(name, b"/" + name, nowait=False)
    return bench.shelf.keep(name, bench.site, name, entity, bench.now_ns)


def shelve(bench: Workbench, cached: Cached, line: bytes = LINE, block: bytes = BLOCK) -> Prepared:
    """The answer to `line` and `block`, to be found by them."""
    prepared = bench.shelf.prepare(cached, False, b"", bench.now_ns)
    bench.shelf.shelve(prepared, bench.shelf.remember(block).front, line)
    return prepared


def wire(prepared: Prepared) -> bytes:
    return b"".join(prepared.copied())


# Field blocks.


def test_a_block_is_parsed_once(bench: Workbench) -> None:
    known = bench.shelf.remember(BLOCK)
    assert bench.shelf.remember(bytes(bytearray(BLOCK))) is known
    assert known.fields.host == b"x"


def test_a_malformed_block_is_not_remembered(bench: Workbench) -> None:
    for _ in range(2):
        with pytest.raises(Malformed):
            bench.shelf.remember(b"Host: a b\r\n\r\n")
    assert not bench.shelf.remembered


def test_a_long_block_is_parsed_each_time(bench: Workbench) -> None:
    block = b"Host: x\r\nCookie: %b\r\n\r\n" % (b"c" * BLOCK_BYTES)
    assert bench.shelf.remember(block).fields.host == b"x"
    assert not bench.shelf.remembered


def test_the_blocks_remembered_are_bounded_by_their_bytes(bench: Workbench) -> None:
    for number in range(2 * MEMORY_BYTES // 1500):
        bench.shelf.remember(b"Host: x\r\nCookie: %d%b\r\n\r\n" % (number, b"c" * 1500))
        # Of the last one there is always a memory: a browser that comes again is fast again.
        assert bench.shelf.remembered
    assert sum(map(len, bench.shelf.remembered)) <= MEMORY_BYTES


def test_once_forgetful_nothing_is_remembered(bench: Workbench) -> None:
    shelve(bench, keep(bench))
    bench.shelf.forget()
    bench.shelf.remember(BLOCK)
    assert not bench.shelf.remembered


@pytest.mark.parametrize(
    "field",
    [
        b"If-None-Match: *",
        b"If-Modified-Since: x",
        b"If-Match: *",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Expect: more",
    ],
)
def test_a_block_that_needs_more_than_a_look_up_finds_nothing_for_good(bench: Workbench, field: bytes) -> None:
    shelve(bench, keep(bench))
    known = bench.shelf.remember(b"Host: x\r\n%b\r\n\r\n" % field)
    assert not known.plain
    assert not known.front


def test_blocks_that_are_read_alike_find_the_same_answers(bench: Workbench) -> None:
    prepared = shelve(bench, keep(bench))
    other = bench.shelf.remember(b"User-Agent: one\r\nHost: another\r\n\r\n")
    assert other.front[LINE] is prepared


@pytest.mark.parametrize(
    "block", [b"\r\n", b"Host: x\r\nConnection: close\r\n\r\n", b"Host: x\r\nConnection: keep-alive\r\n\r\n"]
)
def test_a_block_that_is_read_otherwise_does_not(bench: Workbench, block: bytes) -> None:
    shelve(bench, keep(bench))
    assert LINE not in bench.shelf.remember(block).front


def test_without_host_a_known_line_is_refused_all_the_same(bench: Workbench) -> None:
    bench.warm(LINE + b"\r\n" + BLOCK)
    bench.warm(b"GET /a.txt HTTP/1.0\r\n\r\n")
    assert bench.ask(bench.client(), LINE + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_the_client_of_a_block_is_escaped_once_for_all_its_lines(bench: Workbench) -> None:
    known = bench.shelf.remember(b'Host: x\r\nUser-Agent: a"b\r\n\r\n')
    assert known.client == b'"-" "a\\x22b"\n'


# Lines.


def test_the_lines_of_an_entity_are_bounded_and_the_oldest_goes(bench: Workbench) -> None:
    cached = keep(bench)
    front = bench.shelf.remember(BLOCK).front
    for _ in range(2 * LINES_PER_ENTITY):
        shelve(bench, cached)
    assert list(front) == [LINE], "one line, shelved once"
    lines = [b"GET /a.txt?%d HTTP/1.1" % number for number in range(3 * LINES_PER_ENTITY)]
    for line in lines:
        shelve(bench, cached, line)
    assert list(front) == lines[-LINES_PER_ENTITY:]


def test_what_is_not_held_is_not_shelved(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(cache=CacheSettings(capacity_bytes=OVERHEAD_BYTES))
    prepared = shelve(bench, keep(bench))
    assert wire(prepared).endswith(b"alpha")
    assert not bench.shelf.remember(BLOCK).front


# Eviction.


def test_what_is_evicted_is_found_by_no_line_any_more(make_bench: MakeBench, root: Path) -> None:
    names = [b"%d.txt" % number for number in range(20)]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    bench = make_bench(cache=CacheSettings(capacity_bytes=5 * (OVERHEAD_BYTES + 6 * COPIES)))
    fronts = [bench.shelf.remember(block).front for block in (BLOCK, b"\r\n")]
    for name in names:
        cached = keep(bench, name)
        for front in fronts:
            bench.shelf.shelve(bench.shelf.prepare(cached, False, b"", bench.now_ns), front, b"GET /%b" % name)
        for front in fronts:
            held = {line for line, prepared in front.items() if bench.shelf.store.get(prepared.key) is prepared.cached}
            assert held == set(front)
    assert len(bench.shelf.store) == 5
    assert [sorted(front) for front in fronts] == [sorted(b"GET /%b" % name for name in names[-5:])] * 2


def test_what_was_read_anew_takes_the_place_of_the_old_in_every_front(bench: Workbench, root: Path) -> None:
    old = shelve(bench, keep(bench))
    (root / "a.txt").write_bytes(b"beta")
    new = shelve(bench, keep(bench))
    found = bench.shelf.remember(BLOCK).front[LINE]
    assert found is new
    assert found is not old
    assert wire(found).endswith(b"beta")


def test_what_was_dropped_while_it_was_being_answered_is_not_shelved(bench: Workbench) -> None:
    cached = keep(bench)
    prepared = bench.shelf.prepare(cached, False, b"", bench.now_ns)
    bench.shelf.store.drop(b"a.txt")
    bench.shelf.shelve(prepared, bench.shelf.remember(BLOCK).front, LINE)
    assert not bench.shelf.remember(BLOCK).front


# Freshness.


def test_within_its_time_an_entity_is_not_looked_at(bench: Workbench, root: Path) -> None:
    cached = keep(bench)
    (root / "a.txt").unlink()
    bench.advance(0.999)
    assert bench.shelf.find(b"a.txt", bench.now_ns) is cached


@pytest.mark.parametrize("change", ["rewritten", "replaced", "deleted"])
def test_a_changed_file_is_not_served_after_its_time(bench: Workbench, root: Path, change: str) -> None:
    prepared = shelve(bench, keep(bench))
    file = root / "a.txt"
    if change == "rewritten":
        file.write_bytes(b"omega")
    elif change == "replaced":
        (root / "b.txt").write_bytes(b"alpha")
        (root / "b.txt").rename(file)
    else:
        file.unlink()
    bench.advance(1)
    assert not bench.shelf.renew(prepared, bench.now_ns)
    assert bench.shelf.find(b"a.txt", bench.now_ns) is None
    assert not bench.shelf.remember(BLOCK).front
    assert len(bench.shelf.store) == 0


def test_an_unchanged_file_is_looked_at_once_and_is_good_again(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = shelve(bench, keep(bench))
    looks = []
    unchanged = bench.site.unchanged

    def counted(path: bytes, entity: object, *, nowait: bool) -> bool:
        looks.append(path)
        return unchanged(path, prepared.cached.entity, nowait=nowait)

    monkeypatch.setattr(bench.site, "unchanged", counted)
    bench.advance(1)
    assert bench.shelf.renew(prepared, bench.now_ns)
    assert bench.shelf.renew(prepared, bench.now_ns)
    assert bench.shelf.find(b"a.txt", bench.now_ns) is prepared.cached
    assert looks == [b"a.txt"]


def test_when_only_the_disk_can_tell_the_answer_is_not_renewed(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cold(path: bytes, entity: object, *, nowait: bool) -> bool:
        raise BlockingIOError

    prepared = shelve(bench, keep(bench))
    monkeypatch.setattr(bench.site, "unchanged", cold)
    bench.advance(1)
    assert not bench.shelf.renew(prepared, bench.now_ns)
    assert bench.shelf.find(b"a.txt", bench.now_ns) is None


def test_an_answer_is_good_until_the_look_at_its_file_is_due_or_the_second_ends(bench: Workbench) -> None:
    prepared = bench.shelf.prepare(keep(bench), False, b"", bench.now_ns)
    assert prepared.until_ns == min(bench.now_ns + SECOND_NS, bench.clock.second_ends_ns)


@pytest.fixture
def halfway(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Half of a second is gone; a tenth of the next will be, once it is advanced by 0.6 s."""
    walls_ns = [784111777_500_000_000, 784111778_100_000_000]
    monkeypatch.setattr("wsrv.engine.worker.clock.time", SimpleNamespace(time_ns=lambda: walls_ns.pop(0)))
    return make_bench()


def test_the_first_request_of_a_second_renews_all_for_the_rest_of_it(halfway: Workbench) -> None:
    prepared = shelve(halfway, keep(halfway))
    assert prepared.until_ns == halfway.clock.second_ends_ns
    halfway.advance(0.6)
    assert halfway.shelf.renew(prepared, halfway.now_ns)
    assert prepared.cached.checked_ns == halfway.now_ns
    assert prepared.until_ns == halfway.clock.second_ends_ns == halfway.now_ns + 9 * SECOND_NS // 10


def test_a_change_is_seen_with_the_turn_of_the_second(halfway: Workbench, root: Path) -> None:
    prepared = shelve(halfway, keep(halfway))
    (root / "a.txt").write_bytes(b"omega")
    halfway.advance(0.6)
    assert not halfway.shelf.renew(prepared, halfway.now_ns)
    assert len(halfway.shelf.store) == 0


def test_a_look_that_is_not_due_yet_may_fail(halfway: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def cold(path: bytes, entity: object, *, nowait: bool) -> bool:
        raise BlockingIOError

    prepared = shelve(halfway, keep(halfway))
    monkeypatch.setattr(halfway.site, "unchanged", cold)
    halfway.advance(0.6)
    assert halfway.shelf.renew(prepared, halfway.now_ns)
    assert prepared.until_ns == prepared.cached.checked_ns + SECOND_NS
    halfway.advance(0.4)
    assert not halfway.shelf.renew(prepared, halfway.now_ns)


def test_a_file_that_was_read_long_ago_gives_an_answer_that_has_expired(bench: Workbench) -> None:
    # As when the pool took its time: the answer is given, and the next one looks again.
    entity = bench.site.find(b"a.txt", b"/a.txt", nowait=False)
    cached = bench.shelf.keep(b"a.txt", bench.site, b"a.txt", entity, bench.now_ns - 2 * SECOND_NS)
    assert bench.shelf.prepare(cached, False, b"", bench.now_ns).until_ns <= bench.now_ns


def test_answers_carry_the_date_of_their_second(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    wall_ns = 784111777 * SECOND_NS
    monkeypatch.setattr("wsrv.engine.worker.clock.time", SimpleNamespace(time_ns=lambda: wall_ns))
    bench = make_bench()
    prepared = shelve(bench, keep(bench))
    for _ in range(3):
        assert b"\r\nDate: %b\r\n" % http_date(wall_ns // SECOND_NS) in wire(prepared)
        wall_ns += SECOND_NS
        bench.advance(1)
        assert prepared.until_ns <= bench.now_ns
        assert bench.shelf.renew(prepared, bench.now_ns)


@pytest.mark.parametrize("size", [5, JOIN_BYTES * 100])
def test_what_a_slow_client_has_not_taken_yet_keeps_its_date(
    make_bench: MakeBench, root: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    wall_ns = 784111777 * SECOND_NS
    monkeypatch.setattr("wsrv.engine.worker.clock.time", SimpleNamespace(time_ns=lambda: wall_ns))
    bench = make_bench()
    (root / "big").write_bytes(b"b" * size)
    prepared = shelve(bench, keep(bench, b"big"))
    before = wire(prepared)[:]
    client = bench.client()
    bench.delivery.stall(client.conn, prepared, 10, bench.now_ns)
    wall_ns += SECOND_NS
    bench.advance(1)
    assert bench.shelf.renew(prepared, bench.now_ns)
    assert wire(prepared) != before
    assert b"".join(client.conn.dialogue().out) == before[10:]


def test_an_error_page_is_looked_up_as_often_as_a_file(bench: Workbench, root: Path) -> None:
    built_in = bench.shelf.error(404, bench.now_ns)
    (root / "404.html").write_bytes(b"our own")
    bench.advance(0.5)
    assert bench.shelf.error(404, bench.now_ns) is built_in
    bench.advance(0.5)
    assert bench.shelf.error(404, bench.now_ns).body == b"our own"


# Shapes.


@pytest.mark.parametrize("size", [0, 1, JOIN_BYTES - 4096, JOIN_BYTES, JOIN_BYTES * 4])
def test_joined_or_in_two_parts_an_answer_is_whole(bench: Workbench, root: Path, size: int) -> None:
    (root / "big").write_bytes(b"b" * size)
    prepared = bench.shelf.prepare(keep(bench, b"big"), False, b"close", bench.now_ns)
    assert (prepared.wire is None) == (size >= JOIN_BYTES)
    assert len(wire(prepared)) == prepared.length
    head, _, body = wire(prepared).partition(b"\r\n\r\n")
    assert body == b"b" * size
    assert b"Content-Length: %d\r\n" % size in head
    assert head.endswith(b"Connection: close")


def test_a_longer_body_is_joined_to_the_first_of_its_answers_only(bench: Workbench, root: Path) -> None:
    for size, expected in ((COPY_BYTES, [True, True]), (COPY_BYTES + 1, [True, False])):
        (root / "file").write_bytes(b"b" * size)
        cached = keep(bench, b"file")
        found = [bench.shelf.prepare(cached, False, connection, bench.now_ns) for connection in (b"", b"close")]
        assert [each.wire is not None for each in found] == expected
        assert all(wire(each).endswith(b"\r\n\r\n" + b"b" * size) for each in found)


def test_the_answer_to_head_is_the_head_of_the_answer_to_get(bench: Workbench) -> None:
    cached = keep(bench)
    get, head = (bench.shelf.prepare(cached, head_only, b"", bench.now_ns) for head_only in (False, True))
    assert wire(head) + b"alpha" == wire(get)
