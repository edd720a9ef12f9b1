# Rule: nothing is said before a second has passed, and nothing at all unless a person sits in front of stderr.
"""How far a long command has come, on a line of the terminal that is gone at the end."""

import sys
from time import monotonic
from types import TracebackType

FIRST_SECONDS = 1.0
NEXT_SECONDS = 0.1

_CLEAR = "\r\x1b[K"


class Progress:
    """A line on stderr that is written anew. A context manager: the line is gone when it ends, however it ends."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._next = monotonic() + FIRST_SECONDS
        self._shown = False
        self._what = ""
        self._done = 0
        self._all = 0

    def begin(self, what: str, everything: int = 0) -> None:
        """From now on it is `what` that goes on, in `everything` steps, when that is known."""
        self._what, self._done, self._all = what, 0, everything

    def step(self, steps: int) -> None:
        """So much more is done."""
        self._done += steps
        if self._on_terminal and monotonic() >= self._next:
            self._show()

    @property
    def done(self) -> int:
        """How many steps are done of what goes on."""
        return self._done

    def _show(self) -> None:
        share = f" {100 * self._done // self._all} %" if self._all else f" {self._done:,}"
        self._shown = True  # before it is: Ctrl-C may come between the two
        sys.stderr.write(f"{_CLEAR}{self._what}{share}")
        sys.stderr.flush()
        self._next = monotonic() + NEXT_SECONDS

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
            self._shown = False
