# Pages for errors: the site's own, else the bundled one, else a line of our own.
#
# Rule 1: an error can always be answered. Whatever is wrong with a page (missing, unreadable, too long, no descriptor
#         left to open it) leads to the next source, and the last needs no file.
# Rule 2: what is wrong with a request is said in the pages of our own, which a sentence can be put into; the site's
#         own page stays as it is.
# Rule 3: an error carries neither ETag nor Last-Modified: it is no representation of what was asked for.
"""Error pages as entities."""

import html
import os
import time
from collections.abc import Callable, Iterator

from wsrv.engine.http.head import ALLOW
from wsrv.engine.http.status import REASONS
from wsrv.engine.settings import CacheSettings, SiteSettings
from wsrv.engine.static.entity import Entity, NotServed, of_page
from wsrv.engine.static.site import Site

# What a status has to say beside its page (RFC 9110 15.5.6, 15.6.4, RFC 6585 4).
_EXTRA_FIELDS = {
    405: ((b"Allow", ALLOW),),
    429: ((b"Retry-After", b"1"),),
    503: ((b"Retry-After", b"1"),),
}

_HEADING_END = b"</h1>"
_BUILT_IN = b'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>%b</title>\n<h1>%b</h1></html>\n'


class ErrorPages:
    """`404.html` and the like: at the root of `site`, else in `settings.pages`, else built in."""

    def __init__(
        self, site: Site, settings: SiteSettings, cache: CacheSettings, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._bundle = Site(SiteSettings(root=settings.pages, pages=settings.pages), cache, clock=clock)
        self._sources = (site, self._bundle)
        self._named = {status: os.fsencode(page.lstrip("/")) for status, page in settings.error_pages}
        self._max_object_bytes = cache.max_object_bytes

    def close(self) -> None:
        """Give back the descriptor of the bundled pages, once; that of the site is its own."""
        self._bundle.close()

    def entity(self, status: int, reason: str = "", *, nowait: bool) -> Entity:
        """The entity that answers with `status`; its body is always there. Raises BlockingIOError with `nowait`.

        `reason` is a sentence that says what is wrong with the request; no page but the site's own leaves it out.
        """
        extra = _EXTRA_FIELDS.get(status, ())
        for source, name in self._places(status):
            try:
                page = source.load(name, nowait=nowait)
            except (NotServed, IsADirectoryError):
                continue
            if page.body is not None:
                body = _explained(page.body, reason) if source is self._bundle else page.body
                return of_page(status, page, body, extra)
        return plain_page(status, reason)

    def unchanged(self, entity: Entity, *, nowait: bool) -> bool:
        """Whether `entity` would be made of the same page again. Raises BlockingIOError with `nowait`."""
        for source, name in self._places(entity.status):
            identity = source.identity(name, nowait=nowait)
            if identity is not None and identity.size <= self._max_object_bytes:
                return identity == entity.identity
        return entity.identity is None

    def _places(self, status: int) -> Iterator[tuple[Site, bytes]]:
        """Where the page for `status` may be, the first choice first."""
        if status in self._named:
            yield self._sources[0], self._named[status]
        for source in self._sources:
            yield source, b"%d.html" % status


def plain_page(status: int, reason: str = "") -> Entity:
    """The page that needs no file."""
    title = b"%d %b" % (status, REASONS[status])
    return of_page(status, None, _explained(_BUILT_IN % (title, title), reason), _EXTRA_FIELDS.get(status, ()))


def _explained(page: bytes, reason: str) -> bytes:
    """The page with a paragraph that says `reason` below its heading."""
    if not reason:
        return page
    return page.replace(_HEADING_END, b"%b\n<p>%b</p>" % (_HEADING_END, html.escape(reason).encode()), 1)
