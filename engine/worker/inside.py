# Paths of the server's own: `/_wsrv/` and what is below.
#
# Rule 1: shown to whom `access.py` says.
# Rule 2: counted as internal, not logged, not cached.
# Rule 3: what the server counts is the master's to say. The worker asks it over their line and goes on; the request
#         waits.
"""Answering requests for the server's own pages."""

import json
import socket
from collections.abc import Callable, Iterable, Iterator

from wsrv.engine.http.accept import prefers_openmetrics
from wsrv.engine.settings import StatusSettings
from wsrv.engine.static.entity import Entity, of_bytes
from wsrv.engine.worker.access import Access
from wsrv.engine.worker.asking import METRICS, OPENMETRICS, READY, STATS, UNANSWERED, Asking
from wsrv.engine.worker.connection import NOTHING, WAIT, Connection, Connections
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.request import Request
from wsrv.engine.worker.status_page import render

PREFIX = b"/_wsrv/"
HEALTH_PATH, READY_PATH = PREFIX + b"health", PREFIX + b"ready"
METRICS_PATH = PREFIX + b"metrics"

_NO_STORE = ((b"Cache-Control", b"no-store"),)
_HTML, _JSON, _TEXT = b"text/html; charset=utf-8", b"application/json", b"text/plain; charset=utf-8"
_METRICS = {
    METRICS: b"text/plain; version=0.0.4; charset=utf-8",
    OPENMETRICS: b"application/openmetrics-text; version=1.0.0; charset=utf-8",
}

Waiting = tuple[Connection, Request]


class Inside:
    """Answers for paths below PREFIX. `line` leads to the master: a pair of SOCK_SEQPACKET, non-blocking."""

    def __init__(
        self,
        settings: StatusSettings,
        line: socket.socket,
        connections: Connections,
        delivery: Delivery,
        shelf: Shelf,
    ) -> None:
        self._access = Access(settings)
        self._asking: Asking[Waiting] = Asking(line)
        self._connections = connections
        self._delivery = delivery
        self._shelf = shelf
        # What is made of the master's word.
        self._told: dict[bytes, Callable[[Request, bytes], Entity]] = {
            PREFIX: lambda _, text: _entity(_HTML, render(json.loads(text))),
            PREFIX + b"stats.json": lambda _, text: _entity(_JSON, text + b"\n"),
            METRICS_PATH: lambda request, text: _metrics(request, text),
            READY_PATH: lambda _, text: _entity(_TEXT, text, 200 if text == b"ready\n" else 503),
        }

    def begin(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer a request for a path below PREFIX, or have the answer told."""
        path = request.line.path
        allows = self._access.may_probe if path in (HEALTH_PATH, READY_PATH) else self._access.may_see
        if not allows(conn, request):
            self._delivery.internal(conn, request, self._shelf.error(403, now_ns))
        elif path == HEALTH_PATH:
            self._delivery.internal(conn, request, _entity(_TEXT, b"ok\n"))
        elif path not in self._told:
            self._delivery.internal(conn, request, self._shelf.error(404, now_ns))
        elif self._asking.ask(_question(request), (conn, request), now_ns):
            self._connections.want(conn, WAIT, NOTHING, now_ns)
        else:
            self._delivery.internal(conn, request, self._shelf.error(503, now_ns))

    def told(self, now_ns: int) -> Iterator[tuple[Connection, Request, Entity]]:
        """What the master has said, and to whom it is to be passed on."""
        for text, waiting in self._asking.heard():
            yield from self._answers(waiting, text, now_ns)

    def overdue(self, now_ns: int) -> Iterator[tuple[Connection, Request, Entity]]:
        """Who has waited for the master for too long, and what they are told instead."""
        yield from self._answers(self._asking.overdue(now_ns), UNANSWERED, now_ns)

    def _answers(
        self, waiting: Iterable[Waiting], text: bytes, now_ns: int
    ) -> Iterator[tuple[Connection, Request, Entity]]:
        made: dict[bytes, Entity] = {}
        for conn, request in waiting:
            path = request.line.path
            if path not in made:
                failed = text == UNANSWERED
                made[path] = self._shelf.error(503, now_ns) if failed else self._told[path](request, text)
            yield conn, request, made[path]

    def resume(self, conn: Connection, request: Request, entity: Entity) -> None:
        """Answer a request that waited."""
        self._delivery.internal(conn, request, entity)


def _question(request: Request) -> bytes:
    """What the master is asked for it."""
    path = request.line.path
    if path == METRICS_PATH:
        return OPENMETRICS if prefers_openmetrics(request.fields.get(b"accept")) else METRICS
    return READY if path == READY_PATH else STATS


def _metrics(request: Request, text: bytes) -> Entity:
    return of_bytes(200, _METRICS[_question(request)], text, (*_NO_STORE, (b"Vary", b"Accept")))


def _entity(kind: bytes, body: bytes, status: int = 200) -> Entity:
    return of_bytes(status, kind, body, _NO_STORE)
