"""Five pieces of bytes join into one line of the Combined Log Format."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsrv.engine.log.format import FORMATS, Combined, local_offset

# Apache httpd: "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""
_LINE = re.compile(
    r'(?P<host>\S+) - - \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) '
    r'"(?P<referer>[^"]*)" "(?P<agent>[^"]*)"\n'
)
_TIME = "%d/%b/%Y:%H:%M:%S %z"
NOON = 784121600

# As log_escape leaves them.
printable = st.binary(max_size=40).map(lambda raw: bytes(byte for byte in raw if 0x20 <= byte < 0x7F and byte != 0x22))


@contextmanager
def zone(name: str) -> Iterator[None]:
    """Local time is that of `name`, a TZ string."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def line(epoch: int = NOON, status: int = 200, length: int = 5, referer: bytes = b"", agent: bytes = b"") -> str:
    pieces = (
        Combined().opening(b"192.0.2.1"),
        Combined().stamp(epoch),
        b"GET / HTTP/1.1",
        Combined().outcome(status, length),
        Combined().client(referer, agent),
    )
    return b"".join(pieces).decode()


@given(
    epoch=st.integers(0, 4_000_000_000),
    status=st.integers(100, 599),
    length=st.integers(0, 1 << 50),
    referer=printable,
    agent=printable,
)
def test_the_pieces_make_a_line_that_reads_back(
    epoch: int, status: int, length: int, referer: bytes, agent: bytes
) -> None:
    found = _LINE.fullmatch(line(epoch, status, length, referer, agent))
    assert found is not None
    assert (found["host"], found["request"]) == ("192.0.2.1", "GET / HTTP/1.1")
    assert (int(found["status"]), int(found["bytes"])) == (status, length)
    assert (found["referer"], found["agent"]) == (referer.decode() or "-", agent.decode() or "-")
    assert datetime.strptime(found["time"], _TIME).timestamp() == epoch


def test_a_client_that_said_nothing_of_itself_is_dashes() -> None:
    assert line().endswith(' 200 5 "-" "-"\n')


@pytest.mark.parametrize(
    ("zone_name", "offset"),
    [
        ("UTC0", "+0000"),
        ("CET-1", "+0100"),
        ("EST5", "-0500"),
        ("NST3:30", "-0330"),
        ("IST-5:30", "+0530"),
        ("XXX0:30", "-0030"),
    ],
)
def test_the_offset_is_that_of_local_time(zone_name: str, offset: str) -> None:
    with zone(zone_name):
        assert local_offset(time.localtime(NOON)) == offset
        found = _LINE.fullmatch(line())
        assert found is not None
        assert found["time"].endswith(offset)
        assert datetime.strptime(found["time"], _TIME).timestamp() == NOON


def test_summer_time_has_its_own_offset() -> None:
    with zone("CET-1CEST,M3.5.0,M10.5.0/3"):
        summer, winter = NOON - 86400 * 120, NOON + 86400 * 30
        assert local_offset(time.localtime(summer)) == "+0200"
        assert local_offset(time.localtime(winter)) == "+0100"


def test_months_are_english_whatever_the_locale() -> None:
    with zone("UTC0"):
        stamps = {Combined().stamp(int(datetime(2023, month, 9).timestamp()))[3:6] for month in range(1, 13)}
        assert stamps == {
            b"Jan",
            b"Feb",
            b"Mar",
            b"Apr",
            b"May",
            b"Jun",
            b"Jul",
            b"Aug",
            b"Sep",
            b"Oct",
            b"Nov",
            b"Dec",
        }


def test_every_format_is_registered_under_its_name() -> None:
    assert all(name == log_format.NAME for name, log_format in FORMATS.items())
    assert FORMATS["combined"] is Combined
