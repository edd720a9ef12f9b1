# Rule: however it ends, the terminal is as it was: the other screen is left, the cursor is there, lines wrap.
"""A screen that is drawn anew."""

import shutil
import signal
import sys
from collections.abc import Sequence
from types import FrameType, TracebackType

# The other screen, no cursor, and no line goes on in the next one: what is too long ends at the edge.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME = "\x1b[H"
_REST_OF_LINE = "\x1b[K"
_REST_OF_SCREEN = "\x1b[J"


class Screen:
    """The whole terminal, on stdout. A context manager. Escapes of colours may be in the lines; they take no room."""

    def __enter__(self) -> "Screen":
        self._terminated = signal.signal(signal.SIGTERM, _interrupt)
        sys.stdout.write(_ENTER)
        sys.stdout.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, self._terminated)

    @staticmethod
    def size() -> tuple[int, int]:
        """Columns and lines, as they are now."""
        found = shutil.get_terminal_size((80, 24))
        return found.columns, found.lines

    def draw(self, lines: Sequence[str]) -> None:
        """Show the lines from the top, as many as there is room for."""
        _, most = self.size()
        # Cleared before it is written: behind a line that fills its row it would take the last character.
        text = "\r\n".join(f"{_REST_OF_LINE}{line}" for line in lines[:most])
        sys.stdout.write(f"{_HOME}{text}{_REST_OF_SCREEN}")
        sys.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
