# How a line of the access log is put together.
#
# A line is five pieces in a row, so that the hot path only joins what was prepared before:
#
#   opening(peer)   made once a connection
#   stamp(epoch)    made once a second
#   request line    as it came, escaped when it is not one of ours to trust
#   outcome(...)    made once a prebuilt response
#   client(...)     made once a remembered field block; ends the line
"""Formats of the access log, by name."""

import time
from typing import ClassVar, Protocol

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Format(Protocol):
    """A log format: five pieces of bytes that join into one line."""

    NAME: ClassVar[str]

    @staticmethod
    def opening(peer: bytes) -> bytes:
        """What stands before the time; `peer` is the client address as text."""

    @staticmethod
    def named(opening: bytes, user: bytes) -> bytes:
        """`opening` for a request of `user`, a name that was escaped already."""

    @staticmethod
    def stamp(epoch_seconds: int) -> bytes:
        """The time, and what stands between it and the request line."""

    @staticmethod
    def outcome(status: int, body_bytes: int) -> bytes:
        """What follows the request line: the status and the bytes of the body that were sent."""

    @staticmethod
    def client(referer: bytes, user_agent: bytes) -> bytes:
        """What the client said of itself, escaped already, and the end of the line."""


def local_offset(moment: time.struct_time) -> str:
    """The offset of local time from UTC at `moment`, as +hhmm."""
    minutes = moment.tm_gmtoff // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


class Combined:
    """The Combined Log Format of Apache httpd: what goaccess and its kind read without being told."""

    NAME: ClassVar[str] = "combined"

    @staticmethod
    def opening(peer: bytes) -> bytes:
        return peer + b" - - ["

    @staticmethod
    def named(opening: bytes, user: bytes) -> bytes:
        # The field ends at a space.
        return opening.removesuffix(b"- [") + user.replace(b" ", b"\\x20") + b" ["

    @staticmethod
    def stamp(epoch_seconds: int) -> bytes:
        t = time.localtime(epoch_seconds)
        day = f"{t.tm_mday:02d}/{_MONTHS[t.tm_mon - 1]}/{t.tm_year}"
        return f'{day}:{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} {local_offset(t)}] "'.encode()

    @staticmethod
    def outcome(status: int, body_bytes: int) -> bytes:
        return b'" %d %d ' % (status, body_bytes)

    @staticmethod
    def client(referer: bytes, user_agent: bytes) -> bytes:
        return b'"%b" "%b"\n' % (referer or b"-", user_agent or b"-")


FORMATS: dict[str, type[Format]] = {Combined.NAME: Combined}
