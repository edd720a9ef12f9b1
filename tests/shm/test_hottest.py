"""Lists of hot keys: whole or the one before, whatever is killed."""

import os
import signal

from hypothesis import given, settings
from hypothesis import strategies as st

from wsrv.engine.shm.hottest import LIST_BYTES, MOST_KEYS, HotList, HotLists


@given(keys=st.lists(st.binary(max_size=300), max_size=50))
@settings(deadline=None)
def test_what_is_written_is_read_in_order(keys: list[bytes]) -> None:
    found = HotLists(1).of(0)
    assert found.write(keys) == len(keys)
    assert found.read() == keys


def test_every_worker_has_a_list_of_its_own_and_a_new_one_is_empty() -> None:
    lists = HotLists(3)
    lists.of(1).write([b"a", b"b\0br"])
    assert [lists.of(number).read() for number in range(3)] == [[], [b"a", b"b\0br"], []]
    lists.of(1).clear()
    assert lists.of(1).read() == []


def test_the_coldest_find_no_room() -> None:
    found = HotLists(1).of(0)
    keys = [b"%d" % number for number in range(MOST_KEYS + 100)]
    assert found.write(keys) == MOST_KEYS
    assert found.read() == keys[:MOST_KEYS]
    long = [b"%04d" % number + b"x" * 4000 for number in range(100)]
    taken = found.write(long)
    assert taken == (LIST_BYTES - 4) // 4006
    assert found.read() == long[:taken]


def test_a_writer_that_is_killed_leaves_the_list_or_the_one_before() -> None:
    lists = HotLists(2)
    found, progress = lists.of(0), lists.of(1)
    for _ in range(60):
        pid = os.fork()
        if not pid:
            number = 0
            while True:
                number += 1
                found.write([b"%d" % number] * 400)
                progress.write([b"%d" % number])
        while not (begun := progress.read()) or int(begun[0]) < 3:
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        keys = found.read()
        assert len(keys) == 400
        assert len(set(keys)) == 1
        assert int(keys[0]) - int(progress.read()[0]) in (0, 1)
        progress.clear()


def test_a_list_that_is_nonsense_is_read_without_harm() -> None:
    memory = memoryview(bytearray(b"\xff" * (64 + 2 * LIST_BYTES)))

    assert len(HotList(memory).read()) <= LIST_BYTES
