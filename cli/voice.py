# How wsrv speaks to a person, on stderr.
#
# Rule 1: colour never changes the text, and is there only on a terminal, or with FORCE_COLOR; NO_COLOR outranks both.
# Rule 2: a reader of stderr that stopped does not stop the server: a line that would have to wait is dropped.
# Rule 3: what is quoted of files, names and answers moves no cursor: it is escaped where it cannot be printed.
"""Lines on stderr: errors of any command, and the Voice that `serve` lends to the master."""

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import TextIO

_RED = "31"
_YELLOW = "33"
_BOLD = "1"


def colourful(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour what goes to `stream` (no-color.org, force-color.org)."""
    if stream is None or environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


def _paint(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colourful(sys.stderr) else text


def plain(text: str) -> str:
    """`text` as one line that can be printed; what cannot is escaped as Python does."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _line(text: str) -> None:
    stream: TextIO | None = sys.stderr
    if stream is None:  # closed by whoever started us
        return
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        fd = _descriptor(stream)
        if fd is None:
            print(text, file=stream, flush=True)
        elif _takes_a_line(fd):
            # Past the buffer, where a line that could not be written would come back at exit and change the status.
            os.write(fd, f"{text}\n".encode(stream.encoding, "backslashreplace"))


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (AttributeError, OSError):  # a test's stream
        return None


def _takes_a_line(fd: int) -> bool:
    try:
        from select import POLLOUT, poll
    except ImportError:  # no poll: no server runs there either
        return True
    waiter = poll()
    waiter.register(fd, POLLOUT)
    return any(flags & POLLOUT for _, flags in waiter.poll(0))


def nobody_reads_stdout() -> bool:
    """Whether the reader has seen enough and left, as `head` does."""
    try:
        from select import POLLERR, poll
    except ImportError:
        return False
    waiter = poll()
    waiter.register(1)
    return any(flags & POLLERR for _, flags in waiter.poll(0))


def complain(message: str) -> None:
    """An error: each of its lines with the name of the program before it."""
    for text in message.splitlines():
        _line(f"{_paint('wsrv:', _RED)} {plain(text)}")


class TerminalVoice:
    """The Voice of a server in front of a person. `quiet` leaves nothing but errors, `verbose` adds details."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose

    def say(self, text: str) -> None:
        if not self._quiet:
            _line(f"{_paint('wsrv:', _BOLD)} {plain(text)}")

    def warn(self, text: str) -> None:
        if not self._quiet:
            _line(f"{_paint('wsrv:', _BOLD)} {_paint('warning:', _YELLOW)} {plain(text)}")

    def detail(self, text: str) -> None:
        if self._verbose:
            _line(f"{_paint('wsrv:', _BOLD)} {plain(text)}")
