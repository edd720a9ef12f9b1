"""Dates out and in."""

import locale
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.http.dates import http_date, parse_http_date

NOVEMBER_1994 = 784_111_777
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799


def at(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp())


def test_the_example_of_rfc_9110_is_written_as_there() -> None:
    assert http_date(NOVEMBER_1994) == b"Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(0, 4_102_444_800))
def test_dates_are_written_as_the_standard_library_writes_them(seconds: int) -> None:
    assert http_date(seconds).decode() == formatdate(seconds, usegmt=True)


@given(st.integers(FIRST_SECOND, LAST_SECOND))
def test_what_is_written_is_read_back(seconds: int) -> None:
    written = http_date(seconds)
    assert len(written) == 29
    assert parse_http_date(written) == seconds


def test_times_outside_four_digit_years_are_shown_as_the_nearest_inside() -> None:
    assert http_date(10**15) == b"Fri, 31 Dec 9999 23:59:59 GMT"
    assert http_date(-(10**15)) == b"Mon, 01 Jan 0001 00:00:00 GMT"


def test_no_locale_changes_a_date() -> None:
    before = locale.setlocale(locale.LC_TIME)
    try:
        locale.setlocale(locale.LC_TIME, "C.UTF-8")
        assert http_date(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    finally:
        locale.setlocale(locale.LC_TIME, before)


@pytest.mark.parametrize(
    "raw",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_all_three_formats_are_read(raw: bytes) -> None:
    assert parse_http_date(raw, at(2024)) == NOVEMBER_1994
    assert parse_http_date(raw) == NOVEMBER_1994


@given(st.integers(at(1900), at(2100)))
def test_asctime_is_read_as_the_standard_library_writes_it(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert parse_http_date(moment.ctime().encode()) == seconds
    assert int(parsedate_to_datetime(http_date(seconds).decode()).timestamp()) == seconds


@pytest.mark.parametrize(
    ("now", "digits", "year"),
    [
        (at(2024), 94, 1994),
        (at(2024), 24, 2024),
        (at(2024), 73, 2073),
        (at(2024), 75, 1975),
        (at(2024), 0, 2000),
        (at(2099), 5, 2105),
        (at(2099), 48, 2148),
        (at(2099), 50, 2050),
        # Exactly 50 years from now is not more than 50 years; a second later it is.
        (at(2024, 6, 1), 74, 2074),
        (at(2024, 6, 1) - 1, 74, 1974),
    ],
)
def test_a_two_digit_year_is_at_most_50_years_ahead(now: int, digits: int, year: int) -> None:
    assert parse_http_date(b"Friday, 01-Jun-%02d 00:00:00 GMT" % digits, now) == at(year, 6, 1)


def test_a_leap_second_is_the_first_of_the_next_day() -> None:
    assert parse_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT") == at(2017)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"0",
        b"784111777",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 08:49:37 UTC",
        b"Sun, 06 Nov 1994 08:49:37 gmt",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"sun, 06 nov 1994 08:49:37 GMT",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sun,  06 Nov 1994 08:49:37 GMT",
        b" Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b"Xyz, 06 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Foo 1994 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 31 Nov 1994 08:49:37 GMT",
        b"Sun, 29 Feb 1995 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:60 GMT",
        b"Sun, 06 Nov 1994 23:59:61 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 06-Nov-94 08:49:37 GMT",
        b"Sunday, 06-Nov-1994 08:49:37 GMT",
        b"Wednesday, 29-Feb-23 00:00:00 GMT",
        b"Sun Nov 6 08:49:37 1994",
        b"Sun Nov  0 08:49:37 1994",
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 0٦ Nov 1994 08:49:37 GMT".encode(),
    ],
)
def test_what_is_no_date_is_none(raw: bytes) -> None:
    assert parse_http_date(raw) is None


@given(st.binary(max_size=40))
def test_no_bytes_make_the_reader_fail(raw: bytes) -> None:
    parse_http_date(raw)
