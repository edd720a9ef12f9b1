# What lines of access logs and traces say of the objects that were asked for.
#
#   combined   ADDRESS - USER [TIME] "METHOD TARGET VERSION" STATUS BYTES …      ours, Apache's and nginx's; common, too
#   json       one object a line, under the names that servers give these things (see below)
#   csv        TIME,KEY,SIZE; or in the order in which the first line names its columns, others among them
#
# Rule: a line is an Entry, or a Malformed that says why not; whether the entry counts is not decided here.
"""Lines of access logs and traces, read one at a time."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes


class Malformed(ValueError):
    """The line is not what its format has; the message completes "… is "."""


class Entry(NamedTuple):
    """A request, as a line has it.

    `size_bytes` is None where the line does not say it. Method and status are those of a plain GET where the format
    knows neither. `moment` is what the line calls the time.
    """

    key: bytes
    size_bytes: int | None
    method: bytes
    status: int
    moment: str


Read = Callable[[bytes], Entry]

# The first line of a CSV that has one for the names: three words or more, none of which is a number. Possessive, as
# what follows is bounded: a line of 256 KiB must not take the square of its length.
_HEADING = re.compile(rb' *+"?[A-Za-z_][^,"]*+"?(?: *+, *+"?[A-Za-z_][^,"]*+"?){2,}+\s*')

# What the columns of a CSV are called: time, key, size. The first of these that is there counts.
_COLUMNS = (
    ("time", "timestamp", "clock_time", "ts", "seconds"),
    ("key", "obj_id", "object_id", "object", "obj", "url", "uri", "path", "id"),
    ("size", "obj_size", "object_size", "size_bytes", "bytes", "length"),
)

_COMBINED = re.compile(
    rb'\[([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[^\]]{,40})\] "((?:[^"\\]|\\.)*)" ([0-9]{3}) ([0-9]{1,18}|-)(?=\s|$)',
    re.DOTALL,
)
_ESCAPE = re.compile(rb'\\(?:x([0-9A-Fa-f]{2})|(["\\]))')

# The first name that is there counts: this server's, then those of nginx's usual formats, Caddy, Traefik, Apache.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "status": ("status", "status_code", "DownstreamStatus", "code"),
    "bytes": ("bytes", "body_bytes_sent", "bytes_sent", "size", "DownstreamContentSize", "body_bytes"),
    "method": ("method", "request_method", "RequestMethod"),
    "target": ("target", "path", "request_uri", "uri", "RequestPath", "url"),
    "host": ("host", "http_host", "vhost", "RequestHost"),
    "time": ("time", "timestamp", "@timestamp", "time_iso8601", "time_local", "ts", "msec", "StartUTC"),
}


def combined(line: bytes) -> Entry:
    """A line in Combined or Common Log Format. Raises Malformed."""
    found = _COMBINED.search(line)
    if found is None:
        raise Malformed("no line of an access log")
    moment, request, status, size = found.groups()
    method, target = _request_line(_ESCAPE.sub(_unescaped, request) if b"\\" in request else request)
    size_bytes = 0 if size == b"-" else int(size)
    return Entry(key_of(target), size_bytes, method, int(status), moment.decode("latin-1"))


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),)) if match[1] else match[2]


def _request_line(line: bytes) -> tuple[bytes, bytes]:
    words = line.split(b" ")
    if len(words) < 2:
        # Refused before there was a method or a target: logged, and no request for anything.
        return b"", line
    return words[0], words[1]


def said_in(line: bytes, wanted: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], str | None]:
    """What a line that is a JSON object says under the first of the names of each thing that is wanted, and the request
    line, if it has one. Raises Malformed.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if not isinstance(said, dict):
        raise Malformed("JSON, but no object")
    request = said.get("request")
    if isinstance(request, dict):  # Caddy
        said = {**request, **said}
    found = {what: next((said[name] for name in names if name in said), None) for what, names in wanted.items()}
    return found, request if isinstance(request, str) else None


def json_line(line: bytes) -> Entry:
    """A line that is a JSON object. Raises Malformed."""
    found, request = said_in(line, _NAMES)
    if request is not None and found["target"] is None:
        method, target = _request_line(_text(request))
    else:
        method, target = _text(found["method"]) or b"GET", _text(found["target"])
    status, size = _number(found["status"]), _number(found["bytes"])
    if status is None or not target:
        raise Malformed(f"JSON without a {'status' if status is None else 'target'}")
    key = key_of(target)
    if host := _text(found["host"]):
        key = host.lower() + key
    return Entry(key, size, method, status, str(found["time"] if found["time"] is not None else ""))


