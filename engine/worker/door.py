# Passwords at the door: who is let through to a path that is protected.
#
# Rule 1: an answer for a path that is protected is never shelved, so the hot path knows none: every request for it
#         comes by here.
# Rule 2: a request is let through for the rule whose password it has shown, and for no other: where a rewrite or a
#         fallback leads to another path, that path's rule is asked too.
# Rule 3: passwords are tried out one at a time, and few wait for it; the others get 503. Who floods the server with
#         guesses delays those whose password is not remembered, and nobody else.
"""Letting requests through to protected paths."""

from collections.abc import Callable
from dataclasses import replace

from wsrv.engine.http.basic import Credentials, challenge, credentials_in
from wsrv.engine.settings import AuthRule
from wsrv.engine.worker.answering import Answering
from wsrv.engine.worker.connection import Connection
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.doorman import Doorman
from wsrv.engine.worker.errands import PASSWORDS, Errand
from wsrv.engine.worker.pool import Finished
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.request import Request

# What is done for a request once it is let through.
Onward = Callable[[Connection, Request, int], None]

# An answer that depends on who asks, and says that nobody is to keep it.
_NO_STORE = (b"Cache-Control", b"no-store")


class Door:
    """Asks for passwords, and has them tried out."""

    def __init__(self, doorman: Doorman, answering: Answering, delivery: Delivery, shelf: Shelf) -> None:
        self._doorman = doorman
        self._answering = answering
        self._delivery = delivery
        self._shelf = shelf

    def open(self, conn: Connection, request: Request, path: bytes, onward: Onward, now_ns: int) -> None:
        """Go `onward` if the client may have what is at `path`; else answer 401, or 503 where that cannot be told."""
        rule = request.host.rules.protection(path)
        if rule is None or rule == request.shown:
            onward(conn, request, now_ns)
            return
        request.front = None
        credentials = credentials_in(request.fields.get(b"authorization"))
        if credentials is None:
            self._ask(conn, request, rule, now_ns)
            return
        verdict = self._doorman.verdict(rule.file, credentials, now_ns)
        if verdict is None:
            self._try_out(conn, request, rule, credentials, onward, now_ns)
        elif verdict:
            self._let_through(conn, request, rule, credentials, onward, now_ns)
        else:
            self._ask(conn, request, rule, now_ns)

    def _try_out(
        self,
        conn: Connection,
        request: Request,
        rule: AuthRule,
        credentials: Credentials,
        onward: Onward,
        now_ns: int,
    ) -> None:
        trial = self._doorman.trial(rule.file, credentials)

        def settle(done: Finished) -> object:
            return self._doorman.note(trial, done.outcome is True, done.began_ns)

        def answer(conn: Connection, request: Request, right: object, now_ns: int) -> None:
            if right:
                self._let_through(conn, request, rule, credentials, onward, now_ns)
            else:
                self._ask(conn, request, rule, now_ns)

        # Rules of one file may ask for different realms, and lead to different places: who shares a trial shares these.
        errand = Errand((*trial.ticket, rule, onward), trial.work, settle, answer, PASSWORDS)
        if not self._answering.errands.send(conn, request, errand, now_ns):
            self._answering.error(conn, request, 503, now_ns)

    def _let_through(
        self,
        conn: Connection,
        request: Request,
        rule: AuthRule,
        credentials: Credentials,
        onward: Onward,
        now_ns: int,
    ) -> None:
        request.shown = rule
        request.user = credentials.user
        onward(conn, request, now_ns)

    def _ask(self, conn: Connection, request: Request, rule: AuthRule, now_ns: int) -> None:
        page = self._shelf.error(401, now_ns, host=request.host)
        fields = (*page.fields, (b"WWW-Authenticate", challenge(rule.realm)), _NO_STORE, *request.extras)
        self._delivery.entity(conn, request, replace(page, fields=fields))
