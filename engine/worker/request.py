# What is known of one request while it is being answered.
"""A request under way, and a file on its way to a client."""

from wsrv.engine.http.fields import Fields
from wsrv.engine.http.head import RequestLine
from wsrv.engine.worker.prepared import Prepared


class Request:
    """A parsed request: its raw line for the log, and what its answer must do with the connection."""

    __slots__ = ("client", "fields", "front", "line", "path", "persistent", "raw_line")

    def __init__(
        self,
        raw_line: bytes,
        line: RequestLine,
        fields: Fields,
        client: bytes,
        front: dict[bytes, Prepared] | None,
        persistent: bool,
    ) -> None:
        self.raw_line = raw_line
        self.line = line
        self.fields = fields
        self.client = client
        self.front = front
        self.persistent = persistent
        self.path = b""


class Stream:
    """A file that is sent piece by piece; what it will have been is recorded before its last piece."""

    __slots__ = ("fd", "head_bytes", "left_bytes", "offset", "request", "status")

    def __init__(self, request: Request, status: int, fd: int, left_bytes: int, head_bytes: int) -> None:
        self.request = request
        self.status = status
        self.fd = fd
        self.offset = 0
        self.left_bytes = left_bytes
        # Zero once the stream is recorded.
        self.head_bytes = head_bytes
