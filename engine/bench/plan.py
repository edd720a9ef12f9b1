# What is to be asked, of whom, and how often. Made once, before any process of the generator is forked.
"""The plan of a run."""

import ssl
from dataclasses import dataclass, replace

# One IPv4 or IPv6 address with its port, or the path of a Unix socket.
Address = tuple[str, int] | str


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS: the server's `name`, and whether its certificate must hold for it."""

    name: str
    is_verified: bool = True

    def context(self) -> ssl.SSLContext:
        """What the connections of a process share."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        if not self.is_verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes.

    `requests` are heads ready to send; `picks` the order in which they are sent, by number, over and over.
    `number` ends the run after so many answers, `seconds` after so long; one of them is None.
    `rate` is how many requests a second are due, however fast the answers come; None to send when an answer has come.
    `pipeline` is how many requests are sent before the first answer of a connection is waited for.
    """

    address: Address
    requests: tuple[bytes, ...]
    picks: tuple[int, ...]
    connections: int
    number: int | None
    seconds: float | None
    keep_alive: bool = True
    pipeline: int = 1
    rate: float | None = None
    timeout_seconds: float = 30.0
    warm_up_seconds: float = 0.0
    tls: Tls | None = None

    def share(self, number: int, processes: int) -> "Plan":
        """What process `number` of `processes` does of it. The shares add up."""
        first = len(self.picks) * number // processes
        return replace(
            self,
            picks=self.picks[first:] + self.picks[:first],
            connections=_share(self.connections, number, processes),
            number=None if self.number is None else _share(self.number, number, processes),
            rate=None if self.rate is None else self.rate / processes,
        )


def _share(whole: int, number: int, processes: int) -> int:
    return whole * (number + 1) // processes - whole * number // processes
