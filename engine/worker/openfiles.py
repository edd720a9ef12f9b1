# Long files that are sent again and again stay open between one answer and the next.
#
# Rule 1: an open file is what it was: fstat says so before each answer. So an entity is never sent with other bytes;
#         and who deletes or replaces a file changes its times.
# Rule 2: its path leads to it still: found out as for what is held, once a second, or by a watch.
# Rule 3: few, and not for long: a file that is deleted is to free its space on the disk.
# Rule 4: each answer has a descriptor of its own, a duplicate; sendfile(2) with an offset moves no shared position.
"""Files that were sent a moment ago."""

import os
from typing import NamedTuple

from wsrv.engine.http.negotiation import Acceptable
from wsrv.engine.static.entity import Identity
from wsrv.engine.static.site import Site
from wsrv.engine.worker.prepared import Cached, Shelf

# Of a worker.
MOST = 16
# Since they were asked for last.
KEPT_NS = 2_000_000_000


_Key = tuple[bytes, bytes, Acceptable]


class _Open(NamedTuple):
    cached: Cached
    fd: int
    root_mark: bytes


class OpenFiles:
    """Entities that are too long to be held, with their files. To be closed."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        # The one that was asked for last is the last.
        self._files: dict[_Key, _Open] = {}

    def __len__(self) -> int:
        return len(self._files)

    def find(self, site: Site, path: bytes, accepted: Acceptable, now_ns: int) -> Cached | None:
        """What a client that takes `accepted` was sent for `path` a moment ago, if it is still as it was."""
        key = (site.tag, path, accepted)
        found = self._files.pop(key, None)
        if found is None:
            return None
        cached = found.cached
        try:
            good = found.root_mark == site.root_mark and self._shelf.is_good(cached, now_ns)
            good = good and Identity.of(os.fstat(found.fd)) == cached.entity.identity
        except BlockingIOError:
            good = False
        if not good:
            os.close(found.fd)
            return None
        cached.asked_ns = now_ns
        self._files[key] = found
        return cached

    def duplicate(self, cached: Cached, accepted: Acceptable) -> int | None:
        """A descriptor for an answer with what `find` has found; else None, as when there is none left."""
        found = self._files.get((cached.site.tag, cached.path, accepted))
        if found is None or found.cached is not cached:
            return None
        try:
            return os.dup(found.fd)
        except OSError:
            return None

    def keep(self, cached: Cached, accepted: Acceptable, fd: int) -> None:
        """Keep the file of `cached` open, of which `fd` is the caller's descriptor, if there is a descriptor left."""
        if not cached.entity.settled:
            return
        key = (cached.site.tag, cached.path, accepted)
        try:
            own = os.dup(fd)
        except OSError:
            return
        self._close(key)
        if len(self._files) >= MOST:
            self._close(next(iter(self._files)))
        self._files[key] = _Open(cached, own, cached.site.root_mark)

    def tick(self, now_ns: int) -> None:
        """Close what nobody has asked for since a while."""
        for key in [key for key, found in self._files.items() if now_ns - found.cached.asked_ns >= KEPT_NS]:
            self._close(key)

    def close(self) -> None:
        """Give all descriptors back."""
        self.tick(1 << 63)

    def _close(self, key: _Key) -> None:
        found = self._files.pop(key, None)
        if found is not None:
            os.close(found.fd)
