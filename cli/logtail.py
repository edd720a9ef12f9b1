# `wsrv log tail`: lines of an access log, from where they are.
#
#   PATH given              that file; - is standard input. No server is needed, nor a system that could run one
#   the server has a file   that file
#   else                    its control socket: what its rings still hold, then what is new
#
# Rule: a source gives batches of lines without their ends, an empty one when nothing came for a while; it knows
#       nothing of filters but how far back it has to look.
"""The command `wsrv log tail`."""

import os
import shutil
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from wsrv.cli import logview
from wsrv.cli.exits import NO_SERVER, USAGE, Stop
from wsrv.cli.logfilter import Clients, Filter, Methods, Paths, Since, Statuses
from wsrv.cli.progress import Progress
from wsrv.cli.screen import Screen
from wsrv.cli.units import Count, Place, Seconds
from wsrv.cli.voice import complain, nobody_reads_stdout
from wsrv.cli.workers import server_options

if TYPE_CHECKING:
    from wsrv.engine.log.line import Line

POLL_SECONDS = 0.1
_REDRAW_SECONDS = 1.0
_LAST = 10
_TOP = 20
_MOST_LINES = 10_000_000
_MAX_WORKER = 1_000_000
_LINE_BYTES = 1024 * 1024
_PATIENCE_SECONDS = 5.0

Batches = Iterator[list[bytes]]


@click.command("tail")
@click.argument("path", required=False, type=Place(dash=True), metavar="[PATH]")
@click.option("-n", "--lines", type=Count(0, _MOST_LINES), metavar="N", help="The last N that match.  [default: 10]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, through every rotation.")
@click.option("--status", type=Statuses(), help="Only these: 404, or a class: 5xx.")
@click.option("--method", type=Methods(), help="Only these methods.")
@click.option("--path", "glob", type=Paths(), help="Only paths that match: '/img/**', '*.css'.")
@click.option("--client", type=Clients(), help="Only these clients: 10.0.0.0/8, ::1.")
@click.option("--slower-than", type=Seconds(), help="Only what took longer: 100ms. Needs a log in JSON.")
@click.option(
    "--since", type=Since(), help="Only what is not older: 10m, 2h, or a time. All of it, unless -n is given."
)
@click.option("--worker", type=Count(0, _MAX_WORKER), metavar="N", help="Only answers of this worker. Needs JSON.")
@click.option(
    "--cache",
    type=click.Choice(("hit", "miss", "negative")),
    help="Only what the cache had, had not, or knew to be missing. Needs JSON.",
)
@click.option("--count-by", type=click.Choice(tuple(logview.COUNTED)), help="Count them: a list, live with -f.")
@click.option("--json", "as_json", is_flag=True, help="Print an object a line, whatever the format of the log.")
@server_options
def command(
    path: str | None,
    lines: int | None,
    follow: bool,
    count_by: str | None,
    as_json: bool,
    name: str | None,
    runtime_dir: str | None,
    glob: Any,
    **asked: Any,
) -> None:
    """Show the last lines of an access log, and follow it.

    PATH is a log in Combined, Common or JSON format, gzipped or not; - is standard input. Without it, the log of the
    running server: its file, or where it logs to standard output, what it says over its control socket.

    \b
    Examples:
      wsrv log tail -f --status 4xx,5xx         what goes wrong, as it does
      wsrv log tail -f --slower-than 100ms      what is slow, of a log in JSON
      wsrv log tail --since 1h --count-by path  what was asked for most
      wsrv log tail access.log.3.gz --client 10.0.0.0/8 --json | jq .target

    Exit status: 0 shown, 2 wrong usage, or no such file, 3 no server runs.
    """
    wanted = Filter(path=glob, **asked)
    if lines is None and not count_by and wanted.since is None:
        lines = _LAST
    view = _view(count_by, as_json)
    tail = Tail(wanted, lines, follow, view)
    batches = tail.of_path(path) if path is not None else tail.of_server(name, runtime_dir)
    if isinstance(view, logview.Counts):
        _count(view, tail, batches, as_json)
    else:
        for batch in batches:
            tail.show(batch)
            view.flush()
            if not batch and nobody_reads_stdout():
                break
    tail.finish()


