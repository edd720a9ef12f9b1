# What is known of one request while it is being answered.
"""A request under way, and a file on its way to a client."""

from collections import deque
from collections.abc import Iterable

from wsrv.engine.http.fields import Fields
from wsrv.engine.http.head import RequestLine
from wsrv.engine.http.negotiation import AS_IT_IS, Acceptable
from wsrv.engine.http.ranges import Span
from wsrv.engine.settings import AuthRule
from wsrv.engine.static.file import OpenFile
from wsrv.engine.static.hosts import Host
from wsrv.engine.worker.prepared import Prepared


class Request:
    """A parsed request: its raw line for the log, and what its answer must do with the connection.

    `host`: the site that is asked. `extras`: fields of its answer that no other request's has. `shown`: the rule whose
    password it has shown, as `user`. `falls_back`: nothing was at its path, and it gets the index of an application.
    `cache`: hit, miss or negative, for the log, once the cache was asked.
    """

    __slots__ = (
        "accepted",
        "cache",
        "client",
        "extras",
        "falls_back",
        "fields",
        "front",
        "host",
        "line",
        "path",
        "persistent",
        "raw_line",
        "shown",
        "user",
    )

    def __init__(
        self,
        raw_line: bytes,
        line: RequestLine,
        fields: Fields,
        client: bytes,
        front: dict[bytes, Prepared] | None,
        persistent: bool,
        host: Host,
        accepted: Acceptable = AS_IT_IS,
    ) -> None:
        self.host = host
        self.extras: tuple[tuple[bytes, bytes], ...] = ()
        self.shown: AuthRule | None = None
        self.user = b""
        self.falls_back = False
        self.cache = b""
        self.raw_line = raw_line
        self.line = line
        self.fields = fields
        self.client = client
        self.front = front
        self.persistent = persistent
        self.accepted = accepted
        self.path = b""


class Stream:
    """An answer that is sent piece by piece: `parts` are bytes, head included, and spans of `file`.

    What it will have been is recorded before its last piece.
    """

    __slots__ = (
        "began_ns",
        "file",
        "head_bytes",
        "left_bytes",
        "parts",
        "recorded",
        "request",
        "sent_bytes",
        "status",
    )

    def __init__(
        self, request: Request, status: int, file: OpenFile, head: bytes, body: Iterable[bytes | Span]
    ) -> None:
        self.request = request
        self.status = status
        self.file = file
        self.head_bytes = len(head)
        self.parts: deque[bytes | memoryview | Span] = deque((head,))
        self.parts.extend(part for part in body if size_of(part))
        self.left_bytes = sum(map(size_of, self.parts))
        self.sent_bytes = 0
        self.recorded = False
        # Of its first piece.
        self.began_ns = 0

    def gone(self, count: int) -> None:
        """`count` bytes of the first part are sent."""
        self.sent_bytes += count
        self.left_bytes -= count
        part = self.parts.popleft()
        if count == size_of(part):
            return
        if isinstance(part, Span):
            self.parts.appendleft(Span(part.offset + count, part.length - count))
        else:
            self.parts.appendleft(memoryview(part)[count:])


def size_of(part: bytes | memoryview | Span) -> int:
    """The bytes of a part of a Stream."""
    return part.length if isinstance(part, Span) else len(part)
