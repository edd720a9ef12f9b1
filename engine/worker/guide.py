# From a whole request to the path that is looked up for it, and what becomes of it when there is nothing.
#
#   method ─> OPTIONS, /_wsrv/ ─> path ─> redirect ─> rewrite ─> password ─> Answering.look_up
#                                                                              │ nothing there
#                            index.html of an application <─ listing of a folder <┘ ─> 404
#
# Rule: what is decided here is decided before the cache is asked, and by nothing but the request and the settings.
#       Where the answer depends on more than path and field block, the request loses its front and is never shelved.
"""Guiding whole requests to a path."""

from dataclasses import replace
from functools import partial

from wsrv.engine.http.accept import names_html, prefers_json, takes_anything
from wsrv.engine.http.conditional import evaluate
from wsrv.engine.http.head import refusal_of
from wsrv.engine.static.cors import preflight, shared_with
from wsrv.engine.static.entity import Entity, of_options
from wsrv.engine.static.listing import Wish
from wsrv.engine.static.mime import DEFAULT, content_type
from wsrv.engine.static.site import NoIndex, NotServed
from wsrv.engine.static.target import BadTarget, to_path
from wsrv.engine.worker.access import is_from_here
from wsrv.engine.worker.answering import Answering, with_extras
from wsrv.engine.worker.connection import Connection
from wsrv.engine.worker.delivery import Delivery
from wsrv.engine.worker.door import Door
from wsrv.engine.worker.doorman import Doorman
from wsrv.engine.worker.errands import LISTINGS, Errand
from wsrv.engine.worker.inside import PREFIX, Inside
from wsrv.engine.worker.pool import Finished
from wsrv.engine.worker.prepared import Shelf
from wsrv.engine.worker.request import Request

_NO_INDEX = "This folder has no index.html. With the option --listing, wsrv serve lists what is in it."
_HTML = b"text/html"
_DOCUMENT = b"document"


class Guide:
    """Guides whole requests, and hands them on."""

    def __init__(
        self, answering: Answering, delivery: Delivery, shelf: Shelf, inside: Inside, doorman: Doorman
    ) -> None:
        self._answering = answering
        self._delivery = delivery
        self._shelf = shelf
        self._inside = inside
        self._door = Door(doorman, answering, delivery, shelf)
        self._options = of_options()
        answering.when_missing = self._missing

    def begin(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Answer a request that is whole, or have its answer fetched."""
        line, rules = request.line, request.host.rules
        if rules.origins:
            request.extras = shared_with(rules, request.fields.get(b"origin"))
        if rules.when_secure and conn.is_secure:
            request.extras += rules.when_secure
        if (elsewhere := conn.moved(request)) is not None:
            self._entity(conn, request, request.host.site.redirect(elsewhere))
            return
        refusal = refusal_of(line.method)
        if refusal is not None:
            self._answering.error(conn, request, refusal, now_ns)
        elif line.method == b"OPTIONS":
            self._tell_options(conn, request)
        elif line.path.startswith(PREFIX):
            self._inside.begin(conn, request, now_ns)
        else:
            self._follow(conn, request, now_ns)

    def _tell_options(self, conn: Connection, request: Request) -> None:
        if request.line.path.startswith(PREFIX):
            self._delivery.internal(conn, request, self._options)
            return
        names = (b"origin", b"access-control-request-method", b"access-control-request-headers")
        rules = request.host.rules
        extra = preflight(rules, *map(request.fields.get, names)) or (*rules.everywhere, *request.extras)
        self._delivery.entity(conn, request, replace(self._options, fields=(*self._options.fields, *extra)))

    def _follow(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Follow the rules of the site from the target to a path."""
        line, host = request.line, request.host
        try:
            path = request.path = to_path(line.path)
        except BadTarget as e:
            self._answering.error(conn, request, e.status, now_ns, str(e))
            return
        redirection = host.rules.redirection(path, line.query)
        if redirection is not None and not host.site.hides(path):
            self._entity(conn, request, host.site.redirect(redirection))
            return
        rewritten = host.rules.rewritten(path)
        if rewritten is not None:
            request.path = rewritten
        if host.site.hides(path) or host.site.hides(request.path):
            self._answering.error(conn, request, 404, now_ns)
            return
        self._door.open(conn, request, path, self._enter, now_ns)

    def _enter(self, conn: Connection, request: Request, now_ns: int) -> None:
        """Look up the path that a request was led to, whose rule is asked too."""
        self._door.open(conn, request, request.path, self._answering.look_up, now_ns)

    # When there is nothing.

    def _missing(self, conn: Connection, request: Request, why: NotServed, now_ns: int) -> None:
        """Answer a request whose path leads to no file."""
        site = request.host.site
        if isinstance(why, NoIndex) and site.listed:
            self._list(conn, request, now_ns)
        elif why.status == 404 and site.is_application and not request.falls_back and _navigates(request):
            # The page finds out itself what to show; it is the very index that / has, from the same place in the cache.
            request.falls_back = True
            request.front = None
            request.path = b""
            self._door.open(conn, request, b"", self._answering.look_up, now_ns)
        elif isinstance(why, NoIndex) and is_from_here(conn, request):
            self._answering.error(conn, request, 404, now_ns, _NO_INDEX)
        else:
            self._answering.error(conn, request, why.status, now_ns)

    def _list(self, conn: Connection, request: Request, now_ns: int) -> None:
        site, path = request.host.site, request.path
        wish = Wish.of(request.line.query, prefers_json(request.fields.get(b"accept")))
        work = partial(site.list_folder, path, wish, request.accepted)
        errand = Errand((site.tag, path, wish, request.accepted), work, _outcome, self._listed, LISTINGS)
        if not self._answering.errands.send(conn, request, errand, now_ns):
            self._answering.error(conn, request, 503, now_ns)

    def _listed(self, conn: Connection, request: Request, found: object, now_ns: int) -> None:
        if isinstance(found, Entity):
            status = evaluate(request.line.method, request.fields, found.validators)
            if status == 412:
                self._answering.error(conn, request, 412, now_ns)
            elif status == 304:
                self._delivery.not_modified(conn, request, with_extras(found, request))
            else:
                self._entity(conn, request, found)
        else:
            assert isinstance(found, NotServed), "a listing ends with an entity or with NotServed"
            self._answering.error(conn, request, found.status, now_ns)

    def _entity(self, conn: Connection, request: Request, entity: Entity) -> None:
        self._delivery.entity(conn, request, with_extras(entity, request))


def _outcome(done: Finished) -> object:
    return done.outcome


def _navigates(request: Request) -> bool:
    """Whether a page is asked for: the client names pages, and the path is not called like another kind of file.

    Who takes anything, as curl, is answered as a browser. A script of a page takes anything too, and would only be
    confused by a page: its browser says for whom it asks (Fetch Metadata).
    """
    kind, accept = content_type(request.path), request.fields.get(b"accept")
    if kind != DEFAULT and not kind.startswith(_HTML):
        return False
    return names_html(accept) or (takes_anything(accept) and request.fields.get(b"sec-fetch-dest") in (None, _DOCUMENT))
