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
from wsrv.engine.worker.asking import HISTORY, LIVE, METRICS, OPENMETRICS, READY, STATS, UNANSWERED, Asking
from wsrv.engine.worker.connection import NOTHING, WAIT, Connection, Connections
from wsrv.engine.worker.dashboard import Dashboard
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.request import Request
from wsrv.engine.worker.streams import KIND, Streams

PREFIX = b"/_wsrv/"
_HEALTH, _READY = PREFIX + b"health", PREFIX + b"ready"
_METRICS, _EVENTS = PREFIX + b"metrics", PREFIX + b"events"

_NO_STORE = ((b"Cache-Control", b"no-store"),)
_JSON, _TEXT = b"application/json", b"text/plain; charset=utf-8"
_METRICS_KINDS = {
    METRICS: b"text/plain; version=0.0.4; charset=utf-8",
    OPENMETRICS: b"application/openmetrics-text; version=1.0.0; charset=utf-8",
}

# Who waits for the master: a request, or the streams (None).
Waiting = tuple[Connection, Request]
Made = Callable[[Request, bytes], Entity]


def _dashboard(settings: StatusSettings) -> Dashboard | None:
    """The dashboard, where there is one and this process may read it; the master has warned if not."""
    try:
        return None if settings.pages is None else Dashboard(settings.pages)
    except PermissionError:
        return None


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
        self._asking: Asking[Waiting | None] = Asking(line)
        self._connections = connections
        self._delivery = delivery
        self._shelf = shelf
        self._streams = Streams(connections, delivery, lambda now_ns: self._asking.ask(LIVE, None, now_ns))
        # What is made of the master's word, and what is there without it.
        self._told: dict[bytes, Made] = {
            PREFIX + b"stats.json": lambda _, text: _entity(_JSON, text + b"\n"),
            PREFIX + b"live.json": lambda _, text: _entity(_JSON, text + b"\n"),
            PREFIX + b"history.json": lambda _, text: _entity(_JSON, text + b"\n"),
            _METRICS: _metrics,
            _READY: lambda _, text: _entity(_TEXT, text, 200 if text == b"ready\n" else 503),
        }
        self._here = {_HEALTH: _entity(_TEXT, b"ok\n")}
        dashboard = _dashboard(settings)
        if dashboard is not None:
            self._told[PREFIX] = lambda _, text: dashboard.page(json.loads(text))
            self._here |= {PREFIX + name: entity for name, entity in dashboard.files.items()}

    def begin(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer a request for a path below PREFIX, or have the answer told."""
        path = request.line.path
        allows = self._access.may_probe if path in (_HEALTH, _READY) else self._access.may_see
        if not allows(conn, request):
            self._error(conn, request, 403, now_ns)
        elif (entity := self._here.get(path)) is not None:
            self._delivery.internal(conn, request, entity)
        elif path == _EVENTS:
            self._begin_events(conn, request, now_ns)
        elif path not in self._told:
            self._error(conn, request, 404, now_ns)
        elif self._asking.ask(_question(request), (conn, request), now_ns):
            self._connections.want(conn, WAIT, NOTHING, now_ns)
        else:
            self._error(conn, request, 503, now_ns)

    def _begin_events(self, conn: Connection, request: Request, now_ns: int) -> None:
        if request.line.method == b"HEAD":
            self._delivery.internal(conn, request, _entity(KIND, b""))
        elif not self._streams.begin(conn, now_ns):
            self._error(conn, request, 503, now_ns)

    def _error(self, conn: Connection, request: Request, status: int, now_ns: int) -> None:
        self._delivery.internal(conn, request, self._shelf.error(status, now_ns))

    def told(self, now_ns: int) -> Iterator[tuple[Connection, Request, Entity]]:
        """What the master has said, and to whom it is to be passed on."""
        for text, waiting in self._asking.heard():
            yield from self._pass_on(waiting, text, now_ns)

    def overdue(self, now_ns: int) -> Iterator[tuple[Connection, Request, Entity]]:
        """Who has waited for the master for too long, and what they are told instead."""
        yield from self._pass_on(self._asking.overdue(now_ns), UNANSWERED, now_ns)

    def tick(self, now_ns: int) -> None:
        """A few times a second: look after the streams."""
        self._streams.tick(now_ns)

    def drain(self) -> None:
        """Close the streams, and begin no more."""
        self._streams.end()

    def _pass_on(
        self, waiting: Iterable[Waiting | None], text: bytes, now_ns: int
    ) -> Iterator[tuple[Connection, Request, Entity]]:
        made: dict[bytes, Entity] = {}
        for who in waiting:
            if who is None:
                self._streams.heard(text, now_ns)
                continue
            conn, request = who
            path = request.line.path
            if path not in made:
                failed = text == UNANSWERED
                made[path] = self._shelf.error(503, now_ns) if failed else self._told[path](request, text)
            yield conn, request, made[path]

    def resume(self, conn: Connection, request: Request, entity: Entity) -> None:
        """Answer a request that waited."""
        self._delivery.internal(conn, request, entity)


_QUESTIONS = {_READY: READY, PREFIX + b"live.json": LIVE, PREFIX + b"history.json": HISTORY}


def _question(request: Request) -> bytes:
    """What the master is asked for it."""
    path = request.line.path
    if path == _METRICS:
        return OPENMETRICS if prefers_openmetrics(request.fields.get(b"accept")) else METRICS
    return _QUESTIONS.get(path, STATS)


def _metrics(request: Request, text: bytes) -> Entity:
    return of_bytes(200, _METRICS_KINDS[_question(request)], text, (*_NO_STORE, (b"Vary", b"Accept")))


def _entity(kind: bytes, body: bytes, status: int = 200) -> Entity:
    return of_bytes(status, kind, body, _NO_STORE)
