# Whole requests that name codings: compressed once for all, held, looked after; and what happens when that fails.
"""Content codings in a worker."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.static.coders import DECODE, ENCODE
from tests.worker.conftest import MakeBench
from tests.worker.guards import BOUND_SECONDS
from tests.worker.parts import Answer, get
from tests.worker.workbench import Client, Workbench
from wsrv.engine.http.negotiation import CODINGS, acceptable
from wsrv.engine.settings import CacheSettings
from wsrv.engine.shm.row import HITS, MISSES
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.recoding import Bounds, recode
from wsrv.engine.worker.connection import IDLE, WAIT
from wsrv.engine.worker.errands import Lane
from wsrv.engine.worker.prepared import OVERHEAD_BYTES

TEXT = b"".join(b"line %d of a text that repeats itself\n" % n for n in range(500))
NOISE = os.urandom(1000)
BROWSER = b"gzip, deflate, br, zstd"

codings = pytest.mark.parametrize("coding", CODINGS)
Patch = pytest.MonkeyPatch


def request(accepts: bytes | None, path: bytes = b"/page.html", *fields: bytes, method: bytes = b"GET") -> bytes:
    named = () if accepts is None else (b"Accept-Encoding: " + accepts,)
    return get(path, *named, *fields, method=method)


def ask(bench: Workbench, accepts: bytes | None, path: bytes = b"/page.html", *fields: bytes) -> Answer:
    return Answer(bench.answers(bench.client(), request(accepts, path, *fields)))


def coding_of(answer: Answer) -> bytes:
    return answer.fields.get(b"content-encoding", b"")


def put(path: Path, content: bytes) -> None:
    """A file modified long ago: a bench's Date stands still, and no file may be younger."""
    path.write_bytes(content)
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture
def page(root: Path) -> Path:
    path = root / "page.html"
    put(path, TEXT)
    return path


class Mill:
    """Counts what is compressed; while `closed`, each job waits for a `go_on`."""

    def __init__(self, patch: Patch, *, closed: bool = False) -> None:
        self.done: list[tuple[bytes, bytes]] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.at_once = self.most_at_once = 0
        self._closed = closed
        patch.setattr("wsrv.engine.worker.answering.recode", self)

    def __call__(self, entity: Entity, coding: bytes, bounds: Bounds) -> Entity:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.done.append((entity.path, coding))
        self.begun.release()
        if self._closed:
            assert self.go_on.acquire(timeout=BOUND_SECONDS)
        try:
            return recode(entity, coding, bounds)
        finally:
            self.at_once -= 1


@pytest.fixture
def mill(monkeypatch: Patch) -> Mill:
    return Mill(monkeypatch)


# Once for all.


@codings
def test_a_page_is_compressed_once_and_is_a_hit_from_then_on(
    bench: Workbench, page: Path, mill: Mill, coding: bytes
) -> None:
    answers = [ask(bench, coding) for _ in range(4)]
    for answer in answers:
        assert coding_of(answer) == coding
        assert DECODE[coding](answer.body) == TEXT
        assert answer.fields[b"vary"] == b"Accept-Encoding"
        assert answer.fields[b"content-type"] == b"text/html; charset=utf-8"
    assert mill.done == [(b"page.html", coding)]
    assert (bench.count(HITS), bench.count(MISSES)) == (3, 1)
    assert bench.responses() == {200: 4}
    assert [int(line.split('"')[2].split()[1]) for line in bench.log()] == [len(answers[0].body)] * 4


def test_readings_that_mean_the_same_share_an_answer(bench: Workbench, page: Path, mill: Mill) -> None:
    for accepts in (BROWSER, b"br", b"br, gzip", b"br;q=1, *;q=0.5", b"BR"):
        assert coding_of(ask(bench, accepts)) == b"br"
    assert mill.done == [(b"page.html", b"br")]


