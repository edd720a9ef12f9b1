# Two workers taken apart over one arena: what one has stored the other finds, and what one has seen counts for both.
"""The shelf of a worker that shares its cache."""

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import MakeBench
from tests.worker.parts import Answer, ask, get
from tests.worker.workbench import BOUND_SECONDS, Client, Workbench
from wsrv.engine.cache.shared.arena import CLAIMS, FREE_BLOCKS, Arena, tag_of
from wsrv.engine.cache.shared.claims import LONGEST_NS, Claims, release_all
from wsrv.engine.cache.shared.reading import Reader
from wsrv.engine.settings import CacheSettings, HostSettings, SiteSettings
from wsrv.engine.shm.row import HITS, MISSES, SHARED_HITS, TORN, UNSTORED
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.recoding import Bounds, recode
from wsrv.engine.static.site import Site
from wsrv.engine.sync.primitive import CELL_BYTES
from wsrv.engine.worker.clock import SECOND_NS
from wsrv.engine.worker.connection import WAIT
from wsrv.engine.worker.sharedshelf import SharedMemory, key_of_shared
from wsrv.plugins.primitives.robust import RobustLock

CODED = b"Accept-Encoding: br, gzip"
TEXT = b"some text that shrinks\n" * 500


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    lock = RobustLock("cache_writer", memoryview(mmap.mmap(-1, CELL_BYTES)))
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    yield SharedMemory(Arena(1024 * 1024, rows=2), lock, bell, 0)
    os.close(bell)
    lock.close()


@pytest.fixture
def two(memory: SharedMemory, make_bench: MakeBench) -> tuple[Workbench, Workbench]:
    first, second = (make_bench(shared=memory, number=number) for number in range(2))
    # Time passes here by leaps, and has to stay behind the clock by which answers are timed.
    first.now_ns = second.now_ns = first.now_ns - 60 * SECOND_NS
    return first, second


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths of which a worker has asked the file system whether they are as they were."""
    seen: list[bytes] = []
    unchanged: Callable[..., bool] = Site.unchanged

    def noted(self: Site, path: bytes, entity: Entity, **how: Any) -> bool:
        seen.append(path)
        return unchanged(self, path, entity, **how)

    monkeypatch.setattr(Site, "unchanged", noted)
    return seen


def used(bench: Workbench) -> tuple[int, int, int]:
    """Hits, misses, and hits for which shared memory was read."""
    return bench.count(HITS), bench.count(MISSES), bench.count(SHARED_HITS)


def entries(memory: SharedMemory) -> set[bytes]:
    return {key_of_shared(entry.key) for entry in Reader(memory.arena, memory.lock).entries()}


def test_what_one_has_read_the_other_has_from_memory(two: tuple[Workbench, Workbench], memory: SharedMemory) -> None:
    first, second = two
    theirs, ours = ask(first, get(b"/a.txt")), ask(second, get(b"/a.txt"))
    assert (ours.status, ours.body, ours.fields) == (theirs.status, theirs.body, theirs.fields)
    assert (used(first), used(second)) == ((0, 1, 0), (1, 0, 1))
    assert ask(second, get(b"/a.txt")).body == b"alpha"
    assert used(second) == (2, 0, 1), "the second hit is the front's"
    assert entries(memory) == {b"a.txt"}


def test_a_compressed_text_is_made_once_for_all(
    two: tuple[Workbench, Workbench], memory: SharedMemory, root: Path
) -> None:
    (root / "text.txt").write_bytes(TEXT)
    first, second = two
    theirs, ours = ask(first, get(b"/text.txt", CODED)), ask(second, get(b"/text.txt", CODED))
    assert ours.fields[b"content-encoding"] == b"br"
    assert (ours.body, ours.fields) == (theirs.body, theirs.fields)
    assert used(second) == (1, 0, 1)
    assert ask(second, get(b"/text.txt", CODED)).body == theirs.body
    assert used(second) == (2, 0, 1)
    # For another client another one is better, and that is not there yet.
    assert ask(second, get(b"/text.txt", b"Accept-Encoding: gzip")).fields[b"content-encoding"] == b"gzip"
    assert ask(first, get(b"/text.txt", b"Accept-Encoding: gzip")).fields[b"content-encoding"] == b"gzip"
    assert used(first)[2] == 1
    assert ask(first, get(b"/text.txt")).body == TEXT


@pytest.fixture
def compressions(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The codings in which something was made."""
    made: list[bytes] = []

    def noted(entity: Entity, coding: bytes, bounds: Bounds) -> Entity:
        made.append(coding)
        return recode(entity, coding, bounds)

    monkeypatch.setattr("wsrv.engine.worker.answering.recode", noted)
    return made


