# From a path to what is there: a file, the index of a directory, the way to a directory, or nothing.
#
# Rule 1: with `nowait` nothing here waits for a disk; BlockingIOError says that a pool thread has to ask instead.
# Rule 2: all else that goes wrong is a NotServed with the status to answer, never a traceback.
# Rule 3: no state but the root and what is withheld, safe to use from several threads: loop and pool share one Site.
"""The site: paths resolved beneath its root."""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace

from wsrv.engine.http.negotiation import AS_IT_IS, CODINGS, Acceptable
from wsrv.engine.settings import CacheSettings, SiteSettings
from wsrv.engine.static.entity import Basis, Entity, Identity, Negotiated, NotServed, Redirect, of_bytes, of_file
from wsrv.engine.static.file import identify, load, open_regular, refusal
from wsrv.engine.static.listing import Lister, Wish
from wsrv.engine.static.mime import ContentTypes, is_packed, shrinks
from wsrv.engine.static.openat2 import open_beneath
from wsrv.engine.static.recoding import Bounds, coding_wanted, recode
from wsrv.engine.static.root import Root
from wsrv.engine.static.rules import Redirection, Rules
from wsrv.engine.static.siblings import SUFFIXES, Siblings
from wsrv.engine.static.target import BadTarget, is_hidden, location_of_directory
from wsrv.engine.static.walk import Names, names_in
from wsrv.engine.static.watch import Folder, Watches
from wsrv.engine.static.withheld import Withheld

__all__ = ["NoIndex", "NotServed", "Site"]

# Below this a coding saves less than a segment on the wire, if anything. Precedents: nginx 20, Caddy 512.
_LEAST_COMPRESSED_BYTES = 256


class NoIndex(NotServed):
    """There is a folder for this path, and no index in it."""


