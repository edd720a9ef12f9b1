# Paths of the server's own: `/_wsrv/` and what is below.
#
# Rule 1: shown only to an allowed client address that asks for an allowed host, and never through a proxy that is not
#         named: a page on some web site could make a browser here ask (DNS rebinding), and a proxy hides who asks.
# Rule 2: counted as internal, not logged, not cached.
# Rule 3: what the server counts is the master's to say. The worker asks it over their line and goes on; the request
#         waits. One question is out at a time, so the line is never too full for the answer: whoever comes while it is
#         out waits for the next one, which is for all of them.
"""Answering requests for the server's own pages."""

import ipaddress
import json
import socket
from collections.abc import Iterator

from wsrv.engine.http.head import host_of
from wsrv.engine.settings import UNIX, StatusSettings
from wsrv.engine.static.entity import Entity, of_bytes
from wsrv.engine.worker.connection import NOTHING, WAIT, Connection, Connections
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.request import Request
from wsrv.engine.worker.status_page import render

PREFIX = b"/_wsrv/"
# What is asked of the master, and the longest answer. A document that the line does not take, as that of some hundreds
# of workers, is UNANSWERED: a question without an answer would be the last one.
STATS = b"stats"
MOST_BYTES = 128 * 1024
UNANSWERED = b"-"

_NO_STORE = ((b"Cache-Control", b"no-store"),)
_PAGES = {PREFIX: b"text/html; charset=utf-8", PREFIX + b"stats.json": b"application/json"}
_TELLTALES = (b"forwarded", b"x-forwarded-for", b"via")


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
        self._networks = [ipaddress.ip_network(network) for network in settings.allow if network != UNIX]
        # Not without being told: a proxy in front of the socket may pass on whoever comes, and say nothing of it.
        self._allows_unix = UNIX in settings.allow
        self._hosts = frozenset(host.lower().encode() for host in settings.hosts)
        self._line = line
        self._connections = connections
        self._delivery = delivery
        self._shelf = shelf
        # For whom the question is that is out, and for whom the next one will be.
        self._asked_for: list[tuple[Connection, Request]] = []
        self._behind: list[tuple[Connection, Request]] = []

    def begin(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer a request for a path below PREFIX, or have the answer told."""
        if not self._may_see(conn, request):
            self._delivery.internal(conn, request, self._shelf.error(403, now_ns))
            return
        if request.line.path not in _PAGES:
            self._delivery.internal(conn, request, self._shelf.error(404, now_ns))
            return
        if self._asked_for:
            self._behind.append((conn, request))
        elif self._ask():
            self._asked_for.append((conn, request))
        else:
            self._delivery.internal(conn, request, self._shelf.error(503, now_ns))
            return
        self._connections.want(conn, WAIT, NOTHING, now_ns)

    def _ask(self) -> bool:
        """Ask the master; whether the question is out."""
        try:
            self._line.send(STATS)
        except OSError:
            return False
        return True

    def told(self, now_ns: int) -> Iterator[tuple[Connection, Request, Entity]]:
        """What the master has said, and to whom it is to be passed on."""
        while True:
            try:
                text = self._line.recv(MOST_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:  # the master is gone, and had a question unread
                text = b""
            if not text:
                lost, self._asked_for, self._behind = [*self._asked_for, *self._behind], [], []
                yield from self._answers(lost, UNANSWERED, now_ns)
                return
            answered, self._asked_for, self._behind = self._asked_for, self._behind, []
            # Before anybody is answered, and asks again.
            lost = []
            if self._asked_for and not self._ask():
                lost, self._asked_for = self._asked_for, []
            yield from self._answers(answered, text, now_ns)
            yield from self._answers(lost, UNANSWERED, now_ns)

    def _answers(
        self, waiting: list[tuple[Connection, Request]], text: bytes, now_ns: int
    ) -> Iterator[tuple[Connection, Request, Entity]]:
        made: dict[bytes, Entity] = {}
        for conn, request in waiting:
            path = request.line.path
            if path not in made:
                made[path] = self._shelf.error(503, now_ns) if text == UNANSWERED else _page(_PAGES[path], text)
            yield conn, request, made[path]

    def resume(self, conn: Connection, request: Request, entity: Entity) -> None:
        """Answer a request that waited."""
        self._delivery.internal(conn, request, entity)

    def _may_see(self, conn: Connection, request: Request) -> bool:
        if not conn.is_told() and any(request.fields.get(name) is not None for name in _TELLTALES):
            return False
        return self._is_own_host(host_of(request.line, request.fields)) and self._is_allowed(conn)

    def _is_own_host(self, host: bytes) -> bool:
        if host == b"localhost" or host in self._hosts:
            return True
        try:
            return ipaddress.ip_address(host.decode("latin-1").strip("[]")).is_loopback
        except ValueError:
            return False

    def is_from_here(self, conn: Connection, request: Request) -> bool:
        """Whether the client sits at this machine: no proxy says that it asks for others."""
        if any(request.fields.get(name) is not None for name in _TELLTALES):
            return False
        try:
            address = conn.client_address()
        except OSError:
            return False
        if address is None:
            return False
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    def _is_allowed(self, conn: Connection) -> bool:
        try:
            address = conn.client_address()
        except OSError:
            return False
        if address is None:
            return self._allows_unix
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


def _page(kind: bytes, text: bytes) -> Entity:
    body = text + b"\n" if kind == b"application/json" else render(json.loads(text))
    return of_bytes(200, kind, body, _NO_STORE)
