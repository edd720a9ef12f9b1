# A row of the table of raw requests, and what came back for one.
"""Raw requests, what each must get, and answers taken apart."""

import re
from typing import NamedTuple

# Sent behind each row: whether it is answered says where the server saw the row's end.
SECOND = b"GET /second HTTP/1.1\r\nHost: second\r\nConnection: close\r\n\r\n"
SECOND_BODY = b"the second"
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")
_BODILESS = (204, 304)


class Raw(NamedTuple):
    """Bytes, and what they must get: the allowed statuses of each answer, and whether the connection `stays`.

    `section`: of RFC 9112, unless it says another.
    """

    section: str
    sent: bytes
    gets: tuple[tuple[int, ...], ...]
    stays: bool


def ok(section: str, sent: bytes, answers: int = 1) -> Raw:
    """As many answers 200, and the connection stays."""
    return Raw(section, sent, ((200,),) * answers, True)


def last(section: str, sent: bytes) -> Raw:
    """200, and the connection is closed."""
    return Raw(section, sent, ((200,),), False)


def kept(section: str, sent: bytes, *statuses: int) -> Raw:
    """One of `statuses`; where the request ends is known, so the connection stays."""
    return Raw(section, sent, (statuses,), True)


def bad(section: str, sent: bytes, *statuses: int) -> Raw:
    """One of `statuses`, 400 when none is given, and the connection is closed: what follows cannot be trusted."""
    return Raw(section, sent, (statuses or (400,),), False)


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    """A head of these field lines; without the Host where `host` is empty."""
    return b"".join(part + b"\r\n" for part in (line, *filter(None, (host,)), *fields, b""))


def chunked(body: bytes) -> bytes:
    """A GET with this body, framing included."""
    return get(b"Transfer-Encoding: chunked") + body


class Received(NamedTuple):
    """One final answer."""

    status: int
    head: bytes
    body: bytes


def answers_in(received: bytes, *, to_head: bool = False) -> list[Received]:
    """The final answers in `received`, to the last byte. Interim ones are passed over; with `to_head` the first is to
    HEAD."""
    found: list[Received] = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        assert end, f"a head without an end: {received!r}"
        status = int(head[len(b"HTTP/1.1 ") :][:3])
        assert head.startswith(b"HTTP/1.1 %d " % status), f"no answer: {head!r}"
        length = 0
        if status >= 200 and status not in _BODILESS:
            stated = _LENGTH.search(head + b"\r\n")
            assert stated, f"no length: {head!r}"
            length = 0 if to_head and not found else int(stated[1])
        assert len(rest) >= length, "cut off in a body"
        if status >= 200:
            found.append(Received(status, head, rest[:length]))
        received = rest[length:]
    return found
