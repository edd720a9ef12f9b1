# Loading the files of a site before anybody asks for them: the question `warm`.
#
# Rule 1: nobody has to leave for what is warmed; when the cache is full, it is over.
# Rule 2: folders are read by the pool, one at a time, and so are files that the kernel does not have in memory.
"""Warming a worker's cache."""

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from time import monotonic_ns

from wsrv.engine.ipc.question import Message
from wsrv.engine.static.glob import Glob
from wsrv.engine.static.hosts import Hosts
from wsrv.engine.static.site import Site
from wsrv.engine.static.walk import Names
from wsrv.engine.worker.errands import Errand, Errands
from wsrv.engine.worker.inspection import glob_of, shown
from wsrv.engine.worker.loading import FULL, LOADED, NOTHING, THERE, Loading
from wsrv.engine.worker.pool import Finished
from wsrv.engine.worker.questions import PAUSE, Pause, Steps

# Files looked at before others have a turn; from memory each takes some 20 us.
_STEP = 16
# So many in a row that found no room: it is full.
_MOST_FULL = 16
# A sign of life, for who waits.
_REPORT_NS = 500_000_000

_Moves = Generator[Message | Pause | None, None, None]


class _Warmth:
    """What one answer has come to."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((LOADED, THERE, FULL, NOTHING), 0)
        self.loaded_bytes = 0
        self.full_in_a_row = 0
        self.reported_ns = monotonic_ns()

    def add(self, what: str, size: int) -> None:
        self.counts[what] += 1
        self.full_in_a_row = self.full_in_a_row + 1 if what == FULL else 0
        if what == LOADED:
            self.loaded_bytes += size

    def is_full(self) -> bool:
        return self.full_in_a_row >= _MOST_FULL

    def report(self) -> Message:
        return {"looked_at": sum(self.counts.values()), **self.counts, "bytes": self.loaded_bytes}


class Warming:
    """Loads what lies beneath the roots of `hosts`. `wake` lets answers that have paused go on."""

    def __init__(self, hosts: Hosts, loading: Loading, errands: Errands, wake: Callable[[], None]) -> None:
        self._hosts = hosts
        self._loading = loading
        self._errands = errands
        self._wake = wake

    def warm(self, question: Message, now_ns: int) -> Steps:
        """Load the files whose paths match `glob`, or all. Raises ValueError."""
        return self._warm(glob_of(question))

    def _warm(self, glob: Glob | None) -> Steps:
        warmth = _Warmth()
        under_way: set[bytes] = set()
        for host in self._hosts:
            yield from self._warm_site(host.site, glob, warmth, under_way)
        while under_way:
            yield self._pause(warmth)
        return {**warmth.report(), "is_full": warmth.is_full(), "shares": self._loading.shares}

    def _warm_site(self, site: Site, glob: Glob | None, warmth: _Warmth, under_way: set[bytes]) -> _Moves:
        folders = deque([b""])
        while folders and not warmth.is_full():
            names = yield from self._read(site, folders.popleft(), warmth)
            folders += (folder for folder in names.folders if not site.hides(folder))
            for number, file_path in enumerate(names.files):
                if number % _STEP == _STEP - 1:
                    yield None
                if warmth.is_full():
                    return
                path = site.path_of(file_path)
                if glob is None or any(glob.match(shown(name)) is not None for name in {path, file_path}):
                    yield from self._load(site, path, warmth, under_way)

    def _load(self, site: Site, path: bytes, warmth: _Warmth, under_way: set[bytes]) -> _Moves:
        def then(what: str, size: int) -> None:
            warmth.add(what, size)
            under_way.discard(path)
            self._wake()

        under_way.add(path)
        while not self._loading.load(site, path, b"", monotonic_ns(), then):
            # Without anything under way nobody would wake us: the pool is full of what others want.
            yield self._pause(warmth) if self._loading.under_way else None

    def _read(self, site: Site, folder: bytes, warmth: _Warmth) -> Generator[Message | Pause | None, None, Names]:
        """The names in `folder`; none where it cannot be read."""
        found: list[object] = []

        def settle(done: Finished) -> None:
            found.append(done.outcome)
            self._wake()

        errand = Errand((Warming, id(found), folder), partial(site.names_in, folder), settle, _nobody)
        while not self._errands.order(errand, monotonic_ns()):
            yield None
        while not found:
            yield self._pause(warmth)
        return found[0] if isinstance(found[0], Names) else Names([], [])

    def _pause(self, warmth: _Warmth) -> Message | Pause:
        """Nothing to do for now; now and then a sign of life."""
        now_ns = monotonic_ns()
        if now_ns - warmth.reported_ns < _REPORT_NS:
            return PAUSE
        warmth.reported_ns = now_ns
        return warmth.report()


def _nobody(*_: object) -> None:
    raise AssertionError("nobody waits for what is loaded ahead")
