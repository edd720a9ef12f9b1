# Dates as HTTP writes and reads them (RFC 9110 5.6.7).
#
# Written in one format, read in three. No locale takes part: names of days and months are English always.
"""IMF-fixdate out; IMF-fixdate, RFC 850 and asctime in."""

import calendar
import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What four digits of year can say. A file system may hold times outside, and they are shown as the nearest that fits.
_EARLIEST_SECONDS = -62_135_596_800  # Mon, 01 Jan 0001 00:00:00 GMT
_LATEST_SECONDS = 253_402_300_799  # Fri, 31 Dec 9999 23:59:59 GMT

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_LONG_DAYS = (b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}

_DAY = b"(?:" + b"|".join(_DAYS) + b")"
_LONG_DAY = b"(?:" + b"|".join(_LONG_DAYS) + b")"
_MONTH = b"(?P<month>" + b"|".join(_MONTHS) + b")"
_CLOCK = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"

# Sun, 06 Nov 1994 08:49:37 GMT
_IMF_FIXDATE = re.compile(_DAY + rb", (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _CLOCK + rb" GMT")
# Sunday, 06-Nov-94 08:49:37 GMT
_RFC850 = re.compile(_LONG_DAY + rb", (?P<day>[0-9]{2})-" + _MONTH + rb"-(?P<year>[0-9]{2}) " + _CLOCK + rb" GMT")
# Sun Nov  6 08:49:37 1994
_ASCTIME = re.compile(_DAY + b" " + _MONTH + rb" (?P<day>[0-9]{2}| [0-9]) " + _CLOCK + rb" (?P<year>[0-9]{4})")


def http_date(epoch_seconds: int) -> bytes:
    """`epoch_seconds` as IMF-fixdate, 29 bytes. Times outside the years 1 to 9999 become the nearest inside."""
    moment = _EPOCH + timedelta(seconds=min(max(epoch_seconds, _EARLIEST_SECONDS), _LATEST_SECONDS))
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[moment.weekday()],
        moment.day,
        _MONTHS[moment.month - 1],
        moment.year,
        moment.hour,
        moment.minute,
        moment.second,
    )


def parse_http_date(raw: bytes, now_seconds: int | None = None) -> int | None:
    """Seconds since the epoch, or None for what is no HTTP-date.

    The name of the day must be one, but is not held against the date. Only the two-digit year of RFC 850 depends on the
    present, which is `now_seconds` or else the system's clock.
    """
    match = _IMF_FIXDATE.fullmatch(raw) or _ASCTIME.fullmatch(raw)
    if match is not None:
        return _seconds(match, int(match["year"]))
    match = _RFC850.fullmatch(raw)
    if match is None:
        return None
    now = datetime.now(UTC) if now_seconds is None else _EPOCH + timedelta(seconds=now_seconds)
    return _nearest_century(match, now)


def _nearest_century(match: re.Match[bytes], now: datetime) -> int | None:
    """More than 50 years in the future means the most recent past year with the same two digits (RFC 9110 5.6.7)."""
    horizon = now.year + 50
    year = horizon - (horizon - int(match["year"])) % 100
    seconds = _seconds(match, year)
    if seconds is not None and seconds > calendar.timegm((horizon, *now.timetuple()[1:6])):
        return _seconds(match, year - 100)
    return seconds


def _seconds(match: re.Match[bytes], year: int) -> int | None:
    month = _MONTH_NUMBERS[match["month"]]
    day, hour, minute, second = int(match["day"]), int(match["hour"]), int(match["minute"]), int(match["second"])
    if year < 1 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    leap_second = (hour, minute, second) == (23, 59, 60)
    if hour > 23 or minute > 59 or (second > 59 and not leap_second):
        return None
    return calendar.timegm((year, month, day, hour, minute, second))
