# `wsrv cache simulate`: reads, replays, shows. What it computes stands in engine/cache/simulation.
"""The command `wsrv cache simulate`."""

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from wsrv.cli import running, workers
from wsrv.cli.exits import NOTHING_TO_MEASURE, USAGE, Stop
from wsrv.cli.linux import require_linux
from wsrv.cli.progress import Progress
from wsrv.cli.table import SETTINGS
from wsrv.cli.units import AUTO, Kind, Part, Place, Seconds, Size
from wsrv.cli.voice import TerminalVoice, colourful

if TYPE_CHECKING:
    from wsrv.cli.findings import Findings, Screen
    from wsrv.engine.cache.policy import Policy
    from wsrv.engine.cache.simulation.experiment import Curve, Experiment
    from wsrv.engine.log.reading import Reading
    from wsrv.engine.master.runtime import RunningServer
    from wsrv.plugins.registry import Registry

# What the others are compared with, where it is there: what a server has whose user has chosen nothing.
_USUAL = next(setting.default for setting in SETTINGS if setting.key == "cache.policy")


class Share(Kind):
    """A share of something, as a number above 0 and up to 1."""

    name = "share"
    allowed = "a number above 0 and up to 1"
    takes = (str,)

    def _read(self, value: str) -> float:
        share = float(value)
        if not (math.isfinite(share) and 0 < share <= 1):
            raise ValueError
        return share


@click.command("simulate")
@click.argument("files", metavar="TRACE|ACCESS_LOG...", type=Place(dash=True), nargs=-1)
@click.option("--live", is_flag=True, help="Listen to a running server instead.")
@click.option("--seconds", type=Seconds(), default="30s", show_default=True, metavar="TIME", help="How long to listen.")
@click.option(
    "--size",
    "sizes",
    type=Size(),
    multiple=True,
    metavar="SIZE",
    help="A size to try; again for more.  [default: several]",
)
@click.option(
    "--policy",
    "names",
    type=Part("policy"),
    multiple=True,
    metavar="NAME",
    help="Only this; again for more.  [default: all]",
)
@click.option(
    "--sample",
    type=Share(auto=True),
    default=AUTO,
    metavar="SHARE",
    help="Share of the objects; 1 for all.  [default: what is enough]",
)
@click.option("--svg", "plot_file", type=Place(), metavar="FILE", help="Draw the miss ratios into FILE, too.")
@click.option("--json", "as_json", is_flag=True, help="Print it all as JSON.")
@workers.server_options
def command(
    files: Sequence[str],
    live: bool,
    seconds: float,
    sizes: Sequence[int],
    names: Sequence[str],
    sample: float | str,
    plot_file: str | None,
    as_json: bool,
    name: str | None,
    runtime_dir: str | None,
) -> None:
    """Replay a log through every policy at many sizes, and say which to choose.

    Reads access logs in Combined, Common and JSON format, and CSV; gzipped or not; several in the order given, - is
    standard input. A line is a request, in the order of the lines. Lines that cannot be read are counted, and the
    first of them named.

    Of a log, GET and HEAD answered 200, 206 or 304 count; the query is no part of the key, and the size of an object
    is the largest body of a 200. CSV is TIME,KEY,SIZE, or names its columns in the first line: time, key and size in
    any order, others among them. A key may have any bytes but a line's end, a time may be a number or ISO 8601.

    Each cache is empty at first, and holds an object with the size that it came in with, until it leaves; a size of 0
    takes no room. Hits and misses are counted by object and by the bytes of each request. PFOO-L is the bound that no
    policy beats.

    A policy's parameters follow its name: --policy s3fifo:bounded=1 refuses what s3fifo's small queue could not hold,
    as libCacheSim's does.

    Long traces are sampled, never below some 10,000 objects; how far that is off is measured and shown.

    With --live the workers of a running server note what they are asked for, for a while: what comes from the cache
    or could; files above cache.max_object could not.

    \b
    Examples:
      wsrv cache simulate access.log
      wsrv cache simulate access.log* --policy lru --policy sieve --size 64MiB
      wsrv cache simulate --live --seconds 1m        what is asked now
      wsrv cache simulate trace.csv --svg miss-ratios.svg

    Exit status: 0 done, 2 a file cannot be read or a name is unknown, 3 no server runs, 4 nothing to measure, 130
    broken off.
    """
    require_linux()
    if any(size == 0 for size in sizes):
        raise click.UsageError("--size: a cache of 0 bytes holds nothing")
    if live == bool(files):
        raise click.UsageError("what to replay? files, or --live" if not live else "--live listens, and reads no files")
    voice = TerminalVoice()
    wish = None if isinstance(sample, str) else sample
    with Progress() as progress:
        policies = _policies(names, voice)
        if live:
            source = _listen(running.find(name, runtime_dir), sizes, wish, seconds, progress)
        else:
            source = _file_source(files, sizes, wish, progress, voice)
        findings = _findings(source, policies, progress)
        if plot_file is not None:
            try:
                Path(plot_file).write_text(findings.svg(), encoding="utf-8")
            except OSError as error:
                raise Stop(USAGE, f"cannot write the plot {plot_file}: {error.strerror}") from error
    click.echo(json.dumps(findings.document(), indent=2) if as_json else "\n".join(findings.lines(_screen())))