def test_who_waits_for_the_same_coding_waits_for_one_job(bench: Workbench, page: Path, monkeypatch: Patch) -> None:
    mill = Mill(monkeypatch, closed=True)
    clients = [bench.client().send(request(BROWSER)) for _ in range(5)]
    bench.arrive(*clients)
    while not mill.begun.acquire(blocking=False):
        bench.hear(0.1)
    assert {client.conn.state for client in clients} == {WAIT}
    assert bench.responses() == {}
    mill.go_on.release(5)
    got = bench.hear_all(*clients)
    assert got.count(b"Content-Encoding: br") == 5
    assert mill.done == [(b"page.html", b"br")]


def test_every_coding_of_a_page_is_held_beside_the_others(bench: Workbench, page: Path, mill: Mill) -> None:
    for _ in range(3):
        for accepts, coding in ((None, b""), (b"br", b"br"), (b"zstd", b"zstd"), (b"gzip", b"gzip")):
            answer = ask(bench, accepts)
            assert coding_of(answer) == coding
            assert DECODE[coding](answer.body) == TEXT
    assert len(mill.done) == 3
    assert len(bench.shelf.store) == 4
    assert bench.count(MISSES) == 4


def test_the_weights_of_codings_are_those_of_their_bytes(bench: Workbench, page: Path) -> None:
    sizes = [len(ask(bench, coding).body) for coding in CODINGS]
    assert bench.shelf.store.size_bytes == sum(OVERHEAD_BYTES + 4 * size for size in sizes)


# What is not worth it.


def test_what_does_not_shrink_is_tried_once_and_sent_as_it_is(bench: Workbench, root: Path, mill: Mill) -> None:
    noise = os.urandom(3000)
    put(root / "noise.wasm", noise)
    for _ in range(4):
        answer = ask(bench, BROWSER, b"/noise.wasm")
        assert (coding_of(answer), answer.body) == (b"", noise)
        assert answer.fields[b"vary"] == b"Accept-Encoding"
    assert mill.done == [(b"noise.wasm", b"br")]
    assert (bench.count(HITS), bench.count(MISSES)) == (3, 1)
    assert coding_of(ask(bench, None, b"/noise.wasm")) == b""
    assert len(bench.shelf.store) == 1, "held once for both"
    put(root / "noise.wasm", TEXT)
    bench.advance(1)
    assert coding_of(ask(bench, BROWSER, b"/noise.wasm")) == b"br"


def test_bytes_that_answer_both_kinds_of_client_are_held_once_and_looked_after_for_both(
    quick: Workbench, root: Path
) -> None:
    put(root / "data.bin", NOISE)
    assert ask(quick, None, b"/data.bin").body == NOISE
    held = quick.shelf.store.get(b"data.bin")
    assert ask(quick, BROWSER, b"/data.bin").body == NOISE
    assert quick.shelf.store.get(b"data.bin") is held
    lay(root / "data.bin", b"gzip", NOISE)
    quick.advance(TURN_SECONDS)
    assert coding_of(ask(quick, BROWSER, b"/data.bin")) == b"gzip"
    assert ask(quick, None, b"/data.bin").body == NOISE


def test_images_and_small_files_are_not_compressed(bench: Workbench, root: Path, mill: Mill) -> None:
    put(root / "a.png", TEXT)
    put(root / "small.txt", TEXT[:200])
    for path, varies in ((b"/a.png", False), (b"/small.txt", True)):
        answer = ask(bench, BROWSER, path)
        assert coding_of(answer) == b""
        assert (b"vary" in answer.fields) is varies
    assert mill.done == []


def test_what_cannot_be_held_is_not_compressed_for_each_client_anew(
    make_bench: MakeBench, page: Path, mill: Mill
) -> None:
    bench = make_bench(cache=CacheSettings(capacity_bytes=len(TEXT) - 1))
    for _ in range(2):
        assert ask(bench, BROWSER).body == TEXT
    assert mill.done == []


# 406.


