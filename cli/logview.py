# How lines of an access log are shown.
#
#   on a terminal     10:15:24  192.0.2.7  GET   200   3.0K  0.4ms  hit  /index.html        cut to its width
#   anywhere else     the line, byte for byte
#   --json            an object a line
#
# Rule: nothing that a client sent reaches a terminal unprintable.
"""Views of lines: as they are, for people, as JSON, and counted."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

from wsrv.cli import figures
from wsrv.cli.voice import colourful

if TYPE_CHECKING:
    from wsrv.engine.log.line import Line

_DIM = "2"
_CLASSES = {"1": "36", "2": "32", "3": "36", "4": "33", "5": "31"}
_NARROW, _WIDE = 15, 39
# In four columns.
_CACHE = {"negative": "none"}
# Keys that are counted at once; clients can make up any number of them.
MOST_KEYS = 200_000
_KEPT_KEYS = 50_000


class View(Protocol):
    """Where lines go: `line` is what `text` says, None where that is no line of a log."""

    def show(self, text: bytes, line: "Line | None") -> None:
        """Show it, now or with the next flush."""

    def flush(self) -> None:
        """Nothing more comes for the moment."""


class Verbatim:
    """The lines as they are. `parses` is False: they need not even be understood."""

    def show(self, text: bytes, line: "Line | None") -> None:
        sys.stdout.buffer.write(text + b"\n")

    def flush(self) -> None:
        sys.stdout.buffer.flush()


class AsJson:
    """An object a line, under the same names whatever the log has; of what is none of them, nothing."""

    def show(self, text: bytes, line: "Line | None") -> None:
        if line is not None:
            sys.stdout.buffer.write(json.dumps(line.document(), ensure_ascii=False).encode() + b"\n")

    def flush(self) -> None:
        sys.stdout.buffer.flush()


class Columns:
    """For a person in front of a terminal of `width()` columns."""

    def __init__(self, width: Callable[[], int]) -> None:
        self._width = width
        self._paints = colourful(sys.stdout)
        self._client = 9
        self._today = date.today()

    def show(self, text: bytes, line: "Line | None") -> None:
        width = self._width()
        if line is None:
            shown = figures.shortened(figures.plain(text.decode("utf-8", "replace")), width)
        else:
            shown = self.described(line, width)
        sys.stdout.write(shown + "\n")

    def flush(self) -> None:
        sys.stdout.flush()

    def described(self, line: "Line", width: int) -> str:
        """The line in `width` columns."""
        most = _NARROW if width < 120 else _WIDE
        self._client = min(most, max(self._client, len(line.client)))
        client = figures.shortened(figures.plain(line.client), self._client)
        status = self._paint(f"{line.status}", _CLASSES.get(f"{line.status}"[0], "0"))
        method = figures.plain(line.method or "-")[:7]
        before = f"{client:<{self._client}}  {method:<4} "
        after = f"{figures.size(line.bytes):>5}"
        if line.is_json:
            took = "-" if line.duration is None else _took(line.duration)
            after += f" {took:>6} {_CACHE.get(line.cache or '', line.cache or '-'):<4}"
            if width >= 120 and line.worker is not None:
                after += f" w{line.worker}"
        clock = self.clock(line.time)
        used = len(clock) + 2 + len(before) + 3 + 1 + len(after) + 2
        target = figures.shortened(figures.plain(line.target), max(8, width - used))
        return f"{self._paint(clock, _DIM)}  {before}{status} {after}  {target}"

    def clock(self, moment: str) -> str:
        """The time of day, with the day where that is not today."""
        from wsrv.engine.log.line import epoch_of, rfc3339

        said = rfc3339(moment)
        try:
            then = datetime.fromisoformat(said)
        except ValueError:
            epoch = epoch_of(moment)
            if epoch is None:
                return figures.plain(said)[:8] or "-"
            then = datetime.fromtimestamp(epoch)
        return f"{then:%H:%M:%S}" if then.date() == self._today else f"{then:%m-%d %H:%M:%S}"

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._paints else text


def _took(seconds: float) -> str:
    if seconds < 0.00995:
        return f"{1000 * seconds:.1f}ms"
    return f"{1000 * seconds:.0f}ms" if seconds < 0.9995 else f"{seconds:.1f}s"


COUNTED: dict[str, Callable[["Line"], str]] = {
    "path": lambda line: line.path,
    "status": lambda line: str(line.status),
    "client": lambda line: line.client,
}


class Counts:
    """How often each path, status or client was seen, and the bytes that it got."""

    def __init__(self, by: str) -> None:
        self.by = by
        self._key = COUNTED[by]
        self._seen: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self.lines = 0
        self.left_out = 0

    def show(self, text: bytes, line: "Line | None") -> None:
        if line is None:
            return
        key = self._key(line)
        self.lines += 1
        self._seen[key] += 1
        self._bytes[key] += line.bytes
        if len(self._seen) > MOST_KEYS:
            self._forget()

    def flush(self) -> None:
        """What was counted is shown by whoever asks for it."""

    def _forget(self) -> None:
        """The rarest go: they would never be in the list."""
        kept = dict(self._seen.most_common(_KEPT_KEYS))
        self.left_out += len(self._seen) - len(kept)
        self._seen = Counter(kept)
        self._bytes = Counter({key: self._bytes[key] for key in kept})

    def top(self, most: int) -> list[tuple[str, int, int]]:
        """The most frequent: key, how often, how many bytes."""
        # Of equals the first in the alphabet, so that lines do not jump.
        found = sorted(self._seen.items(), key=lambda item: (-item[1], item[0]))[:most]
        return [(key, seen, self._bytes[key]) for key, seen in found]

    def table(self, most: int, width: int) -> list[str]:
        """The list for people."""
        rows = [
            (f"{seen:,}", f"{100 * seen / self.lines:.1f}%", figures.size(size), figures.plain(key))
            for key, seen, size in self.top(most)
        ]
        said = f"{self.lines:,} requests, {len(self._seen) + self.left_out:,} different"
        said += f", {self.left_out:,} rare ones forgotten" if self.left_out else ""
        return [said, *(figures.table(("requests", "share", "bytes", self.by), rows, width) if rows else [])]

    def documents(self) -> list[str]:
        """An object each, the most frequent first."""
        return [
            json.dumps({self.by: key, "requests": seen, "bytes": size}, ensure_ascii=False)
            for key, seen, size in self.top(len(self._seen))
        ]