class Site:
    """What lies beneath one root. Made in the process that serves it, after the fork.

    `clock` is the wall clock in ns; it decides which files have rested long enough to be kept.
    """

    def __init__(
        self, site: SiteSettings, cache: CacheSettings, *, clock: Callable[[], int] = time.time_ns, tag: bytes = b""
    ) -> None:
        """`tag` tells this site from the others of a server; that of the default site is empty. Raises BadRule."""
        self.tag = tag
        self.rules = Rules(site)
        self.listed = site.listing
        self.is_application = site.spa
        self._dotfiles = site.dotfiles
        self._templates = site.templates
        self._root = Root(site.root, no_links=site.links == "none")
        # An entity is made by the settings too: fields, types, what is compressed.
        self._mark = hashlib.blake2b(repr(site).encode(), digest_size=8).hexdigest().encode()
        self._withheld = Withheld(site.withheld)
        self._index = os.fsencode(site.index)
        self._max_object_bytes = cache.max_object_bytes
        self._clock = clock
        self._types = ContentTypes(site.types)
        self._siblings = Siblings(self._root, clock) if site.precompressed else None
        self._compress = site.compress

    def check_root(self, now_ns: int, *, nowait: bool) -> bool:
        """Notice, at most once a second of `now_ns`, another directory at the root's path. Whether there was one."""
        return self._root.check(now_ns, nowait=nowait)

    @property
    def root_is_missing(self) -> bool:
        """Whether there is no directory at the root's path."""
        return self._root.is_missing

    @property
    def root_is_out_of_reach(self) -> bool:
        """Whether another directory is at the root's path that this process may not read."""
        return self._root.out_of_reach

    @property
    def root_mark(self) -> bytes:
        """What tells what is found here from what other settings, or another directory in the root's place, lead to."""
        return self._root.mark + b"-" + self._mark

    def close(self) -> None:
        """Give the root's descriptor back. Once."""
        self._root.close()

    def find(
        self, path: bytes, raw_path: bytes, *, nowait: bool, query: bytes = b"", accepted: Acceptable = AS_IT_IS
    ) -> Entity:
        """The entity at `path` (of `to_path`): a file, a directory's index, or the Redirect to a directory.

        Of a file and its siblings, the one in the coding that is most welcome to a client that takes `accepted`; one
        in a coding that it does not take only where there is nothing else. A file longer than `max_object_bytes` comes
        without body. `raw_path` and `query` are those of the target, for the Location of a redirect. Raises NotServed:
        404 for what is not there, is hidden or withheld, or is neither file nor directory; 403 for what may not be
        read or leads out of the root; 503 for what may work in a moment: a file being written, no descriptors left;
        500 for a failing disk. Raises BlockingIOError only with `nowait`.
        """
        try:
            return self._dressed(path, self._negotiate(self._file_path(path), accepted, nowait=nowait))
        except IsADirectoryError as error:
            if _means_directory(path):
                # The index is a directory itself.
                raise NotServed(404, str(error)) from error
        except NotServed as refused:
            if refused.status == 404 and _means_directory(path) and not self.hides(path):
                self._tell_folder(path, nowait=nowait)
            raise
        try:
            location = location_of_directory(raw_path, query)
        except BadTarget as error:
            raise NotServed(error.status, str(error)) from error
        return self.redirect(Redirection(301, location))

    def list_folder(self, path: bytes, wish: Wish, accepted: Acceptable = AS_IT_IS) -> Entity:
        """The listing of the folder at `path`, which ends with a slash or is empty, in a coding of `accepted`.

        For the pool. Raises NotServed.
        """
        try:
            body = self._lister().listing(self._root.fd, path, wish)
        except OSError as error:
            raise refusal(error) from error
        # Another representation for who prefers JSON; made anew each time, and told from others by what is in it.
        etag = b'"%b"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode()
        extra = ((b"Vary", b"Accept, Accept-Encoding"), (b"Cache-Control", b"no-cache"), (b"ETag", etag))
        worth = self._compress and len(body) >= _LEAST_COMPRESSED_BYTES
        plain = replace(of_bytes(200, wish.form, body, extra), etag=etag, compressible=worth)
        bounds = Bounds(compressed=len(body), decoded=0)
        coding = coding_wanted(plain, accepted, bounds)
        return self._dressed(path, recode(plain, coding, bounds) if coding else plain)

    def names_in(self, folder: bytes) -> Names:
        """The names in `folder`, which is b"" or ends with a slash. For the pool. Raises NotServed."""
        try:
            return names_in(self._root.fd, folder, no_links=self._root.no_links)
        except OSError as error:
            raise refusal(error) from error

    def path_of(self, file_path: bytes) -> bytes:
        """The path by which a file is asked for: an index by that of its folder."""
        folder, slash, name = file_path.rpartition(b"/")
        return folder + slash if name == self._index else file_path

    def redirect(self, redirection: Redirection) -> Entity:
        """The answer that sends a client elsewhere."""
        answer = Redirect.to(redirection.location, redirection.status)
        return replace(answer, fields=(*answer.fields, *self.rules.everywhere))

    def hides(self, path: bytes) -> bool:
        """Whether `path` is not there for anybody, because a name in it begins with a dot."""
        return not self._dotfiles and is_hidden(path)

    def load(self, file_path: bytes, *, nowait: bool) -> Entity:
        """The entity of the file `file_path`, without a look for an index or for siblings.

        Raises as `find`, IsADirectoryError too.
        """
        return self._load(file_path, nowait=nowait)

    def open_for_sending(self, path: bytes, like: Entity | None = None, *, nowait: bool = False) -> tuple[int, Entity]:
        """A descriptor and the entity, without body, of the very same open file; the caller closes the descriptor.

        `path` as for `find`; `like` is what that has just given, and what is given back if the file is still as it was.
        Raises as `find` does; a directory without trailing slash is 404.
        """
        file_path = self._file_path(path)
        negotiated = Negotiated(like.coding, like.basis) if like is not None else Negotiated()
        stored_at = file_path + SUFFIXES.get(negotiated.coding, b"")
        if self._withheld.names(file_path):
            raise NotServed(404, "withheld")
        now_ns = self._clock()
        try:
            fd, seen = open_regular(self._root.fd, stored_at, nowait=nowait, no_links=self._root.no_links)
            try:
                identity = Identity.of(seen)
                if like is not None and like.identity == identity:
                    # It was not withheld a moment ago, and a name for it that withholds it would show in its times.
                    return fd, like
                self._withhold(identity, nowait=nowait)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            raise refusal(error) from error
        entity = of_file(file_path, identity, None, now_ns, self._types.of(file_path), negotiated)
        return fd, self._dressed(path, entity)

    def unchanged(self, path: bytes, entity: Entity, *, nowait: bool) -> bool:
        """Whether `path` still leads to the content that `entity` was made of, and nothing better is there now.

        One open, one stat; where siblings count, another of the folder and of each of them; no reading. False too for
        what cannot be told, as a redirect, and for what cannot be reached any more. Raises BlockingIOError only with
        `nowait`.
        """
        file_path = entity.path
        # What was found at its own path is not hidden.
        if path != file_path or not path:
            try:
                if self._file_path(path) != file_path:
                    return False
            except NotServed:
                return False
        if entity.identity is None:
            return False
        if entity.basis is None:
            return entity.identity == self.identity(file_path, nowait=nowait)
        siblings = entity.basis.siblings
        if siblings is not None and self._siblings is not None:
            siblings = self._siblings.of(file_path, nowait=nowait)
        return entity.basis == Basis(self.identity(file_path, nowait=nowait), siblings)

    def watched(self, watches: Watches, file_path: bytes, now_ns: int) -> Folder | None:
        """The folder of `file_path`, which `watches` watches if it can."""
        return watches.folder(self, os.path.dirname(file_path), self._open_folder, now_ns)

    def stands_alone(self, entity: Entity) -> bool:
        """Whether the files that an unchanged `entity` was made of have no other name and are no links: nobody changes
        them but by what happens in their folder, which no link leads to."""
        basis = entity.basis
        siblings = basis.siblings or () if basis is not None else ()
        names = [entity.path + SUFFIXES[sibling.coding] for sibling in siblings]
        if basis is None or basis.plain is not None:
            names.append(entity.path)
        try:
            seen = [os.stat(name, dir_fd=self._root.fd, follow_symlinks=False) for name in names]
        except OSError:
            return False
        return all(stat.S_ISREG(one.st_mode) and one.st_nlink == 1 for one in seen)

    def _open_folder(self, path: bytes) -> int:
        return open_beneath(self._root.fd, path, os.O_PATH | os.O_DIRECTORY, cached=True, no_links=True)

    def identity(self, file_path: bytes, *, nowait: bool) -> Identity | None:
        """The identity of the regular file `file_path`; None when there is none to be had.

        Raises BlockingIOError only with `nowait`.
        """
        try:
            seen = identify(self._root.fd, file_path, nowait=nowait, no_links=self._root.no_links)
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            return None
        return Identity.of(seen) if stat.S_ISREG(seen.st_mode) else None

    def _negotiate(self, file_path: bytes, accepted: Acceptable, *, nowait: bool) -> Entity:
        """The best of what there is for `file_path`. Raises as `find`, IsADirectoryError too."""
        if not self._is_negotiable(self._types.of(file_path)):
            return self._load(file_path, nowait=nowait)
        if not accepted.codings:
            # Siblings count only where there is no plain file.
            try:
                return self._load(file_path, nowait=nowait, basis=Basis(None))
            except NotServed as refused:
                if refused.status != 404:
                    raise
        siblings = self._siblings.of(file_path, nowait=nowait) if self._siblings is not None else ()
        if not siblings:
            return self._load(file_path, nowait=nowait, basis=Basis(None, ()))
        basis = Basis(self._plain(file_path, nowait=nowait), siblings)
        current = basis.current()
        # The last resort where there is nothing but siblings: one that the client does not take, to be decoded.
        resort = CODINGS if basis.plain is None else ()
        for coding in (*accepted.codings, *resort):
            if coding in current:
                try:
                    entity = self._load(file_path, nowait=nowait, basis=basis, coding=coding)
                except (NotServed, IsADirectoryError):
                    # It may not be read, or has just gone.
                    continue
                # One that was replaced since may be older than the plain file.
                entity.settled = entity.settled and entity.identity == current[coding]
                return entity
        entity = self._load(file_path, nowait=nowait, basis=basis)
        entity.settled = entity.settled and entity.identity == basis.plain
        return entity

    def _is_negotiable(self, kind: bytes) -> bool:
        """Whether files of this content type may have several representations."""
        if self._siblings is not None:
            return not is_packed(kind)
        return self._compress and shrinks(kind)

    def _plain(self, file_path: bytes, *, nowait: bool) -> Identity | None:
        """The identity of a file that has siblings, None when it is missing. Raises as `_negotiate`."""
        try:
            seen = identify(self._root.fd, file_path, nowait=nowait, no_links=self._root.no_links)
        except FileNotFoundError:
            return None
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            raise refusal(error) from error
        if stat.S_ISDIR(seen.st_mode):
            raise IsADirectoryError(file_path)
        return Identity.of(seen)

    def _load(self, file_path: bytes, *, nowait: bool, basis: Basis | None = None, coding: bytes = b"") -> Entity:
        """The entity of a file, or of its sibling in `coding`; in a `basis`, the plain file is the one that is read."""
        stored_at = file_path + SUFFIXES[coding] if coding else file_path
        if self._withheld.names(file_path):
            raise NotServed(404, "withheld")
        try:
            contents = load(
                self._root.fd,
                stored_at,
                self._max_object_bytes,
                self._clock,
                nowait=nowait,
                no_links=self._root.no_links,
            )
            self._withhold(contents.identity, nowait=nowait)
        except IsADirectoryError:
            raise
        except PermissionError as error:
            # A directory need not be readable to be passed through.
            if self._is_directory(stored_at, nowait=nowait):
                raise IsADirectoryError(error.errno, error.strerror, stored_at) from error
            raise refusal(error) from error
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            raise refusal(error) from error
        kind = self._types.of(file_path)
        negotiated = Negotiated()
        if basis is not None:
            size = contents.identity.size
            worth = self._compress and shrinks(kind) and _LEAST_COMPRESSED_BYTES <= size <= self._max_object_bytes
            negotiated = Negotiated(
                coding, basis if coding else Basis(contents.identity, basis.siblings), worth and not coding
            )
        return of_file(file_path, contents.identity, contents.body, contents.began_ns, kind, negotiated)

    def _file_path(self, path: bytes) -> bytes:
        if self.hides(path):
            raise NotServed(404, "hidden")
        return path + self._index if _means_directory(path) else path

    def _dressed(self, path: bytes, entity: Entity) -> Entity:
        """`entity`, which is at `path`, with the fields that the rules give it."""
        return self.rules.dress(path, entity)

    def _lister(self) -> Lister:
        template = b""
        if self._templates is not None:
            # Without it the page is plainer.
            with contextlib.suppress(OSError):
                template = (self._templates / "listing.html").read_bytes()
        return Lister(self._withheld, dotfiles=self._dotfiles, no_links=self._root.no_links, template=template)

    def _tell_folder(self, path: bytes, *, nowait: bool) -> None:
        """Raises NoIndex when there is a folder at `path`, BlockingIOError only with `nowait`."""
        if self._is_directory(path or b".", nowait=nowait):
            raise NoIndex(404, "a folder without an index")

    def _withhold(self, identity: Identity, *, nowait: bool) -> None:
        """Raises NotServed for a file that is not to be served, OSError when that cannot be told."""
        if self._withheld.holds(identity.dev, identity.ino, nowait=nowait):
            raise NotServed(404, "withheld")

    def _is_directory(self, file_path: bytes, *, nowait: bool) -> bool:
        try:
            return stat.S_ISDIR(identify(self._root.fd, file_path, nowait=nowait, no_links=self._root.no_links).st_mode)
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            return False


def _means_directory(path: bytes) -> bool:
    return not path or path.endswith(b"/")
