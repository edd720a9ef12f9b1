# One measurement, and several: the server under test, the plan, the fleet, and what the server says of itself.
#
# Rule: what was started is stopped, however it ends. The first Ctrl-C ends the run with what there is, a second one
#       at once.
"""Carrying out what `wsrv bench` is asked for."""

import contextlib
import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from wsrv.cli import running
from wsrv.cli.benchbehind import Behind, Subject
from wsrv.cli.benchserver import OwnServer
from wsrv.cli.exits import NO_SERVER, USAGE, Stop
from wsrv.cli.progress import Progress
from wsrv.cli.voice import TerminalVoice
from wsrv.engine.bench import processes, workload
from wsrv.engine.bench.document import document
from wsrv.engine.bench.fleet import Fleet, Lost
from wsrv.engine.bench.plan import Plan, Tls
from wsrv.engine.bench.tally import Tally
from wsrv.engine.bench.workload import BadTarget, Target, UnknownHost

DEFAULT_SECONDS = 10.0
_SHOWN_SECONDS = 0.2
# Descriptors that a process of the generator has beside its connections.
_SPARE_FDS = 64

_REDIRECTS = (301, 302, 303, 307, 308)
# What is made of the kinds of errors where there is nothing else to show.
_IN_WORDS = {
    "refused": "the connection is refused",
    "reset": "it resets the connection",
    "closed": "it closes the connection without an answer",
    "cut short": "it closes the connection before its answer is whole",
    "malformed": "what it sends is not HTTP/1, or its head is too long",
    "unasked": "it sends more answers than it was asked for",
    "timeout": "nothing comes within --timeout",
}

Document = dict[str, Any]


def warn(text: str) -> None:
    """A warning on stderr."""
    TerminalVoice().warn(text)


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. `paths` are empty where the URL says what to ask for."""

    url: str | None
    server_options: tuple[str, ...]
    connections: int
    number: int | None
    seconds: float | None
    rate: float | None
    keep_alive: bool
    pipeline: int
    fields: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]
    picks: tuple[int, ...]
    workload: dict[str, Any]
    warm_up_seconds: float
    timeout_seconds: float
    processes: int
    insecure: bool

    @classmethod
    def of(cls, how: Mapping[str, Any], server_options: Sequence[str]) -> "Wanted":
        """What the options say. Raises click.UsageError and Stop."""
        if how["url"] is not None and server_options:
            raise click.UsageError("options of serve are for a server of bench's own; leave URL out")
        if how["requests"] and how["duration"]:
            raise click.UsageError("--requests and --duration exclude each other")
        if how["pipeline"] > 1 and (how["rate"] or how["no_keepalive"]):
            raise click.UsageError("--pipeline goes with neither --rate nor --no-keepalive")
        if how["zipf"] and not how["urls"]:
            raise click.UsageError("--zipf draws from what --urls lists")
        paths: list[str] = []
        picks: Sequence[int] = (0,)
        if how["urls"]:
            try:
                listed = workload.targets_in(Path(how["urls"]))
            except BadTarget as error:
                raise Stop(USAGE, str(error)) from error
            if how["zipf"]:
                paths = workload.by_popularity(listed)
                picks = tuple(workload.zipf(len(paths), how["zipf"]))
            else:
                paths, picks = workload.distinct(listed)
        spare = max(1, len(os.sched_getaffinity(0)) // 2)
        return cls(
            url=how["url"],
            server_options=tuple(server_options),
            connections=how["connections"],
            number=how["requests"],
            seconds=None if how["requests"] else how["duration"] or DEFAULT_SECONDS,
            rate=how["rate"],
            keep_alive=not how["no_keepalive"],
            pipeline=how["pipeline"],
            fields=tuple(_field(text) for text in how["header"]),
            paths=tuple(paths),
            picks=tuple(picks),
            workload={"urls": how["urls"], "zipf": how["zipf"]},
            warm_up_seconds=how["warm_up"],
            timeout_seconds=how["timeout"],
            processes=how["processes"] or spare,
            insecure=how["insecure"],
        )

    def plan(self, target: Target) -> Plan:
        """How to ask `target`."""
        paths = self.paths or (target.path,)
        return Plan(
            address=target.address,
            requests=tuple(workload.request(target, path, self.keep_alive, self.fields) for path in paths),
            picks=self.picks,
            connections=self.connections,
            number=self.number,
            seconds=self.seconds,
            keep_alive=self.keep_alive,
            pipeline=self.pipeline,
            rate=self.rate,
            timeout_seconds=self.timeout_seconds,
            warm_up_seconds=self.warm_up_seconds,
            # A server of bench's own has whatever certificate it was given.
            tls=Tls(target.tls_name, self.url is not None and not self.insecure) if target.tls_name else None,
        )


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isascii() or not text.isprintable():
        raise click.UsageError(f"{text!r} is not a field, as 'Accept-Encoding: br'")
    return name.strip(), value.strip()


@contextlib.contextmanager
def _subject(wanted: Wanted, options: Sequence[str] = ()) -> Iterator[Subject]:
    """The server at URL, or one that is there until the context ends. Raises Stop."""
    if wanted.url is not None:
        yield _there(wanted.url)
        return
    with OwnServer([*wanted.server_options, *options]) as own:
        yield Subject(own.url, workload.target_of(own.url), own.pid, own.running, own.log)


def _there(url: str) -> Subject:
    try:
        target = workload.target_of(url)
    except UnknownHost as error:
        raise Stop(NO_SERVER, str(error)) from error
    except BadTarget as error:
        raise Stop(USAGE, str(error)) from error
    if isinstance(target.address, str) or not target.is_local:
        return Subject(url, target, None, None)
    pid = processes.listening(target.address[1])
    own = [server for server in running.servers(None) if pid is not None and server.pid == pid]
    return Subject(url, target, pid, own[0] if own else None)


def measure(wanted: Wanted, connections: Sequence[int]) -> tuple[list[Document], bool]:
    """A run for each number of connections; and whether somebody has interrupted it. Raises Stop."""
    found: list[Document] = []
    with _subject(wanted) as subject:
        _knock(wanted, subject)
        for number in connections:
            run, interrupted = _run(replace(wanted, connections=number), subject, f"{number:,} connections")
            if run["answers"] or not interrupted:
                found.append(run)
            if interrupted:
                return found, True
    return found, False


def compare(wanted: Wanted, key: str, values: Sequence[str], rounds: int) -> tuple[dict[str, list[Document]], bool]:
    """For each value of serve's option `key` its runs, round by round; and whether it was interrupted. Raises Stop."""
    runs: dict[str, list[Document]] = {value: [] for value in values}
    with contextlib.ExitStack() as stack:
        subjects = {value: stack.enter_context(_subject(wanted, (f"--{key}", value))) for value in values}
        for subject in subjects.values():
            _knock(wanted, subject)
        for number in range(rounds):
            for value, subject in subjects.items():
                run, interrupted = _run(wanted, subject, f"round {number + 1} of {rounds}, {value}")
                if interrupted:
                    return {name: those[:number] for name, those in runs.items()}, True
                runs[value].append(run)
    return runs, False