def _text(value: Any) -> bytes:
    # JSON may spell half a character, \ud800, which is text to Python and no UTF-8.
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""


def _number(value: Any) -> int | None:
    try:
        return None if value is None or isinstance(value, bool) else int(value)
    except (ValueError, TypeError, OverflowError):
        return None


def csv_line(line: bytes) -> Entry:
    """A line TIME,KEY,SIZE; the key may have commas in it, and may be quoted. Raises Malformed."""
    moment, _, rest = line.strip().partition(b",")
    key, comma, size = rest.rpartition(b",")
    if not comma:
        raise Malformed("not time,key,size")
    if len(key) > 1 and key[:1] == key[-1:] == b'"':
        key = key[1:-1].replace(b'""', b'"')
    return _csv_entry(moment.strip(b' "'), key, size.strip(b' "'))


def _csv_entry(moment: bytes, key: bytes, size: bytes) -> Entry:
    text = moment.decode("latin-1")
    if seconds_of(text) is None:
        raise Malformed(f"without a time: {text[:40]!r}")
    if not key:
        raise Malformed("without a key")
    size_bytes = _whole(size)
    if size_bytes is None:
        raise Malformed(f"without a size in bytes: {size[:40].decode('latin-1')!r}")
    return Entry(key, size_bytes, b"GET", 200, text)


def _whole(text: bytes) -> int | None:
    """A number of bytes; 12.0 is one, too."""
    for read in (int, float):
        try:
            number = read(text)
            return int(number) if number >= 0 and number == int(number) else None
        except (ValueError, OverflowError):
            pass
    return None


def csv_below(line: bytes) -> Read | None:
    """How to read the lines below this one, when it names the columns of a CSV; None when it does not.

    Columns that are not called by a usual name are taken to be TIME,KEY,SIZE.
    """
    if not _HEADING.fullmatch(line):
        return None
    names = [word.strip(b' "').lower().decode("latin-1") for word in line.strip().split(b",")]
    if len(names) == 3 and not _places(names):
        return csv_line
    places = _places(names)
    if places is None:
        return None
    return csv_line if places == (0, 1, 2) == tuple(range(len(names))) else _columns(places, len(names))


def _places(names: Sequence[str]) -> tuple[int, int, int] | None:
    """Where time, key and size stand; None unless each has a column."""
    time, key, size = (next((names.index(word) for word in words if word in names), -1) for words in _COLUMNS)
    return None if min(time, key, size) < 0 else (time, key, size)


def _columns(places: tuple[int, int, int], count: int) -> Read:
    def read(line: bytes) -> Entry:
        try:
            # Latin-1 has a character for each byte, so the key comes out as it went in.
            words = next(csv.reader([line.decode("latin-1").rstrip("\r\n")], strict=True))
        except (csv.Error, StopIteration) as error:
            raise Malformed("not CSV") from error
        if len(words) != count:
            raise Malformed(f"of {len(words)} columns, not of {count}")
        moment, key, size = (words[place].encode("latin-1") for place in places)
        return _csv_entry(moment.strip(), key, size.strip())

    return read


CSV = "CSV"
FORMATS: Mapping[str, Read] = {"JSON": json_line, CSV: csv_line, "combined": combined}


class Way(NamedTuple):
    """How the lines of a file are read, by the name of its format; whether they begin below the line that tells."""

    name: str
    read: Read
    begins_below: bool


def recognise(line: bytes) -> Way:
    """By the first format that can read the line, or by the columns that it names. Raises Malformed."""
    below = csv_below(line)
    if below is not None:
        return Way(CSV, below, begins_below=True)
    for name, read in FORMATS.items():
        try:
            read(line)
        except Malformed:
            continue
        return Way(name, read, begins_below=False)
    raise Malformed("no line of an access log, and not time,key,size")


def key_of(target: bytes) -> bytes:
    """The path that a target names: without a query, decoded; of an absolute one what follows the authority."""
    path = target.partition(b"?")[0].partition(b"#")[0]
    if not path.startswith(b"/") and b"://" in path:
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
    return unquote_to_bytes(path) if b"%" in path else path


def seconds_of(moment: str) -> float | None:
    """The time as seconds: a number is some seconds already, else it is ISO 8601 or that of an access log."""
    try:
        return float(moment)
    except ValueError:
        pass
    for read in (datetime.fromisoformat, _log_time):
        try:
            return read(moment).timestamp()
        except (ValueError, OverflowError):
            pass
    return None


def _log_time(moment: str) -> datetime:
    return datetime.strptime(moment, "%d/%b/%Y:%H:%M:%S %z")
