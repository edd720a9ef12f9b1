# From files to a trace: which requests count, and what size their objects have.
#
# Rule 1: what counts is a GET or HEAD that was answered 200, 206 or 304: each asked for an object that was there. Other
#   answers are counted as such and asked for nothing that a cache would hold.
# Rule 2: the size of an object is the largest body of a GET that was answered 200: 206 and 304 and HEAD carry less or
#   nothing, an answer that the client broke off is logged with what went out, and a coded one is smaller than the file.
#   An object that shrank is thus taken for too large, and one of several codings for one object. In CSV, which lists
#   sizes and not bodies, each line's own size counts.
# Rule 3: an object without any 200 has no size; its requests are left out, and counted.
# Rule 4: requests come in the order of their lines, as they were served, whatever their times say; CSV whose times go
#   back is counted as such.
# Rule 5: a line that cannot be read is counted, and the first few are named; it ends nothing.
"""Access logs and traces as traces of requests."""

import math
from collections.abc import Iterator
from typing import IO

from wsrv.engine.cache.simulation.trace import Progress, Trace, nobody
from wsrv.engine.log.entries import CSV, Entry, Malformed, Way, recognise, seconds_of
from wsrv.engine.log.packed import DAMAGE, unpacked

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# A longer line is none of a log: heads are bounded to a few tens of KiB.
LINE_BYTES = 256 * 1024

LIVE = "live"

# So many bad lines are named.
NAMED = 5

# Lines between two words about progress.
STRIDE = 20_000

COUNTING_METHODS = (b"GET", b"HEAD")
WHOLE = 200
COUNTING = (WHOLE, 206, 304)


class Reading:
    """What was read of one or more files: `trace` after `finish`, and what is not in it."""

    def __init__(self, progress: Progress = nobody) -> None:
        self.trace = Trace()
        # Of each file in turn; LIVE for what stood in none.
        self.formats: list[str] = []
        self.lines = 0
        self.other_answers = 0
        self.unsized = 0
        self.bad_lines = 0
        self.bad: list[str] = []
        self._progress = progress
        self._keys: list[bytes] = []
        self._sizes: list[int | None] = []
        self._largest: dict[bytes, int] = {}
        self._span = Span()

    def add(self, name: str, stream: IO[bytes]) -> None:
        """Read all of `stream`, gzipped or not. Raises OSError when it cannot be read at all."""
        way: Way | None = None
        self._span.begin()
        for number, line in enumerate(_lines(stream), start=1):
            self.lines += 1
            if number % STRIDE == 0:
                self._progress(STRIDE)
            if isinstance(line, str):
                self._complain(name, number, line)
                continue
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            if not line.strip():
                continue
            try:
                if way is None:
                    way = recognise(line)
                    self.formats.append(way.name)
                    if way.begins_below:
                        continue
                self._take(way.read(line), way.name == CSV)
            except (Malformed, OverflowError) as error:
                self._complain(name, number, str(error) or "out of bounds")
        self._span.end()

    def _complain(self, name: str, number: int, why: str) -> None:
        self.bad_lines += 1
        if len(self.bad) < NAMED:
            self.bad.append(f"{name}:{number}: {why}")

    def _take(self, entry: Entry, exact: bool) -> None:
        if entry.method not in COUNTING_METHODS or entry.status not in COUNTING:
            self.other_answers += 1
            return
        key, size = entry.key, entry.size_bytes
        if size is not None and not 0 <= size < 1 << 63:
            raise Malformed(f"of {size} bytes")
        if exact:
            self._span.note(entry.moment)
        else:
            self._span.glimpse(entry.moment)
            if entry.status == WHOLE and entry.method == b"GET" and size is not None:
                self._largest[key] = max(size, self._largest.get(key, 0))
            size = None
        self._keys.append(key)
        self._sizes.append(size)

    def note(self, seconds: float, key: bytes, size: int) -> None:
        """Add a request that stands in no file."""
        if not self.formats:
            self.formats.append(LIVE)
        self._span.note(str(seconds))
        self.trace.add(key, size)

    def finish(self) -> None:
        """Give every request the size of its object."""
        for key, size in zip(self._keys, self._sizes, strict=True):
            if size is None:
                size = self._largest.get(key)
            if size is None:
                self.unsized += 1
            else:
                self.trace.add(key, size)
        self._keys.clear()
        self._sizes.clear()

    @property
    def span_seconds(self) -> float | None:
        """From the earliest request that counts to the latest, as their lines have it; None when they do not say."""
        return self._span.seconds

    @property
    def times_back(self) -> int:
        """How many requests of CSV are earlier than the one before."""
        return self._span.times_back


class Span:
    """The times of requests. Each is noted, or glimpsed at: then only the first and the last of a file are read."""

    def __init__(self) -> None:
        self.times_back = 0
        self._earliest = math.inf
        self._latest = -math.inf
        self._before = -math.inf
        self._first = self._last = ""

    def begin(self) -> None:
        """A file begins."""
        self._before = -math.inf
        self._first = self._last = ""

    def note(self, moment: str) -> None:
        """The time of a request."""
        seconds = seconds_of(moment)
        if seconds is None or not math.isfinite(seconds):
            return
        self.times_back += seconds < self._before
        self._before = seconds
        self._earliest = min(self._earliest, seconds)
        self._latest = max(self._latest, seconds)

    def glimpse(self, moment: str) -> None:
        """The time of a request of a log, which are dear to read."""
        self._first = self._first or moment
        self._last = moment

    def end(self) -> None:
        """The file has ended. Lines of a log stand in the order in which they were answered, nearly that of time."""
        first, last, self._first, self._last = self._first, self._last, "", ""
        back = self.times_back
        self.note(first)
        self.note(last)
        self.times_back = back

    @property
    def seconds(self) -> float | None:
        """How long it is; None when there were no times."""
        return self._latest - self._earliest if self._latest >= self._earliest else None


def _lines(stream: IO[bytes]) -> Iterator[bytes | str]:
    """The lines; a text in place of one that is too long, or of the rest of a file that is broken."""
    stream = unpacked(stream)
    try:
        while line := stream.readline(LINE_BYTES):
            if len(line) < LINE_BYTES or line.endswith(b"\n"):
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = stream.readline(LINE_BYTES)
            yield f"longer than {LINE_BYTES // 1024} KiB"
    except DAMAGE as error:
        yield f"where the compressed file breaks off: {error}"