def wait_in(bench: Workbench, client: Client, request: bytes) -> None:
    """Let `client` ask for what another worker is making, and wait for that."""
    client.send(request)
    bench.arrive(client)
    while not bench.patience:
        assert bench.hear(BOUND_SECONDS), "it does not wait for another worker"
    assert client.conn.state == WAIT
    assert client.received() == b""


def test_what_another_is_compressing_is_waited_for(
    two: tuple[Workbench, Workbench], memory: SharedMemory, root: Path, compressions: list[bytes]
) -> None:
    (root / "text.txt").write_bytes(TEXT)
    first, second = two
    ours, theirs = first.client(), second.client()
    # The first has claimed it, and its pool is at work. The file itself it may have fetched under another claim before.
    ours.send(get(b"/text.txt", CODED))
    first.arrive(ours)
    brotli = tag_of(_key(first, b"br"))
    while not Claims(memory.arena, memory.lock, 1).is_taken(brotli, first.now_ns):
        assert first.hear(BOUND_SECONDS)
    wait_in(second, theirs, get(b"/text.txt", CODED))
    second.intake.look_again(second.now_ns)
    assert theirs.received() == b""
    body = Answer(first.hear_all(ours)).body
    second.intake.look_again(second.now_ns)
    answer = Answer(theirs.received())
    assert (answer.fields[b"content-encoding"], answer.body) == (b"br", body)
    assert compressions == [b"br"]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that the pool was asked for: the kernel has nothing in memory."""
    paths: list[bytes] = []
    find: Callable[..., Entity] = Site.find

    def from_disk(self: Site, path: bytes, raw_path: bytes, *, nowait: bool, **wish: Any) -> Entity:
        if nowait:
            raise BlockingIOError
        paths.append(path)
        return find(self, path, raw_path, nowait=False, **wish)

    monkeypatch.setattr(Site, "find", from_disk)
    return paths


def test_what_another_is_fetching_from_the_disk_is_waited_for(
    two: tuple[Workbench, Workbench], memory: SharedMemory, fetched: list[bytes]
) -> None:
    first, second = two
    ours, theirs = first.client(), second.client()
    ours.send(get(b"/a.txt"))
    first.arrive(ours)
    wait_in(second, theirs, get(b"/a.txt"))
    assert Answer(first.hear_all(ours)).body == b"alpha"
    second.intake.look_again(second.now_ns)
    assert Answer(theirs.received()).body == b"alpha"
    assert fetched == [b"a.txt"]
    assert (used(first), used(second)) == ((0, 1, 0), (0, 1, 1)), "both had to wait, and both are counted once"
    assert not any(memory.arena.claims[1::2]), "nobody is at it any more"


def test_what_is_not_there_is_looked_for_by_each_and_claimed_by_nobody_afterwards(
    two: tuple[Workbench, Workbench], memory: SharedMemory, fetched: list[bytes]
) -> None:
    first, second = two
    ours, theirs = first.client(), second.client()
    ours.send(get(b"/none.txt"))
    first.arrive(ours)
    wait_in(second, theirs, get(b"/none.txt"))
    assert Answer(first.hear_all(ours)).status == 404
    second.intake.look_again(second.now_ns)
    assert Answer(second.hear_all(theirs)).status == 404
    assert fetched == [b"none.txt"] * 2
    assert not any(memory.arena.claims[1::2])


def test_who_waits_makes_it_himself_when_its_maker_is_dead_or_takes_too_long(
    two: tuple[Workbench, Workbench], memory: SharedMemory, root: Path, compressions: list[bytes]
) -> None:
    (root / "text.txt").write_bytes(TEXT)
    _, second = two
    for coding, dies in ((b"br", True), (b"gzip", False)):
        wish = get(b"/text.txt", b"Accept-Encoding: " + coding)
        assert Claims(memory.arena, memory.lock, 0).claim(tag_of(_key(second, coding)), second.now_ns)
        client = second.client()
        wait_in(second, client, wish)
        if dies:
            release_all(memory.arena, 1)
            second.intake.look_again(second.now_ns)
            assert client.received() == b"", "another row's claims are not the dead one's"
            release_all(memory.arena, 0)
        else:
            second.advance(LONGEST_NS / SECOND_NS)
        second.intake.look_again(second.now_ns)
        assert Answer(second.hear_all(client)).fields[b"content-encoding"] == coding
    assert compressions == [b"br", b"gzip"]


def _key(bench: Workbench, coding: bytes) -> bytes:
    """The key by which a coding of /text.txt is shared."""
    return b"text.txt\0%b\0@%b" % (coding, bench.site.root_mark)


def test_a_client_that_leaves_while_it_waits_harms_nobody(
    two: tuple[Workbench, Workbench], memory: SharedMemory, root: Path
) -> None:
    (root / "text.txt").write_bytes(TEXT)
    _, second = two
    assert Claims(memory.arena, memory.lock, 0).claim(tag_of(_key(second, b"br")), second.now_ns)
    client = second.client()
    wait_in(second, client, get(b"/text.txt", CODED))
    client.close()
    second.hear_all()
    release_all(memory.arena, 0)
    second.intake.look_again(second.now_ns)
    assert ask(second, get(b"/text.txt", CODED)).fields[b"content-encoding"] == b"br"


def test_a_claim_is_nobody_elses_and_ends(memory: SharedMemory) -> None:
    first, second = (Claims(memory.arena, memory.lock, row) for row in range(2))
    assert first.claim(7, SECOND_NS)
    assert first.claim(7, SECOND_NS), "one's own is no obstacle"
    assert not second.claim(7, SECOND_NS)
    assert second.claim(7 + CLAIMS, SECOND_NS), "without a place one loads without a claim"
    assert first.is_taken(7, SECOND_NS) is False
    second.release(7)
    assert not second.claim(7, SECOND_NS), "only its owner lets go of it"
    first.release(7)
    assert second.claim(7, SECOND_NS)
    assert not first.claim(7, LONGEST_NS)
    assert first.claim(7, SECOND_NS + LONGEST_NS)


@pytest.mark.parametrize("known_by", ["first", "second"])
def test_a_sibling_outranks_what_was_compressed(two: tuple[Workbench, Workbench], root: Path, known_by: str) -> None:
    (root / "text.txt").write_bytes(TEXT)
    (root / "text.txt.gz").write_bytes(b"not really")
    first, second = two
    wish = get(b"/text.txt", CODED)
    asked, other = (first, second) if known_by == "first" else (second, first)
    for bench in (asked, other):
        answer = ask(bench, wish)
        assert answer.fields[b"content-encoding"] == b"gzip"
        assert answer.body == b"not really"
    # Who takes br alone has it made.
    for bench in (asked, other):
        assert ask(bench, get(b"/text.txt", b"Accept-Encoding: br")).fields[b"content-encoding"] == b"br"
    assert used(other)[2] == 2


@pytest.mark.parametrize(("sibling", "best"), [(True, b"gzip"), (False, b"br")])
def test_what_is_there_for_others_is_not_taken_for_the_best(
    two: tuple[Workbench, Workbench], root: Path, sibling: bool, best: bytes
) -> None:
    (root / "text.txt").write_bytes(TEXT)
    if sibling:
        (root / "text.txt.gz").write_bytes(b"not really")
    first, second = two
    worse = b"br" if sibling else b"gzip"
    only = get(b"/text.txt", b"Accept-Encoding: " + worse)
    assert ask(first, only).fields[b"content-encoding"] == worse
    assert ask(second, get(b"/text.txt", CODED)).fields[b"content-encoding"] == best


def test_one_look_at_a_file_serves_all(two: tuple[Workbench, Workbench], looks: list[bytes]) -> None:
    for bench in two:
        ask(bench, get(b"/a.txt"))
    assert looks == []
    for bench in two:
        bench.advance(1.5)
        assert ask(bench, get(b"/a.txt")).body == b"alpha"
    assert looks == [b"a.txt"]
    for _ in range(2):
        for bench in two:
            bench.advance(0.4)
            ask(bench, get(b"/a.txt"))
    assert looks == [b"a.txt"], "unlooked at for less than a second"
    for bench in reversed(two):
        bench.advance(0.4)
        ask(bench, get(b"/a.txt"))
    assert looks == [b"a.txt"] * 2


def test_a_changed_file_is_answered_anew_by_all_never_new_fields_with_old_bytes(
    two: tuple[Workbench, Workbench], memory: SharedMemory, root: Path
) -> None:
    before = [ask(bench, get(b"/a.txt")) for bench in two]
    (root / "new").write_bytes(b"another alpha")
    (root / "new").rename(root / "a.txt")
    for bench in two:
        bench.advance(1.1)
        after = ask(bench, get(b"/a.txt"))
        assert after.body == b"another alpha"
        assert after.fields[b"content-length"] == b"13"
        assert after.fields[b"etag"] != before[0].fields[b"etag"]
    (root / "a.txt").unlink()
    for bench in two:
        bench.advance(1.1)
        assert ask(bench, get(b"/a.txt")).status == 404
    assert entries(memory) == set()


def test_each_root_has_its_own_entries(
    two: tuple[Workbench, Workbench], memory: SharedMemory, root: Path, tmp_path: Path
) -> None:
    first, second = two
    ask(first, get(b"/a.txt"))
    root.rename(tmp_path / "old")
    root.mkdir()
    (root / "a.txt").write_bytes(b"beta")
    second.hosts.check_roots(second.now_ns + 2_000_000_000, nowait=False)
    assert ask(second, get(b"/a.txt")).body == b"beta"
    # The first has not noticed yet; what it stores and confirms is about the old folder.
    for bench in two:
        bench.advance(1.1)
    assert ask(first, get(b"/a.txt")).body == b"alpha"
    assert ask(second, get(b"/a.txt")).body == b"beta"
    first.hosts.check_roots(first.now_ns + 2_000_000_000, nowait=False)
    first.advance(1.1)
    assert ask(first, get(b"/a.txt")).body == b"beta"
    assert entries(memory) == {b"a.txt"}


def test_another_root_serves_from_the_moment_that_it_is_noticed(
    two: tuple[Workbench, Workbench], make_bench: MakeBench, root: Path, tmp_path: Path
) -> None:
    lazy = make_bench(cache=CacheSettings(revalidate_seconds=3600.0))
    lazy.now_ns -= 60 * SECOND_NS
    benches = (*two, lazy)
    for bench in benches:
        # By the hot path, too: nothing of it is to last.
        assert ask(bench, get(b"/a.txt")).body == ask(bench, get(b"/a.txt")).body == b"alpha"
        assert ask(bench, get(b"/none.txt")).status == 404
    root.rename(tmp_path / "old")
    root.mkdir()
    (root / "a.txt").write_bytes(b"beta")
    (root / "none.txt").write_bytes(b"there")
    for bench in benches:
        assert bench.hosts.check_roots(bench.now_ns + 2 * SECOND_NS, nowait=False)
        bench.shelf.distrust(bench.now_ns)
        assert ask(bench, get(b"/a.txt")).body == b"beta"
        assert ask(bench, get(b"/none.txt")).body == b"there"


def test_hosts_do_not_share_with_each_other(make_bench: MakeBench, memory: SharedMemory, root: Path) -> None:
    other = root.parent / "other"
    other.mkdir()
    (other / "a.txt").write_bytes(b"beta")
    (other / "text.txt").write_bytes(TEXT)
    hosts = (HostSettings(("b",), SiteSettings(root=other, pages=root / "no-pages")),)
    for number in range(2):
        bench = make_bench(shared=memory, number=number, hosts=hosts)
        assert ask(bench, get(b"/a.txt")).body == b"alpha"
        assert Answer(bench.answers(bench.client(), b"GET /a.txt HTTP/1.1\r\nHost: b\r\n\r\n")).body == b"beta"
        coded = bench.answers(bench.client(), b"GET /text.txt HTTP/1.1\r\nHost: b\r\n%b\r\n\r\n" % CODED)
        assert Answer(coded).fields[b"content-encoding"] == b"br"
        assert used(bench) == ((0, 3, 0), (3, 0, 3))[number]


def test_what_finds_no_room_is_answered_counted_and_the_keeper_called(
    make_bench: MakeBench, memory: SharedMemory, root: Path
) -> None:
    bench = make_bench(shared=memory)
    for number in range(4):
        (root / f"{number}.bin").write_bytes(os.urandom(400_000))
    bodies = [(root / f"{number}.bin").read_bytes() for number in range(4)]
    for number in range(4):
        answer = bench.answers(bench.client(), get(b"/%d.bin" % number))
        assert Answer(answer).body == bodies[number]
    assert bench.count(UNSTORED) == 2
    assert os.eventfd_read(memory.bell) >= 2
    assert entries(memory) == {b"0.bin", b"1.bin"}


def test_what_is_torn_is_a_miss_and_counted(two: tuple[Workbench, Workbench], memory: SharedMemory) -> None:
    first, second = two
    ask(first, get(b"/a.txt"))
    (entry,) = Reader(memory.arena, memory.lock).entries()
    memory.arena.content[entry.ticket.number * 2048] ^= 1
    assert ask(second, get(b"/a.txt")).body == b"alpha"
    assert (second.count(TORN), used(second)) == (1, (0, 1, 0))


def test_what_may_not_be_kept_is_not_shared(two: tuple[Workbench, Workbench], memory: SharedMemory, root: Path) -> None:
    (root / "large.bin").write_bytes(bytes(1_200_000))
    first, _ = two
    before = memory.arena.header[FREE_BLOCKS]
    assert ask(first, get(b"/nope")).status == 404
    assert len(first.answers(first.client(), get(b"/large.bin"))) > 1_000_000
    assert memory.arena.header[FREE_BLOCKS] == before
    assert first.count(UNSTORED) == 0


def test_a_front_too_small_for_anything_still_shares(make_bench: MakeBench, memory: SharedMemory) -> None:
    benches = [make_bench(shared=memory, number=n, cache=CacheSettings(capacity_bytes=100)) for n in range(2)]
    for bench in benches * 2:
        assert ask(bench, get(b"/a.txt")).body == b"alpha"
    assert [used(bench) for bench in benches] == [(1, 1, 1), (2, 0, 2)]


def test_the_keeper_hears_of_hits_when_answers_are_renewed(
    two: tuple[Workbench, Workbench], memory: SharedMemory
) -> None:
    first, _ = two
    client = first.client()
    first.ask(client, get(b"/a.txt"))
    first.ask(client, get(b"/a.txt"))
    noted = memory.arena.ring(0)[0]
    for _ in range(10):
        first.ask(client, get(b"/a.txt"))
    assert memory.arena.ring(0)[0] == noted, "hits of the hot path cost nothing"
    first.advance(1.1)
    first.ask(client, get(b"/a.txt"))
    assert memory.arena.ring(0)[0] == noted + 1