def _screen() -> "Screen | None":
    """The terminal that is written to, if it is one."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size

    from wsrv.cli.findings import Screen

    columns, lines = get_terminal_size()
    return Screen(columns, lines, colourful(sys.stdout))


def _name(files: Sequence[str]) -> str:
    first = "standard input" if files[0] == "-" else Path(files[0]).name
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _why_nothing(reading: "Reading") -> str:
    from wsrv.cli.findings import printable

    if not reading.lines:
        return "it is empty"
    said = [
        (reading.bad_lines, "could not be read"),
        (reading.other_answers, "are no GET or HEAD answered 200, 206 or 304"),
        (reading.unsized, "ask for objects that were never answered 200"),
    ]
    first = f" (the first: {printable(reading.bad[0])})" if reading.bad else ""
    return f"of {reading.lines:,} lines, " + ", ".join(f"{count:,} {what}" for count, what in said if count) + first


def _read(files: Sequence[str], progress: Progress) -> "Reading":
    from wsrv.engine.log.reading import Reading

    reading = Reading(progress.step)
    progress.begin("reading lines:")
    for file in files:
        try:
            if file == "-":
                reading.add("-", sys.stdin.buffer)
            else:
                with open(file, "rb") as stream:
                    reading.add(Path(file).name, stream)
        except OSError as error:
            raise Stop(USAGE, f"cannot read {file}: {error.strerror or error}") from error
    reading.finish()
    return reading


class Policies:
    """The policies to replay, and whose they are."""

    def __init__(self, there: "Registry", names: Sequence[str], voice: TerminalVoice) -> None:
        from wsrv.engine.settings import CacheSettings

        self._there = there
        self._voice = voice
        self.classes: dict[str, type[Policy]] = {}
        for name in names or there.names("policy"):
            obstacle = there.obstacle("policy", name, CacheSettings())
            if obstacle is None:
                self.classes[name] = there.choose("policy", name)
            else:
                voice.warn(f"{name} is left out: {obstacle}")

    def curve(self, name: str, experiment: "Experiment", step: Callable[[int], None]) -> "Curve | None":
        """What a policy misses. None, after a warning, when one of a plugin raises; a built-in's error is raised."""
        try:
            return experiment.curve(self.classes[name], step)
        except Exception as error:
            origin = self._there.outsiders.origins.get(self._there.origin("policy", name))
            if origin is None:
                raise
            self._voice.warn(f"{name} is left out: {origin} raised {type(error).__name__}: {error}")
            return None