def _view(count_by: str | None, as_json: bool) -> logview.View:
    if count_by:
        return logview.Counts(count_by)
    if as_json:
        return logview.AsJson()
    return logview.Columns(lambda: shutil.get_terminal_size().columns) if sys.stdout.isatty() else logview.Verbatim()


def _count(view: logview.Counts, tail: "Tail", batches: Batches, as_json: bool) -> None:
    """Show the list at the end, or while lines come: in place on a terminal, one after the other elsewhere."""
    on_terminal = sys.stdout.isatty() and not as_json

    def lines(most: int, width: int) -> list[str]:
        return view.documents() if as_json else view.table(most, width)

    if not tail.follows:
        with Progress() as progress:
            for batch in batches:
                progress.begin("lines counted:", len(batch))
                tail.show(batch, progress)
        click.echo("\n".join(lines(_TOP, shutil.get_terminal_size().columns if on_terminal else 80)))
    elif on_terminal:
        with Screen() as screen:
            for _ in _each_second(batches, tail):
                columns, rows = screen.size()
                screen.draw(lines(rows - 2, columns))
    else:
        for _ in _each_second(batches, tail):
            click.echo("\n".join([*lines(_TOP, 80), *([] if as_json else [""])]))
            sys.stdout.flush()


def _each_second(batches: Batches, tail: "Tail") -> Iterator[None]:
    """Take lines in, and say when it is time to show what came of them."""
    due = 0.0
    for batch in batches:
        tail.show(batch)
        if time.monotonic() >= due:
            yield
            due = time.monotonic() + _REDRAW_SECONDS
    yield