def _knock(wanted: Wanted, subject: Subject) -> None:
    """Ask once, so that what never answers is said before anything is measured."""
    plan = replace(wanted.plan(subject.target), connections=1, number=1, seconds=None, pipeline=1, rate=None)
    tally, _ = _carry_out(replace(plan, warm_up_seconds=0), 1, "")
    if tally.errors:
        kind = next(iter(tally.errors))
        hint = "; --insecure accepts it" if kind.startswith("certificate") else ""
        raise Stop(NO_SERVER, f"{subject.url} does not answer: {_IN_WORDS.get(kind, kind)}{hint}")
    for status in tally.statuses if not wanted.paths else ():
        if status in _REDIRECTS:
            warn(f"{subject.url} answers {status}: that is what is measured, not where it leads")
        elif status >= 400:
            warn(f"{subject.url} answers {status}")


def require_answers(found: Sequence[Document]) -> None:
    """Stop where a run has had none: the first request was answered, and then nobody was there. Raises Stop."""
    for each in found:
        if not each["answers"]:
            errors = ", ".join(f"{kind} {number:,}" for kind, number in each["errors"].items())
            raise Stop(NO_SERVER, f"{each['url']} has answered nothing" + (f": {errors}" if errors else ""))


def _run(wanted: Wanted, subject: Subject, what: str) -> tuple[Document, bool]:
    plan = wanted.plan(subject.target)
    number = min(wanted.processes, wanted.connections)
    _make_room(-(-wanted.connections // number))
    behind = Behind(subject)
    tally, interrupted = _carry_out(plan, number, what, behind.begin)
    settings = {
        "path": subject.target.path,
        "fields": [f"{name}: {value}" for name, value in wanted.fields],
        "server": list(wanted.server_options),
        **wanted.workload,
    }
    found = document(subject.url, plan, number, tally, settings)
    if (server := behind.end(tally.answers)) is not None:
        found["server"] = server
    return found, interrupted


def _carry_out(plan: Plan, number: int, what: str, begin: Callable[[], None] = lambda: None) -> tuple[Tally, bool]:
    """What came of the plan, and whether it was cut short. `begin` is called between the warm-up and the run."""
    fleet = Fleet(plan, number)
    interrupted = False
    through = False
    try:
        with Progress() as progress:
            progress.begin(f"{what}, warming up:")
            for waits in (fleet.warm, fleet.wait):
                shown, over = 0, False
                while not over:
                    try:
                        over = waits(_SHOWN_SECONDS)
                        done = sum(fleet.progress())
                        progress.step(done - shown)
                        shown = done
                    except KeyboardInterrupt:
                        if interrupted:
                            raise
                        interrupted = True
                        fleet.stop()
                if waits == fleet.warm:
                    begin()
                    progress.begin(f"{what}:", plan.number or 0)
                    fleet.go()
            through = True
            return fleet.result(), interrupted
    except Lost as error:
        raise Stop(NO_SERVER, str(error)) from error
    finally:
        if not through:
            fleet.kill()


def _make_room(connections: int) -> None:
    """Raise the limit of descriptors to what a process needs. Raises Stop."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _SPARE_FDS
    if needed > hard:
        raise Stop(
            USAGE, f"{connections:,} connections a process are more than the {hard:,} descriptors that it may have"
        )
    if needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
