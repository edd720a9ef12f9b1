# Requests that wait for what another worker is making: a page asked for by many at once is compressed once, not in each
# worker.
#
# Rule: whoever waits is looked after every few milliseconds, and goes on when it is made, or when its maker has died or
#       takes too long.
"""Waiting for other workers."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from wsrv.engine.static.site import Site
from wsrv.engine.worker.connection import NOTHING, WAIT, Connection, Connections
from wsrv.engine.worker.errands import Resumption
from wsrv.engine.worker.prepared import Shelf

# How long the loop may sleep while somebody waits. What is waited for takes some milliseconds, or some hundred.
LOOK_SECONDS = 0.004


class _Wait(NamedTuple):
    conn: Connection
    site: Site
    key: bytes
    look_again: Callable[[int], None]


class Patience:
    """Connections that wait, each with what it waits for."""

    def __init__(self, connections: Connections, shelf: Shelf) -> None:
        self._connections = connections
        self._shelf = shelf
        self._waiting: list[_Wait] = []

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def wait(self, conn: Connection, site: Site, key: bytes, look_again: Callable[[int], None], now_ns: int) -> None:
        """Let `conn` wait while another worker makes what belongs to `key`; then call `look_again` with the time."""
        self._connections.want(conn, WAIT, NOTHING, now_ns)
        self._waiting.append(_Wait(conn, site, key, look_again))

    def over(self, now_ns: int) -> list[Resumption]:
        """Those who need not wait any more, and how they go on."""
        taken: list[_Wait] = []
        over: list[_Wait] = []
        for wait in self._waiting:
            (taken if self._shelf.is_claimed(wait.site, wait.key, now_ns) else over).append(wait)
        self._waiting = taken
        return [(wait.conn, partial(wait.look_again, now_ns)) for wait in over]
