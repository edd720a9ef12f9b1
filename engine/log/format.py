# How a line of the access log is put together.
#
# A line is five pieces, so that the hot path only collects what was prepared before:
#
#   opening(peer)   made once a connection
#   stamp(epoch)    made once a second
#   request line    as it came, escaped when it is not one of ours to trust
#   outcome(...)    made once a prebuilt response
#   client(...)     made once a remembered field block; ends the line
#
# Where a format has nothing to say of the single request (`weave` is None), a line is its pieces, joined.
"""Formats of the access log, by name."""

import time
from collections.abc import Callable
from typing import ClassVar, Protocol

from wsrv.engine.log.jsonlines import Json

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Makes the lines of a batch of hits out of their pieces, five a line, and of when the requests were found (ns).
Weave = Callable[[list[bytes], int], bytes]


class Format(Protocol):
    """A log format: five pieces of bytes make one line. Each worker has an object of its own."""

    @property
    def weave(self) -> Weave | None:
        """How the hot path makes its lines; None where it joins the pieces."""

    def opening(self, peer: bytes) -> bytes:
        """What is said of who asks; `peer` is the client address as text."""

    def named(self, opening: bytes, user: bytes) -> bytes:
        """`opening` for a request of `user`, a name that was escaped already."""

    def stamp(self, epoch_seconds: int) -> bytes:
        """What is said of the time."""

    def outcome(self, status: int, body_bytes: int) -> bytes:
        """What is said of the answer: the status and the bytes of the body that were sent."""

    def client(self, referer: bytes, user_agent: bytes, host: bytes = b"") -> bytes:
        """What the client said of itself and of whom it asks, escaped already; empty where it said nothing."""

    def line(self, pieces: tuple[bytes, bytes, bytes, bytes, bytes], began_ns: int, cache: bytes, tls: bytes) -> bytes:
        """The line of a request that began at `began_ns` of CLOCK_MONOTONIC. `cache`: hit, miss or nothing; `tls`: the
        version, or nothing."""


def local_offset(moment: time.struct_time) -> str:
    """The offset of local time from UTC at `moment`, as +hhmm."""
    minutes = moment.tm_gmtoff // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


class Combined:
    """The Combined Log Format of Apache httpd: what goaccess and its kind read without being told."""

    NAME: ClassVar[str] = "combined"

    def __init__(self, worker: int = 0) -> None:
        """No line says which worker wrote it."""

    @property
    def weave(self) -> Weave | None:
        return None

    def opening(self, peer: bytes) -> bytes:
        return peer + b" - - ["

    def named(self, opening: bytes, user: bytes) -> bytes:
        # The field ends at a space.
        return opening.removesuffix(b"- [") + user.replace(b" ", b"\\x20") + b" ["

    def stamp(self, epoch_seconds: int) -> bytes:
        t = time.localtime(epoch_seconds)
        day = f"{t.tm_mday:02d}/{_MONTHS[t.tm_mon - 1]}/{t.tm_year}"
        return f'{day}:{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} {local_offset(t)}] "'.encode()

    def outcome(self, status: int, body_bytes: int) -> bytes:
        return b'" %d %d ' % (status, body_bytes)

    def client(self, referer: bytes, user_agent: bytes, host: bytes = b"") -> bytes:
        return b'"%b" "%b"\n' % (referer or b"-", user_agent or b"-")

    def line(self, pieces: tuple[bytes, bytes, bytes, bytes, bytes], began_ns: int, cache: bytes, tls: bytes) -> bytes:
        return b"".join(pieces)


class Common(Combined):
    """The Common Log Format of Apache httpd: Combined without what the client said of itself."""

    NAME: ClassVar[str] = "common"

    def outcome(self, status: int, body_bytes: int) -> bytes:
        return b'" %d %d' % (status, body_bytes)

    def client(self, referer: bytes, user_agent: bytes, host: bytes = b"") -> bytes:
        return b"\n"


FORMATS: dict[str, type[Combined | Json]] = {format.NAME: format for format in (Combined, Common, Json)}