class Tail:
    """What is wanted of a log, and where it goes."""

    def __init__(self, wanted: Filter, count: int | None, follows: bool, view: logview.View) -> None:
        self.follows = follows
        self._wanted = wanted
        self._count = count
        self._view = view
        self._parses = wanted.asks or not isinstance(view, logview.Verbatim)
        self._unread = 0

    def show(self, batch: list[bytes], progress: Progress | None = None) -> None:
        """Show those lines of a batch that are wanted. `progress` is for views that keep them for later."""
        for text in batch:
            if progress is not None:
                progress.step(1)
            if not self._parses:
                self._view.show(text, None)
                continue
            line = self._line(text)
            if line is not None and self._wanted.wants(line):
                self._view.show(text, line)
            elif line is None and not self._wanted.asks:
                self._view.show(text, None)

    def finish(self) -> None:
        """Say what could not be read."""
        if self._unread:
            some = "1 line is" if self._unread == 1 else f"{self._unread:,} lines are"
            complain(f"{some} left out, as no access log has such")

    def _line(self, text: bytes) -> "Line | None":
        from wsrv.engine.log.entries import Malformed
        from wsrv.engine.log.line import parse

        try:
            return parse(text)
        except Malformed:
            self._unread += bool(text.strip())
            return None

    def _is_wanted(self, text: bytes) -> bool | None:
        """Of a line on the way back: whether it is wanted; None when it is too old, and all before it are."""
        if not self._wanted.asks:
            return True
        line = self._line(text)
        if line is None:
            return False
        return None if self._wanted.is_past(line) else self._wanted.wants(line)

    # Sources.

    def of_path(self, path: str) -> Batches:
        """The lines of a file, or of standard input."""
        if path == "-":
            return self._of_stream(sys.stdin.buffer)
        from wsrv.engine.log.packed import GZIP_MAGIC, is_packed

        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe, as of <(command): what is read of it is gone
                return self._of_stream(open(path, "rb"))  # closed with the generator
            with open(path, "rb") as stream:
                packed = is_packed(stream.read(len(GZIP_MAGIC)))
            if not packed:
                return self._of_file(path)
            if self.follows:
                raise Stop(USAGE, f"{path} is compressed: nothing is added to it; leave --follow out")
            return self._of_stream(open(path, "rb"))
        except OSError as error:
            raise Stop(USAGE, f"cannot read {path}: {error.strerror or error}") from error

    def _of_file(self, path: str) -> Batches:
        from wsrv.engine.log.follow import Follower, backwards

        follower = Follower(path)
        try:
            # What was begun and is not whole yet is a line, unless its end is waited for.
            end = follower.offset if self.follows else os.fstat(follower.fd).st_size
            yield self._last(backwards(follower.fd, end), end)
            while self.follows:
                text = follower.read()
                if text:
                    yield text[:-1].split(b"\n")
                else:
                    yield []
                    time.sleep(POLL_SECONDS)
        except OSError as error:
            raise Stop(USAGE, f"cannot read {path}: {error.strerror or error}") from error
        finally:
            follower.close()

    def _last(self, lines: Iterator[bytes], size: int) -> list[bytes]:
        """Those that are wanted of lines that come backwards, out of `size` bytes."""
        from wsrv.engine.log.follow import last

        with Progress() as progress:
            progress.begin("bytes looked through:", size)

            def is_wanted(text: bytes) -> bool | None:
                progress.step(len(text) + 1)
                return self._is_wanted(text)

            return last(lines, self._count, is_wanted)

    def _of_stream(self, stream: "IO[bytes]") -> Batches:
        """Lines of what can only be read forwards."""
        from wsrv.engine.log.packed import DAMAGE, unpacked

        found: deque[bytes] = deque(maxlen=self._count)
        lines = unpacked(stream)
        with stream, Progress() as progress:
            progress.begin("lines looked through:")
            try:
                while text := lines.readline(_LINE_BYTES):
                    text = text.rstrip(b"\n")
                    if self.follows:
                        yield [text]
                        continue
                    progress.step(1)
                    if self._is_wanted(text):
                        found.append(text)
            except DAMAGE as error:
                complain(f"the compressed file breaks off: {error}")
        yield list(found)

    def of_server(self, name: str | None, runtime_dir: str | None) -> Batches:
        """The lines of a running server."""
        from wsrv.cli import running

        server = running.find(name, runtime_dir)
        told = running.ask(server, {"command": "log"})["path"]
        if told is not None:
            try:
                with open(told, "rb"):
                    return self._of_file(told)
            except OSError:
                # Another user's, or in another place of the system: the server itself can tell.
                pass
        return self._live(server.socket_path, f"server {server.name}")

    def _live(self, socket_path: Any, who: str) -> Batches:
        from wsrv.engine.log.line import epoch_of
        from wsrv.engine.master.ask import NoAnswer, Refused, ask_on

        past: list[bytes] | None = []
        is_wanted: Callable[[bytes], bool | None] = self._is_wanted
        try:
            for part in ask_on(socket_path, {"command": "log lines", "follow": self.follows}, _PATIENCE_SECONDS):
                texts = [text for text in part.get("text", "").encode("latin-1").split(b"\n") if text]
                if past is not None and part.get("past"):
                    past += texts
                    continue
                if past is not None:
                    wanted = [text for text in past if is_wanted(text)]
                    moments = {text: epoch_of(line.time) if (line := self._line(text)) else None for text in wanted}
                    # Each worker's lines are in order; those of several are put in it.
                    wanted.sort(key=lambda text: moments[text] or 0.0)
                    yield wanted if self._count is None else wanted[len(wanted) - min(self._count, len(wanted)) :]
                    past = None
                if part.get("lost"):
                    complain(f"{part['lost']:,} bytes of lines came too fast, and are left out")
                yield texts
        except NoAnswer as error:
            raise Stop(NO_SERVER, f"{who}: {error}") from error
        except Refused as error:
            raise Stop(NO_SERVER, f"{who} refuses: {error}") from error