@pytest.mark.parametrize("accepts", [b"identity;q=0", b"*;q=0", b"deflate, identity;q=0"])
def test_who_takes_nothing_that_can_be_had_gets_406(bench: Workbench, page: Path, accepts: bytes) -> None:
    for _ in range(2):
        answer = ask(bench, accepts)
        assert answer.status == 406
        assert b"406 Not Acceptable" in answer.body
        assert answer.fields[b"vary"] == b"Accept-Encoding"
    none = ask(bench, accepts, b"/none")
    assert (none.status, none.fields.get(b"vary")) == (404, None)


def test_who_refuses_the_bytes_as_they_are_gets_a_coding_or_406(bench: Workbench, root: Path, page: Path) -> None:
    put(root / "noise.wasm", os.urandom(3000))
    put(root / "a.png", TEXT)
    for _ in range(2):
        assert coding_of(ask(bench, b"gzip, identity;q=0")) == b"gzip"
        assert ask(bench, b"gzip, identity;q=0", b"/noise.wasm").status == 406
        assert ask(bench, b"gzip, identity;q=0", b"/a.png").status == 406
        assert ask(bench, b"gzip", b"/noise.wasm").status == 200


# The pool.


def test_when_the_pool_is_full_the_page_is_sent_as_it_is_and_coded_the_next_time(
    make_bench: MakeBench, page: Path, mill: Mill, monkeypatch: Patch
) -> None:
    bench = make_bench()
    ask(bench, BROWSER, b"/none")
    with monkeypatch.context() as patch:
        patch.setattr(bench.pool, "submit", lambda *job: False)
        # The folder has not been looked at yet, and that alone takes a thread where names are missing.
        bench.site.find(b"page.html", b"/page.html", accepted=acceptable(BROWSER), nowait=False)
        for _ in range(2):
            answer = ask(bench, BROWSER)
            assert (coding_of(answer), answer.body) == (b"", TEXT)
            assert answer.fields[b"vary"] == b"Accept-Encoding"
        assert ask(bench, b"br, identity;q=0").status == 503
    assert mill.done == []
    assert coding_of(ask(bench, BROWSER)) == b"br"


def test_one_computation_at_a_time_and_everybody_is_answered(
    make_bench: MakeBench, root: Path, monkeypatch: Patch
) -> None:
    mill = Mill(monkeypatch, closed=True)
    bench = make_bench(threads=4, places=8)
    number = 20
    for n in range(number):
        put(root / f"{n}.html", b"%d" % n + TEXT)
        bench.site.find(b"%d.html" % n, b"", accepted=acceptable(BROWSER), nowait=False)
    clients = [bench.client().send(request(BROWSER, b"/%d.html" % n)) for n in range(number)]
    bench.arrive(*clients)
    mill.go_on.release(number)
    bench.hear_all()
    got = [Answer(client.received()) for client in clients]
    assert [DECODE[b"br"](answer.body) for answer in got] == [b"%d" % n + TEXT for n in range(number)]
    assert mill.most_at_once == 1
    assert len(mill.done) == number


