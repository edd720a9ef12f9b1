# Which of a path's representations a client is answered with.
#
# What is held is held by path and coding: `x.js`, `x.js NUL br`. Which of these serves a client depends on the codings
# that it takes and on what there is beside the file; a route remembers that, so that nobody has to look again.
#
# Rule 1: a route holds as long as what it leads to is held, is fresh, and rests on the same basis. Losing one costs a
#         look at the files, nothing more.
# Rule 2: what was tried in vain is a route too: it leads to the bytes as they are.
"""Routes from a path and the codings that a client takes to what is held."""

from wsrv.engine.http.negotiation import AS_IT_IS, Acceptable
from wsrv.engine.static.entity import Basis, Entity
from wsrv.engine.static.site import Site
from wsrv.engine.worker.prepared import Cached, Shelf

# At most so many, of paths no longer than so: some 3 MB.
_ROUTES = 8192
_ROUTED_BYTES = 256


def key_of(site: Site, path: bytes, coding: bytes) -> bytes:
    """What a representation of `path` is held by. A path has no NUL, and the default site no tag."""
    if site.tag:
        return b"\0".join((path, coding, site.tag))
    return path + b"\0" + coding if coding else path


def parts_of(key: bytes) -> tuple[bytes, bytes, bytes]:
    """Path, coding and tag of the site of what is held by `key`."""
    path, _, rest = key.partition(b"\0")
    coding, _, tag = rest.partition(b"\0")
    return path, coding, tag


class Routes:
    """Finds and keeps representations on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._routes: dict[tuple[Site, bytes, Acceptable], tuple[bytes, Basis | None]] = {}

    def find(self, site: Site, path: bytes, accepted: Acceptable, now_ns: int) -> Cached | None:
        """What answers a client that takes `accepted`, if it is held and fresh."""
        if accepted == AS_IT_IS:
            return self._shelf.find(key_of(site, path, b""), now_ns)
        route = self._routes.get((site, path, accepted))
        if route is None:
            return self._guess(site, path, accepted, now_ns) if self._shelf.shares else None
        key, basis = route
        cached = self._shelf.find(key, now_ns)
        return cached if cached is not None and cached.entity.basis == basis else None

    def _guess(self, site: Site, path: bytes, accepted: Acceptable, now_ns: int) -> Cached | None:
        """What others have put there and is known to be the best for a client that takes `accepted`."""
        for coding in (*accepted.codings, b""):
            cached = self._shelf.find(key_of(site, path, coding), now_ns)
            if cached is not None and _is_best(cached.entity, accepted):
                self.note(site, path, accepted, cached)
                return cached
        return None

    def recoded(self, site: Site, path: bytes, coding: bytes, entity: Entity, checked_ns: int) -> Cached | None:
        """What was made before, in this coding, of the very `entity` that was found at `checked_ns` or later."""
        cached = self._shelf.held(key_of(site, path, coding))
        if cached is None or (cached.entity.identity, cached.entity.basis) != (entity.identity, entity.basis):
            return None
        cached.checked_ns = max(cached.checked_ns, checked_ns)
        return cached

    def keep(self, site: Site, path: bytes, entity: Entity, checked_ns: int) -> Cached:
        """Hold `entity`, found at `path` at `checked_ns` or later. What is held of the very same content stays."""
        key = key_of(site, path, entity.coding)
        held = self._shelf.store.get(key)
        if held is None or not entity.etag or held.entity.etag != entity.etag or not _may_share(held.entity, entity):
            return self._shelf.keep(key, site, path, entity, checked_ns)
        held.checked_ns = max(held.checked_ns, checked_ns)
        return held

    def note(self, site: Site, path: bytes, accepted: Acceptable, cached: Cached) -> None:
        """From now on `cached` answers clients that take `accepted`, while it is held."""
        if accepted == AS_IT_IS or len(path) > _ROUTED_BYTES or self._shelf.store.get(cached.key) is not cached:
            return
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        self._routes[site, path, accepted] = (cached.key, cached.entity.basis)


def _may_share(held: Entity, found: Entity) -> bool:
    """Whether `held`, the same bytes as `found`, can stand for both. Siblings count from now on if they do for one."""
    known, new = held.basis, found.basis
    if known is not None and new is not None and known.siblings is None and known.plain == new.plain:
        held.basis = new
    return held.basis == new


def _is_best(entity: Entity, accepted: Acceptable) -> bool:
    """Whether a look at the files would end with `entity`. False where that is not sure."""
    basis = entity.basis
    if basis is None:
        return accepted.identity
    if basis.siblings is None:
        return False
    current = basis.current()
    best = next((coding for coding in accepted.codings if coding in current), None)
    if best is not None:
        return entity.coding == best
    if entity.coding:
        # Made of the plain file, of which there is no better sibling.
        return basis.plain is not None and accepted.codings[:1] == (entity.coding,)
    return accepted.identity and not entity.compressible
