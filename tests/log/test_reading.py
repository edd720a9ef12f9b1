"""What of a log becomes a trace, and what is left out of it and counted."""

import gzip
import io
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.log import reading as module
from wsrv.engine.log.reading import LINE_BYTES, NAMED, Reading


def line(path: str, status: int = 200, size: int = 10, method: str = "GET", second: int = 0) -> bytes:
    moment = f"23/Nov/2026:10:00:{second:02d} +0000"
    return f'127.0.0.1 - - [{moment}] "{method} {path} HTTP/1.1" {status} {size} "-" "-"\n'.encode()


def stream(*lines: bytes) -> IO[bytes]:
    return io.BufferedReader(io.BytesIO(b"".join(lines)))


def read(*lines: bytes) -> Reading:
    reading = Reading()
    reading.add("access.log", stream(*lines))
    reading.finish()
    return reading


def requests(reading: Reading) -> list[tuple[bytes, int]]:
    return [*zip(reading.trace.keys, reading.trace.sizes, strict=True)]


def test_what_was_there_counts_whatever_was_sent_of_it() -> None:
    reading = read(
        line("/a", 200, 10),
        line("/a", 304, 0),
        line("/a", 206, 3),
        line("/a", 200, 0, method="HEAD"),
        line("/a?query", 200, 10),
    )
    assert requests(reading) == [(b"/a", 10)] * 5
    assert (reading.lines, reading.other_answers, reading.bad_lines) == (5, 0, 0)


@pytest.mark.parametrize("status", [100, 201, 204, 301, 400, 403, 404, 416, 500, 503])
def test_other_answers_are_counted_and_ask_for_nothing(status: int) -> None:
    reading = read(line("/a", status), line("/b"))
    assert requests(reading) == [(b"/b", 10)]
    assert reading.other_answers == 1


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT", "get"])
def test_other_methods_are_counted_and_ask_for_nothing(method: str) -> None:
    assert read(line("/a", method=method)).other_answers == 1


def test_the_size_is_that_of_the_largest_whole_answer_earlier_or_later() -> None:
    reading = read(
        line("/a", 304, 0), line("/a", 206, 999), line("/a", 200, 3), line("/a", 200, 10), line("/a", 200, 7)
    )
    assert requests(reading) == [(b"/a", 10)] * 5


def test_what_was_never_answered_whole_has_no_size_and_is_left_out() -> None:
    reading = read(line("/a", 304, 0), line("/b", 206, 5), line("/c", 200, 0, method="HEAD"), line("/d"))
    assert requests(reading) == [(b"/d", 10)]
    assert reading.unsized == 3


def test_an_empty_file_is_an_object_of_no_bytes() -> None:
    assert requests(read(line("/a", 200, 0))) == [(b"/a", 0)]


def test_sizes_of_csv_are_each_requests_own() -> None:
    reading = read(b"time,key,size\n", b"0,a,5\n", b"1,a,7\n", b"2,b,1\n")
    assert requests(reading) == [(b"a", 5), (b"a", 7), (b"b", 1)]
    assert (reading.formats, reading.span_seconds, reading.bad_lines) == (["CSV"], 2.0, 0)


def test_csv_may_name_its_columns_in_another_order() -> None:
    reading = read(b"\xef\xbb\xbfsize,key,time\n", b"5,a,10\n", b"7,a,30\n", b"9\n")
    assert requests(reading) == [(b"a", 5), (b"a", 7)]
    assert reading.span_seconds == 20
    assert reading.bad == ["access.log:4: of 1 columns, not of 3"]


def test_requests_come_in_the_order_of_their_lines_whatever_their_times() -> None:
    reading = read(b"\xef\xbb\xbf5,a,1\n", b"1,b,1\n", b"inf,c,1\n", b"9.5,a,1\n", b"9,d,1\n")
    assert [key for key, _ in requests(reading)] == [b"a", b"b", b"c", b"a", b"d"]
    assert (reading.times_back, reading.span_seconds) == (2, 8.5)


def test_bad_lines_are_counted_and_the_first_are_named() -> None:
    bad = [b"nonsense %d\n" % number for number in range(NAMED + 3)]
    reading = read(line("/a"), *bad, line("/b"))
    assert requests(reading) == [(b"/a", 10), (b"/b", 10)]
    assert reading.bad_lines == len(bad)
    assert reading.bad == [f"access.log:{number}: no line of an access log" for number in range(2, 2 + NAMED)]


def test_a_bad_first_line_does_not_decide_the_format() -> None:
    reading = read(b"nonsense\n", b"\n", b"1,a,5\n", b"{}\n")
    assert requests(reading) == [(b"a", 5)]
    assert reading.bad == [
        "access.log:1: no line of an access log, and not time,key,size",
        "access.log:4: not time,key,size",
    ]


def test_gzip_is_known_by_its_content() -> None:
    assert requests(read(gzip.compress(line("/a") + line("/b")))) == [(b"/a", 10), (b"/b", 10)]


def test_a_compressed_file_that_breaks_off_is_read_as_far_as_it_goes() -> None:
    # Level 0 keeps the lines as they are, so that the first ones can be read without the last.
    whole = gzip.compress(b"".join(line(f"/{number}") for number in range(2000)), compresslevel=0)
    reading = read(whole[: len(whole) // 2])
    assert 100 < len(reading.trace) < 2000
    assert reading.bad_lines == 1
    assert "where the compressed file breaks off" in reading.bad[0]


def test_a_compressed_file_that_is_damaged_is_no_fault() -> None:
    whole = bytearray(gzip.compress(line("/a") * 50))
    whole[12:20] = b"\xff" * 8
    reading = read(bytes(whole))
    assert (len(reading.trace), reading.bad_lines) == (0, 1)


def test_an_endless_line_is_one_bad_line() -> None:
    reading = read(line("/a"), b"x" * (3 * LINE_BYTES + 17) + b"\n", line("/b"))
    assert requests(reading) == [(b"/a", 10), (b"/b", 10)]
    assert reading.bad == ["access.log:2: longer than 256 KiB"]


def test_files_are_read_in_the_order_in_which_they_come_each_in_its_format() -> None:
    reading = Reading()
    reading.add("one", stream(line("/a", second=1)))
    reading.add("two", stream(b'{"time": "2026-11-23T10:00:31Z", "path": "/a", "status": 200, "bytes": 20}\n'))
    reading.finish()
    assert requests(reading) == [(b"/a", 20), (b"/a", 20)]
    assert (reading.formats, reading.span_seconds) == (["combined", "JSON"], 30.0)
    assert reading.times_back == 0


@pytest.mark.parametrize("lines", [[], [b"\n"], [b"nonsense\n"], [line("/a", 404)]])
def test_nothing_that_counts_is_an_empty_trace(lines: list[bytes]) -> None:
    reading = read(*lines)
    assert len(reading.trace) == 0
    assert reading.span_seconds is None


def test_progress_is_told_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIDE", 10)
    steps: list[int] = []
    reading = Reading(steps.append)
    reading.add("access.log", stream(line("/a") * 35))
    assert steps == [10, 10, 10]


@given(raw=st.binary(max_size=2000))
def test_no_file_does_more_than_to_be_refused(raw: bytes) -> None:
    reading = read(raw)
    assert len(reading.trace) + reading.bad_lines <= reading.lines
    assert all(named.isprintable() for named in reading.bad)
