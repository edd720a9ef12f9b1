# A line of an access log, taken apart for people and filters: all that it says, under one set of names.
#
#   combined, common   ADDRESS IDENT USER [TIME] "METHOD TARGET VERSION" STATUS BYTES ["REFERER" "USER-AGENT"]
#   json               an object a line, under our names (jsonlines.py) or those of nginx, Caddy and Traefik
#
# Rule 1: text stays escaped as it was, so it can be printed again.
# Rule 2: nothing here needs the system that a server needs.
"""Lines of access logs, whole."""

import functools
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from wsrv.engine.log.entries import Malformed, said_in, seconds_of

_LINE = re.compile(
    rb"(\S++) \S++ (.*?) \[([^\]]++)\] "
    rb'"((?:[^"\\]|\\.)*+)" ([0-9]{3}) ([0-9]{1,18}|-)(?: "((?:[^"\\]|\\.)*+)" "((?:[^"\\]|\\.)*+)")?.*+',
    re.DOTALL,
)

# What our own JSON calls it, and what others do. The first name that is there counts.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "timestamp", "@timestamp", "time_iso8601", "time_local", "ts", "msec", "StartUTC"),
    "client": ("client", "remote_addr", "remote_ip", "client_ip", "ClientHost"),
    "user": ("user", "remote_user", "user_id", "ClientUsername"),
    "method": ("method", "request_method", "RequestMethod"),
    "target": ("target", "request_uri", "uri", "RequestPath", "path", "url"),
    "protocol": ("protocol", "server_protocol", "proto", "RequestProtocol"),
    "status": ("status", "status_code", "DownstreamStatus", "code"),
    "bytes": ("bytes", "body_bytes_sent", "bytes_sent", "size", "DownstreamContentSize"),
    "referer": ("referer", "http_referer"),
    "user_agent": ("user_agent", "http_user_agent"),
    "host": ("host", "http_host", "vhost", "RequestHost"),
    "duration": ("duration", "request_time"),
    "worker": ("worker",),
    "cache": ("cache",),
    "tls": ("tls", "ssl_protocol"),
    "request_id": ("request_id",),
}


class Line(NamedTuple):
    """What a line says; None where it says nothing. `is_json`: it may say more than the classic formats can."""

    time: str
    client: str
    user: str | None
    method: str | None
    target: str
    protocol: str | None
    status: int
    bytes: int
    referer: str | None = None
    user_agent: str | None = None
    host: str | None = None
    duration: float | None = None
    worker: int | None = None
    cache: str | None = None
    tls: str | None = None
    request_id: str | None = None
    is_json: bool = False

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def document(self) -> dict[str, Any]:
        """As our own JSON has it, the time in RFC 3339."""
        said = self._asdict()
        del said["is_json"]
        said["time"] = rfc3339(self.time)
        return said


def parse(text: bytes) -> Line:
    """The line in `text`, without its end. Raises Malformed."""
    return _from_json(text) if text.lstrip()[:1] == b"{" else _classic(text)


def _classic(text: bytes) -> Line:
    match = _LINE.fullmatch(text)
    if match is None:
        raise Malformed("no line of an access log")
    client, user, moment, request, status, size, referer, agent = (
        None if found is None else found.decode("utf-8", "replace") for found in match.groups()
    )
    assert client is not None, "only the last two may be missing"
    method, target, protocol = _words(request or "")
    return Line(
        moment or "",
        client,
        _said(user),
        method,
        target,
        protocol,
        int(status or 0),
        0 if size in (None, "-") else int(size or 0),
        _said(referer),
        _said(agent),
    )


def _words(request: str) -> tuple[str | None, str, str | None]:
    """Method, target and version; of what is no request line, all of it for the target."""
    words = request.split(" ")
    return (words[0], words[1], words[2]) if len(words) == 3 else (None, request, None)


def _said(text: str | None) -> str | None:
    return None if text in (None, "-", "") else text


def _from_json(text: bytes) -> Line:
    found, request = said_in(text, _NAMES)
    if request is not None and found["target"] is None:
        found["method"], found["target"], found["protocol"] = _words(request)
    status, target = _whole(found["status"]), _text(found["target"])
    if status is None or target is None:
        raise Malformed(f"JSON without a {'status' if status is None else 'target'}")
    texts = {name: _text(found[name]) for name in ("user", "method", "protocol", "referer", "user_agent", "host")}
    return Line(
        time=_text(found["time"]) or "",
        client=_text(found["client"]) or "-",
        target=target,
        status=status,
        bytes=_whole(found["bytes"]) or 0,
        duration=_seconds(found["duration"]),
        worker=_whole(found["worker"]),
        cache=_text(found["cache"]),
        tls=_text(found["tls"]),
        request_id=_text(found["request_id"]),
        is_json=True,
        **texts,
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, (dict, list, bool)):
        return None
    # Half a character, \ud800, is text to Python, and cannot be printed.
    return str(value).encode("utf-8", "replace").decode() or None


def _whole(value: Any) -> int | None:
    try:
        return None if value is None or isinstance(value, bool) else int(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds(value: Any) -> float | None:
    try:
        seconds = None if value is None or isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # Python reads NaN and Infinity, and nobody else does.
    return seconds if seconds is not None and math.isfinite(seconds) else None


@functools.lru_cache(maxsize=256)
def epoch_of(moment: str) -> float | None:
    """The time as seconds; many lines have the same."""
    return seconds_of(moment)


@functools.lru_cache(maxsize=256)
def rfc3339(moment: str) -> str:
    """The time of a log in RFC 3339; what is none stays as it is."""
    from datetime import datetime

    try:
        return datetime.strptime(moment, "%d/%b/%Y:%H:%M:%S %z").isoformat()
    except ValueError:
        return moment
