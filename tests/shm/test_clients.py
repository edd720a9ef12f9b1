# The table of client addresses against a model that remembers everything, over several workers, one of which may go.
"""engine/shm/clients.py."""

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.shm.clients import ClientTables, client_key, places_of

SECOND_NS = 1_000_000_000
WORKERS = 3
CLIENTS = [bytes((10, 0, 0, number)) for number in range(4)]


@pytest.mark.parametrize(
    ("family", "text", "key"),
    [
        (socket.AF_INET, "192.0.2.1", bytes((192, 0, 2, 1))),
        (socket.AF_INET6, "::ffff:192.0.2.1", bytes((192, 0, 2, 1))),
        (socket.AF_INET6, "2001:db8:1:2::1", bytes.fromhex("20010db800010002")),
        (socket.AF_INET6, "2001:db8:1:2:ffff::9", bytes.fromhex("20010db800010002")),
        (socket.AF_INET6, "2001:db8:1:3::1", bytes.fromhex("20010db800010003")),
    ],
)
def test_who_counts_as_one_client(family: int, text: str, key: bytes) -> None:
    packed = socket.inet_pton(family, text)
    assert client_key(family, packed.ljust(16, b"\0")) == key


def test_the_client_of_a_unix_socket_is_nobody() -> None:
    assert client_key(socket.AF_UNIX, bytes(16)) == b""


steps = st.lists(st.tuples(st.booleans(), st.integers(0, WORKERS - 1), st.sampled_from(CLIENTS)), max_size=80)


@given(steps, st.integers(1, 5))
@settings(max_examples=60)
def test_connections_are_bounded_over_all_workers(taken: list[tuple[bool, int, bytes]], limit: int) -> None:
    tables = ClientTables(WORKERS)
    views = [tables.of(number) for number in range(WORKERS)]
    held = {(worker, client): 0 for worker in range(WORKERS) for client in CLIENTS}

    def all_of(client: bytes) -> int:
        return sum(held[(worker, client)] for worker in range(WORKERS))

    for comes, worker, client in taken:
        if comes:
            let_in = views[worker].enter(places_of(client), limit)
            assert let_in is (all_of(client) < limit)
            held[(worker, client)] += let_in
        elif held[(worker, client)]:
            views[worker].leave(places_of(client))
            held[(worker, client)] -= 1


def test_the_connections_of_a_worker_that_is_gone_are_gone() -> None:
    tables = ClientTables(2)
    first, second = tables.of(0), tables.of(1)
    here = places_of(CLIENTS[0])
    assert [first.enter(here, 3), second.enter(here, 3), second.enter(here, 3)] == [True] * 3
    assert not first.enter(here, 3)
    tables.clear(1)
    assert [first.enter(here, 3), first.enter(here, 3), first.enter(here, 3)] == [True, True, False]


# What is asked: after so many ms, of which worker, and whether it is taken back.
asked = st.lists(
    st.tuples(st.integers(0, 700), st.integers(0, WORKERS - 1), st.sampled_from([False] * 9 + [True])), max_size=150
)


@given(asked, st.integers(1, 20), st.integers(1, 40))
@settings(max_examples=60)
def test_requests_are_bounded_in_every_window(asked: list[tuple[int, int, bool]], rate: int, burst: int) -> None:
    tables = ClientTables(WORKERS)
    views = [tables.of(number) for number in range(WORKERS)]
    here, other = places_of(CLIENTS[0]), places_of(CLIENTS[1])
    window_ns = burst * SECOND_NS // rate
    now_ns = 1_000_000 * window_ns
    admitted: dict[int, int] = {}
    for pause_ms, worker, taken_back in asked:
        now_ns += pause_ms * 1_000_000
        window, past_ns = divmod(now_ns, window_ns)
        before, now = admitted.get(window - 1, 0), admitted.get(window, 0)
        expected = now + 1 + (1 - past_ns / window_ns) * before <= burst
        assert views[worker].charge(here, now_ns, rate, burst) is expected
        if expected and taken_back:
            views[worker].refund(here, now_ns, rate, burst)
        elif expected:
            admitted[window] = now + 1
    assert max(admitted.values(), default=0) <= burst
    # Nobody else is held to account for it.
    assert views[0].charge(other, now_ns, rate, burst)


def test_who_waits_may_ask_again() -> None:
    table = ClientTables(1).of(0)
    here = places_of(CLIENTS[0])
    now_ns = 50 * SECOND_NS
    assert [table.charge(here, now_ns, 10, 10) for _ in range(12)] == [True] * 10 + [False] * 2
    assert sum(table.charge(here, now_ns + SECOND_NS + SECOND_NS // 2, 10, 10) for _ in range(12)) == 5
    assert sum(table.charge(here, now_ns + 3 * SECOND_NS, 10, 10) for _ in range(12)) == 10
