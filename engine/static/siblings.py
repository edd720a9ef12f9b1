# Files that hold another in a content coding: `x.js.br`, `x.js.zst` and `x.js.gz` beside `x.js`.
#
# Rule 1: what appears in a folder or leaves it changes the folder's times. So where there are no siblings, one look at
#         the folder tells that there still are none; file systems that forget what is not there (tmpfs) cannot be asked
#         for a missing name without waiting.
# Rule 2: a folder that changed within the last tick of the kernel's clock proves nothing, and nothing is noted of it.
# Rule 3: no state but what was seen, written whole: safe to use from several threads.
"""Precompressed siblings of files."""

import os
import stat
from collections.abc import Callable

from wsrv.engine.http.negotiation import BROTLI, CODINGS, GZIP, ZSTD
from wsrv.engine.static.entity import Identity, Sibling, rests
from wsrv.engine.static.file import identify
from wsrv.engine.static.root import Root

SUFFIXES = {BROTLI: b".br", ZSTD: b".zst", GZIP: b".gz"}

# Files whose siblings are known, at most; and the longest path that is noted: some 3 MB in all.
_NOTES = 8192
_NOTED_BYTES = 256


class Siblings:
    """Looks for siblings beneath `root`. `clock` is the wall clock in ns."""

    def __init__(self, root: Root, clock: Callable[[], int]) -> None:
        self._root = root
        self._clock = clock
        # By file: its folder as it was, and the codings of the siblings there.
        self._notes: dict[bytes, tuple[Identity, tuple[bytes, ...]]] = {}

    def of(self, file_path: bytes, *, nowait: bool) -> tuple[Sibling, ...]:
        """The siblings of `file_path`, whether it exists or not, in the order of CODINGS.

        Raises BlockingIOError only with `nowait`. What cannot be reached is not there.
        """
        now_ns = self._clock()
        folder = self._seen(os.path.dirname(file_path) or b".", nowait=nowait)
        if folder is None:
            return ()
        here = Identity.of(folder)
        note = self._notes.get(file_path)
        codings = note[1] if note is not None and note[0] == here else CODINGS
        found = []
        for coding in codings:
            seen = self._seen(file_path + SUFFIXES[coding], nowait=nowait)
            if seen is not None and stat.S_ISREG(seen.st_mode):
                found.append(Sibling(coding, Identity.of(seen)))
        if rests(here.ctime_ns, now_ns) and len(file_path) <= _NOTED_BYTES:
            if len(self._notes) >= _NOTES:
                self._notes.clear()
            self._notes[file_path] = (here, tuple(sibling.coding for sibling in found))
        return tuple(found)

    def _seen(self, path: bytes, *, nowait: bool) -> os.stat_result | None:
        try:
            return identify(self._root.fd, path, nowait=nowait, no_links=self._root.no_links)
        except OSError as error:
            if nowait and isinstance(error, BlockingIOError):
                raise
            return None
