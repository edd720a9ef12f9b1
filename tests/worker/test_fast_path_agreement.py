# The fast path knows a request by its bytes alone. So what it answers must be what the rules accept, two other parsers
# accept too, and all read as a request for the very thing that was sent.
"""What the hot path answers, against the rule table, httptools and h11."""

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.http.heads import accepted, assert_both_read_alike, heads, likely_heads, mutated
from tests.worker.workbench import Client, Workbench, statuses
from wsrv.engine.http.head import persistent
from wsrv.engine.static.target import to_path
from wsrv.engine.worker.connection import Connection

FILES = {b"": b"the index", b"a": b"file a", b"x": b"file x"}
# Enough of what is found that answers can be prepared, and other spellings of the same.
STARTS = (b"GET / ", b"HEAD / ", b"GET /a ", b"GET /a?b=c ", b"GET /%2e/x ", b"GET //a ", b"GET http://h/a ")


def found(head: bytes) -> bytes:
    """The head with another beginning, so that more of them lead to a file."""
    start = STARTS[sum(head) % len(STARTS)]
    return start + head[head.find(b"HTTP/") :]


likely = likely_heads().map(found)
some_heads = st.one_of(likely_heads(), likely, mutated(likely), heads().map(found))


def answer(bench: Workbench, client: Client, head: bytes) -> tuple[bytes, bool]:
    """What `head` gets in one round, and whether the hot path answered it alone."""
    passed_on: list[bytes] = []
    slow = bench.hot._slow

    def watched(conn: Connection, seen: bytes, now_ns: int) -> None:
        passed_on.append(seen)
        slow(conn, seen, now_ns)

    bench.hot._slow = watched
    # Many heads take their time on a busy machine, and answers are held against the clock.
    bench.catch_up()
    try:
        return bench.ask(client, head), not passed_on
    finally:
        bench.hot._slow = slow


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(some_heads, min_size=1, max_size=12))
def test_what_the_fast_path_answers_everybody_accepts_and_reads_alike(
    tmp_path_factory: pytest.TempPathFactory, sent: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("site")
    for path, content in FILES.items():
        (root / (path.decode() or "index.html")).write_bytes(content)
    bench = Workbench(root)
    try:
        # Twice: the second time the hot path has learned what it may, from any of them.
        for head in (*sent, *sent):
            client = bench.client()
            got, fast = answer(bench, client, head)
            event("fast" if fast and got else "slow")
            if not (fast and got):
                continue
            ours = accepted(head)
            assert ours is not None, "the rules refuse it"
            assert_both_read_alike(ours, head)
            line, fields = ours
            assert statuses(got) == [200]
            assert line.method in (b"GET", b"HEAD")
            body = FILES[to_path(line.path)] if line.method == b"GET" else b""
            assert got.partition(b"\r\n\r\n")[2] == body
            assert (b"\r\nConnection: close\r\n" in got) is not persistent(line, fields)
    finally:
        bench.close()


def test_the_property_above_sees_the_fast_path(bench: Workbench) -> None:
    head = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
    assert [answer(bench, bench.client(), head)[1] for _ in range(3)] == [False, True, True]