def _policies(names: Sequence[str], voice: TerminalVoice) -> Policies:
    from wsrv.cli.parts import registry
    from wsrv.engine.cache.variants import UnfitParameter
    from wsrv.plugins.registry import UnknownPart

    there = registry()
    for warning in there.warnings():
        voice.warn(warning)
    try:
        for name in names:
            there.choose("policy", name)
    except (UnknownPart, UnfitParameter) as error:
        raise Stop(USAGE, f"--policy: {error}") from error
    return Policies(there, tuple(dict.fromkeys(names)), voice)


class Source(NamedTuple):
    """What is replayed, called `name`, and what there is to say of it."""

    name: str
    reading: "Reading"
    experiment: "Experiment"
    remarks: Sequence[str]


def _file_source(
    files: Sequence[str], sizes: Sequence[int], wish: float | None, progress: Progress, voice: TerminalVoice
) -> Source:
    from wsrv.cli.findings import printable
    from wsrv.engine.cache.simulation.experiment import Experiment
    from wsrv.engine.cache.simulation.shards import fitting_rate

    reading, name = _read(files, progress), _name(files)
    if not len(reading.trace):
        raise Stop(NOTHING_TO_MEASURE, f"{name}: nothing to measure: {_why_nothing(reading)}")
    for bad in reading.bad:
        voice.warn(printable(bad))
    if reading.bad_lines > len(reading.bad):
        voice.warn(f"{reading.bad_lines:,} lines could not be read; the first of them are named above")
    rate = fitting_rate(reading.trace, wish)
    if wish is not None and rate > wish:
        voice.warn(f"--sample {wish:g} is too few of {reading.trace.objects:,} objects; {rate:.3g} is taken")
    progress.begin("sampling:")
    return Source(name, reading, Experiment.of(reading.trace, sorted(set(sizes)), rate), ())


def _listen(
    server: "RunningServer", sizes: Sequence[int], wish: float | None, seconds: float, progress: Progress
) -> Source:
    from wsrv.cli.live import record
    from wsrv.engine.cache.simulation.experiment import Experiment

    found = record(server, wish, seconds, progress)
    if not len(found.sample.trace):
        raise Stop(NOTHING_TO_MEASURE, f"server {server.name}: nothing to measure: nobody asked for anything")
    whole = found.sample.trace if found.is_everything else None
    experiment = Experiment(whole, sorted(set(sizes)), found.sample)
    return Source(f"server {server.name}", found.reading, experiment, found.remarks)


def _findings(source: Source, policies: Policies, progress: Progress) -> "Findings":
    from wsrv.cli.findings import Findings
    from wsrv.engine.cache.simulation.choice import choose

    experiment = source.experiment
    steps = len(experiment.sample.trace) * len(experiment.sizes_bytes)
    curves: dict[str, Curve] = {}
    for policy in policies.classes:
        progress.begin(f"replaying {policy}:", steps)
        curve = policies.curve(policy, experiment, progress.step)
        if curve is not None:
            curves[policy] = curve
    if not curves:
        raise Stop(NOTHING_TO_MEASURE, "there is no policy to replay the trace with")
    usual = _USUAL if _USUAL in curves else next(iter(curves))
    error = None
    if experiment.sample.rate < 1 and experiment.trace is not None:
        steps = len(experiment.trace) * len(experiment.checked)
        progress.begin(f"measuring the sampling error with {usual}:", steps)
        error = experiment.sampling_error(policies.classes[usual], curves[usual], progress.step)
    progress.begin("working out the bound:")
    return Findings(
        name=source.name,
        reading=source.reading,
        experiment=experiment,
        curves=curves,
        bound=experiment.bound(),
        error=error,
        judge=usual,
        choice=choose(experiment.sizes_bytes, curves, usual),
        weigh=None if "CSV" in source.reading.formats else _weight,
        remarks=source.remarks,
    )


def _weight(body_bytes: int) -> int:
    """What the server's cache counts for a body."""
    from wsrv.engine.worker.prepared import weight_of

    return weight_of(body_bytes)
