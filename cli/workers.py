# Asking the workers of a running server, by way of its master.
#
# Rule: a worker that does not answer is named, and costs the answer of nobody else.
"""Questions to workers, and what they have answered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from wsrv.cli.exits import CHECK_FAILED, NO_SERVER, USAGE, Stop
from wsrv.cli.units import Place, ServerName

if TYPE_CHECKING:
    from wsrv.engine.master.runtime import RunningServer

Document = dict[str, Any]

# In place of a worker's number, for what is held for all of them.
SHARED = "shared"


@dataclass
class Answers:
    """What the workers have said: their pages in order, each with the worker's number, and who has not."""

    pages: list[tuple[int, Document]] = field(default_factory=list)
    last: dict[int, Document] = field(default_factory=dict)
    silent: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    def entries(self) -> list[Document]:
        """Every entry of every page, with its worker."""
        return [{**entry, "worker": called(worker)} for worker, page in self.pages for entry in page["entries"]]

    def complaints(self) -> list[str]:
        """Who has not answered, a line each."""
        return [
            *(f"{_who(number)} stands still and has not answered" for number in self.silent),
            *(f"{_who(number)} ended before it had answered" for number in self.gone),
        ]


def called(number: int) -> int | str:
    """How a worker is listed, or the keeper of what all workers share."""
    return number if number >= 0 else SHARED


def _who(number: int) -> str:
    return f"worker {number}" if number >= 0 else "the keeper of the shared cache"


def server_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which a running server is chosen."""
    for option in (
        click.option(
            "--runtime-dir",
            type=Place(folder=True),
            metavar="PATH",
            help="Where the server can be found, if not where this user's servers are.  [env: WSRV_RUNTIME_DIR]",
        ),
        click.option("--name", type=ServerName(), metavar="NAME", help="Which server, where several run."),
    ):
        function = option(function)
    return function


def ask(
    server: "RunningServer", question: Document, hear: Callable[[int, Document], None] = lambda worker, page: None
) -> Answers:
    """What all workers answer; `hear` is told of each page as it comes. Raises Stop when none answers."""
    found = Answers()
    for part in _parts(server, {"command": "ask", "question": question}):
        if "worker" not in part:
            found.silent, found.gone = part["silent"], part["gone"]
            continue
        worker, page = part["worker"], part["page"]
        if "error" in page:
            raise Stop(USAGE, f"worker {worker}: {page['error']}")
        if part["last"]:
            found.last[worker] = page
        found.pages.append((worker, page))
        hear(worker, page)
    if not found.last:
        raise Stop(NO_SERVER, f"server {server.name}: {'; '.join(found.complaints()) or 'it has no workers'}")
    return found


def _parts(server: "RunningServer", request: Document) -> Iterator[Document]:
    from wsrv.engine.master.ask import NoAnswer, Refused, ask_on

    who = f"server {server.name} (pid {server.pid or 'unknown'})"
    try:
        yield from ask_on(server.socket_path, request)
    except NoAnswer as error:
        raise Stop(NO_SERVER, f"{who}: {error}") from error
    except Refused as error:
        raise Stop(NO_SERVER, f"{who} refuses: {error}") from error


def glob(pattern: str | None) -> Document:
    """The part of a question that says which paths. Raises Stop for what is no pattern."""
    if pattern is None:
        return {}
    from wsrv.engine.static.glob import BadGlob, Glob

    try:
        Glob(pattern)
    except BadGlob as error:
        raise Stop(USAGE, f"{pattern!r} is no pattern: {error}") from error
    return {"glob": pattern}


def finish(found: Answers) -> None:
    """Say who has not answered, and end with a status that tells. Raises Stop."""
    if complaints := found.complaints():
        raise Stop(CHECK_FAILED, "\n".join(complaints))
