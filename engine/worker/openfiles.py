# Long files that are sent again and again stay open between one answer and the next.
#
# Rule 1: an open file is what it was: fstat says so before each answer. So an entity is never sent with other bytes;
#         and who deletes or replaces a file changes its times.
# Rule 2: its path leads to it still: found out as for what is held, once a second, or by a watch.
# Rule 3: few, and not for long: a file that is deleted is to free its space on the disk.
# Rule 4: what is being sent when its time is over stays open until that has gone.
"""Files that were sent a moment ago."""

import os
from typing import NamedTuple

from wsrv.engine.http.negotiation import Acceptable
from wsrv.engine.http.response import HeadTemplate
from wsrv.engine.static.entity import Identity
from wsrv.engine.static.file import OpenFile
from wsrv.engine.static.site import Site
from wsrv.engine.worker.prepared import Cached, Shelf

# Of a worker.
MOST = 16
# Since they were asked for last.
KEPT_NS = 2_000_000_000


_Key = tuple[bytes, bytes, Acceptable]


class Kept(NamedTuple):
    """An entity with its file, found at a root with this mark; `heads` of answers with the whole of it, by what they
    say of the connection."""

    cached: Cached
    file: OpenFile
    root_mark: bytes
    heads: dict[bytes, HeadTemplate]

    def head(self, connection: bytes) -> HeadTemplate:
        """The head of an answer with the whole file."""
        head = self.heads.get(connection)
        if head is None:
            head = self.heads[connection] = self.cached.entity.head(200, connection)
        return head


class OpenFiles:
    """Entities that are too long to be held, with their files."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        # The one that was asked for last is the last.
        self._files: dict[_Key, Kept] = {}

    def __len__(self) -> int:
        return len(self._files)

    def find(self, site: Site, path: bytes, accepted: Acceptable, now_ns: int) -> Kept | None:
        """What a client that takes `accepted` was sent for `path` a moment ago, if it is still as it was."""
        key = (site.tag, path, accepted)
        found = self._files.pop(key, None)
        if found is None:
            return None
        cached = found.cached
        try:
            good = found.root_mark == site.root_mark and self._shelf.is_good(cached, now_ns)
            good = good and Identity.of(os.fstat(found.file.fd)) == cached.entity.identity
        except BlockingIOError:
            good = False
        if not good:
            return None
        cached.asked_ns = now_ns
        self._files[key] = found
        return found

    def of(self, cached: Cached, accepted: Acceptable) -> OpenFile | None:
        """The file of what `find` has found."""
        found = self._files.get((cached.site.tag, cached.path, accepted))
        return None if found is None or found.cached is not cached else found.file

    def keep(self, cached: Cached, accepted: Acceptable, file: OpenFile) -> None:
        """Keep `file`, that of `cached`, open for a while."""
        if not cached.entity.settled:
            return
        key = (cached.site.tag, cached.path, accepted)
        self._files.pop(key, None)
        if len(self._files) >= MOST:
            del self._files[next(iter(self._files))]
        self._files[key] = Kept(cached, file, cached.site.root_mark, {})

    def tick(self, now_ns: int) -> None:
        """Close what nobody has asked for since a while."""
        for key in [key for key, found in self._files.items() if now_ns - found.cached.asked_ns >= KEPT_NS]:
            del self._files[key]

    def close(self) -> None:
        """Let go of all of them."""
        self._files.clear()
