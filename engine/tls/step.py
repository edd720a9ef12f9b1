# Apart from the session, so that whoever greets clients without TLS need not import ssl.
"""How far a handshake is, and how it can end."""

from enum import Enum


class Step(Enum):
    """How far a handshake is."""

    READS = "the client is to say something"
    WRITES = "the client is to take something"
    DONE = "the session stands"


class NotTls(OSError):
    """What the client sends is no TLS. `seen` is what came."""

    def __init__(self, seen: bytes) -> None:
        super().__init__("the client speaks no TLS")
        self.seen = seen