def test_past_the_bound_of_the_queue_pages_are_sent_as_they_are(
    make_bench: MakeBench, root: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("wsrv.engine.worker.answering.CODINGS", Lane("codings", 2))
    mill = Mill(monkeypatch, closed=True)
    bench = make_bench(threads=2)
    for n in range(5):
        put(root / f"{n}.html", TEXT)
        bench.site.find(b"%d.html" % n, b"", accepted=acceptable(BROWSER), nowait=False)
    clients = [bench.client().send(request(BROWSER, b"/%d.html" % n)) for n in range(5)]
    while any(client.conn.state == IDLE for client in clients[:3]):
        bench.arrive(*clients)
    served = [Answer(client.received()) for client in clients[3:]]
    assert [coding_of(answer) for answer in served] == [b"", b""]
    mill.go_on.release(3)
    bench.hear_all()
    assert [coding_of(Answer(client.received())) for client in clients[:3]] == [b"br"] * 3
    assert bench.responses() == {200: 5}


def test_when_the_pool_fills_up_behind_a_computation_those_queued_are_answered_all_the_same(
    make_bench: MakeBench, root: Path, monkeypatch: Patch
) -> None:
    mill = Mill(monkeypatch, closed=True)
    bench = make_bench(threads=2)
    for n in range(3):
        put(root / f"{n}.html", TEXT)
        bench.site.find(b"%d.html" % n, b"", accepted=acceptable(BROWSER), nowait=False)
    clients = [bench.client().send(request(BROWSER, b"/%d.html" % n)) for n in range(3)]
    bench.arrive(*clients)
    assert mill.begun.acquire(timeout=BOUND_SECONDS)
    monkeypatch.setattr(bench.pool, "submit", lambda *job: False)
    mill.go_on.release(3)
    bench.hear_all()
    assert [coding_of(Answer(client.received())) for client in clients] == [b"br", b"", b""]
    monkeypatch.undo()
    assert coding_of(ask(bench, BROWSER, b"/2.html")) == b"br"


def test_who_leaves_while_a_page_is_compressed_harms_nobody(bench: Workbench, page: Path, monkeypatch: Patch) -> None:
    mill = Mill(monkeypatch, closed=True)
    gone, there = bench.client().send(request(BROWSER)), bench.client().send(request(BROWSER))
    bench.arrive(gone, there)
    while not mill.begun.acquire(blocking=False):
        bench.hear(0.1)
    gone.close()
    bench.hear()
    mill.go_on.release()
    assert coding_of(Answer(bench.hear_all(there))) == b"br"
    assert bench.responses() == {200: 1}


def test_a_coder_that_breaks_is_a_500(
    bench: Workbench, page: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(entity: Entity, coding: bytes, bounds: Bounds) -> Entity:
        raise ZeroDivisionError

    monkeypatch.setattr("wsrv.engine.worker.answering.recode", broken)
    assert ask(bench, BROWSER).status == 500
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert ask(bench, None).body == TEXT


# Heads, conditions, ranges.


@codings
def test_head_is_the_head_of_the_get(bench: Workbench, page: Path, coding: bytes) -> None:
    head = bench.answers(bench.client(), request(coding, method=b"HEAD"))
    whole = bench.answers(bench.client(), request(coding))
    assert whole.startswith(head)
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Encoding: " + coding in head


@codings
def test_a_tag_holds_for_its_own_coding_only(bench: Workbench, page: Path, coding: bytes) -> None:
    coded, plain = ask(bench, coding), ask(bench, None)
    again = ask(bench, coding, b"/page.html", b"If-None-Match: " + coded.fields[b"etag"])
    assert again.status == 304
    assert again.fields[b"etag"] == coded.fields[b"etag"]
    assert again.fields[b"vary"] == b"Accept-Encoding"
    assert ask(bench, coding, b"/page.html", b"If-None-Match: " + plain.fields[b"etag"]).status == 200
    assert ask(bench, None, b"/page.html", b"If-None-Match: " + coded.fields[b"etag"]).status == 200
    assert ask(bench, coding, b"/page.html", b"If-Match: " + plain.fields[b"etag"]).status == 412


@codings
def test_a_condition_is_answered_though_nothing_is_held_any_more(
    bench: Workbench, page: Path, mill: Mill, coding: bytes
) -> None:
    etag = ask(bench, coding).fields[b"etag"]
    bench.shelf.store.drop(b"page.html\0" + coding)
    assert ask(bench, coding, b"/page.html", b"If-None-Match: " + etag).status == 304
    assert len(mill.done) == 2


@codings
def test_a_range_is_one_of_the_coded_bytes(bench: Workbench, page: Path, coding: bytes) -> None:
    whole = ask(bench, coding)
    parts = []
    for asked in (b"bytes=0-99", b"bytes=100-"):
        part = ask(bench, coding, b"/page.html", b"Range: " + asked, b"If-Range: " + whole.fields[b"etag"])
        assert part.status == 206
        assert coding_of(part) == coding
        parts.append(part.body)
    assert DECODE[coding](b"".join(parts)) == TEXT


# What becomes of the file, and of what lies beside it. (A bench whose time runs far ahead of the kernel's takes its
# answers for ones from the future, so here a look at the files is due after a moment.)

TURN_SECONDS = 0.0001


@pytest.fixture
def quick(make_bench: MakeBench) -> Workbench:
    """A workbench that looks at its files every tenth of a millisecond."""
    return make_bench(cache=CacheSettings(revalidate_seconds=TURN_SECONDS))


def test_a_page_that_was_edited_is_compressed_anew_within_a_second(quick: Workbench, page: Path, mill: Mill) -> None:
    ask(quick, BROWSER)
    put(page, TEXT + b"edited")
    quick.advance(TURN_SECONDS)
    assert DECODE[b"br"](ask(quick, BROWSER).body) == TEXT + b"edited"
    assert len(mill.done) == 2


def test_a_page_that_is_touched_by_nobody_is_compressed_never_again(quick: Workbench, page: Path, mill: Mill) -> None:
    for _ in range(5):
        assert coding_of(ask(quick, BROWSER)) == b"br"
        quick.advance(TURN_SECONDS)
    assert len(mill.done) == 1
    assert quick.count(MISSES) == 1


def test_when_only_the_disk_can_tell_nothing_is_compressed_anew(
    quick: Workbench, page: Path, mill: Mill, monkeypatch: Patch
) -> None:
    unchanged = quick.site.unchanged

    def cold(path: bytes, entity: Entity, *, nowait: bool) -> bool:
        if nowait:
            raise BlockingIOError
        return unchanged(path, entity, nowait=False)

    monkeypatch.setattr(quick.site, "unchanged", cold)
    for _ in range(3):
        assert coding_of(ask(quick, BROWSER)) == b"br"
        quick.advance(TURN_SECONDS)
    assert len(mill.done) == 1


def lay(page: Path, coding: bytes, body: bytes) -> Path:
    path = page.with_name(page.name + {b"br": ".br", b"zstd": ".zst", b"gzip": ".gz"}[coding])
    put(path, ENCODE[coding](body))
    return path


def test_siblings_that_come_change_and_go_are_noticed_within_a_second(quick: Workbench, page: Path, mill: Mill) -> None:
    def next_second() -> Answer:
        quick.advance(TURN_SECONDS)
        return ask(quick, BROWSER)

    assert DECODE[b"br"](ask(quick, BROWSER).body) == TEXT
    sibling = lay(page, b"gzip", b"first")
    assert next_second().body == sibling.read_bytes()
    assert ask(quick, b"gzip").body == sibling.read_bytes()
    assert DECODE[b"br"](ask(quick, b"br").body) == TEXT, "who does not take it gets the best there is"
    assert coding_of(ask(quick, BROWSER)) == b"gzip", "and nobody else does"
    sibling.unlink()
    assert coding_of(next_second()) == b"br"
    sibling = lay(page, b"gzip", b"again")
    quick.advance(TURN_SECONDS)
    assert coding_of(ask(quick, b"br")) == b"br"
    assert coding_of(ask(quick, BROWSER)) == b"gzip", "though what it had before was just made anew for another"
    sibling = lay(page, b"gzip", b"second, longer")
    assert next_second().body == sibling.read_bytes()
    better = lay(page, b"br", b"third")
    assert next_second().body == better.read_bytes()
    put(page, TEXT + b"newer than both")
    os.utime(better, ns=(0, page.stat().st_mtime_ns - 1))
    os.utime(sibling, ns=(0, page.stat().st_mtime_ns - 1))
    assert DECODE[b"br"](next_second().body) == TEXT + b"newer than both"
    sibling.unlink()
    better.unlink()
    assert DECODE[b"br"](next_second().body) == TEXT + b"newer than both"
    page.unlink()
    assert next_second().status == 404
    lay(page, b"zstd", b"alone")
    assert coding_of(next_second()) == b"zstd"
    assert ask(quick, None).body == b"alone"


# Siblings alone.


@codings
def test_a_sibling_alone_is_decoded_once_for_who_takes_no_coding(
    bench: Workbench, root: Path, mill: Mill, coding: bytes
) -> None:
    sibling = lay(root / "page.html", coding, TEXT)
    for _ in range(3):
        assert ask(bench, coding).body == sibling.read_bytes()
        plain = ask(bench, None)
        assert (coding_of(plain), plain.body) == (b"", TEXT)
        assert plain.fields[b"content-length"] == b"%d" % len(TEXT)
        assert plain.fields[b"vary"] == b"Accept-Encoding"
    assert mill.done == [(b"page.html", b"")]
    assert bench.count(MISSES) == 2
    assert ask(bench, b"identity;q=0").status == 406


def test_a_sibling_alone_that_is_broken_or_too_long_is_not_sent(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(cache=CacheSettings(max_object_bytes=2 * len(TEXT)))
    put(root / "broken.html.gz", b"this is no stream")
    lay(root / "long.html", b"br", 3 * TEXT)
    lay(root / "noise.bin", b"gzip", os.urandom(3 * len(TEXT)))
    assert ask(bench, None, b"/broken.html").status == 500
    assert ask(bench, None, b"/long.html").status == 406
    assert DECODE[b"br"](ask(bench, BROWSER, b"/long.html").body) == 3 * TEXT
    assert ask(bench, None, b"/noise.bin").status == 406


def test_a_long_sibling_is_streamed_with_its_coding(make_bench: MakeBench, root: Path) -> None:
    bench = make_bench(cache=CacheSettings(max_object_bytes=4096))
    noise = os.urandom(300_000)
    put(root / "build.data", noise)
    sibling = lay(root / "build.data", b"gzip", noise)
    for _ in range(2):
        answer = ask(bench, BROWSER, b"/build.data")
        assert (coding_of(answer), answer.body) == (b"gzip", sibling.read_bytes())
        assert ask(bench, None, b"/build.data").body == noise
    part = ask(bench, BROWSER, b"/build.data", b"Range: bytes=1000-1999")
    assert (part.status, coding_of(part), part.body) == (206, b"gzip", sibling.read_bytes()[1000:2000])


# Whatever a client says.

WORDS = st.sampled_from(["br", "zstd", "gzip", "x-gzip", "identity", "*", "deflate"])
WEIGHTS = st.sampled_from(["", ";q=0", ";q=0.3", ";q=0.7", ";q=x"])
PATHS = st.sampled_from([b"/page.html", b"/both.js", b"/alone.css", b"/noise.wasm", b"/a.png", b"/none"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.lists(st.tuples(PATHS, st.none() | st.lists(st.tuples(WORDS, WEIGHTS), max_size=4)), min_size=1, max_size=8))
def test_nobody_ever_gets_a_coding_that_he_does_not_take(
    bench: Workbench, page: Path, asked: list[tuple[bytes, list[tuple[str, str]] | None]]
) -> None:
    root = page.parent
    if not (root / "both.js").exists():
        put(root / "both.js", TEXT)
        lay(root / "both.js", b"gzip", TEXT)
        lay(root / "alone.css", b"zstd", TEXT)
        put(root / "noise.wasm", NOISE)
        put(root / "a.png", TEXT)
    client: Client = bench.client()
    decode: dict[bytes, Callable[[bytes], bytes]] = DECODE
    for path, parts in asked:
        accepts = None if parts is None else ", ".join(word + weight for word, weight in parts).encode()
        taken = acceptable(accepts)
        answer = Answer(bench.answers(client, request(accepts, path)))
        if path == b"/none":
            assert answer.status == 404
        elif answer.status == 406:
            assert not taken.identity
        else:
            assert answer.status == 200
            coding = coding_of(answer)
            assert coding in taken.codings or (not coding and taken.identity)
            assert decode[coding](answer.body) == (NOISE if path == b"/noise.wasm" else TEXT)
    client.close()
    bench.arrive(client)
