# `wsrv bench`: asks a server, or one that it starts itself, and says what came of it.
#
#   one run                a table, or with --table one run for each number of connections
#   --compare KEY=A,B      a server for each, in interleaved rounds
#   --require, --baseline  what a run must have given: exit status 1 says that it has not
"""The command `wsrv bench`."""

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from wsrv.cli.exits import CHECK_FAILED, INTERRUPTED, USAGE, Stop
from wsrv.cli.linux import require_linux
from wsrv.cli.units import Count, Place, Seconds

if TYPE_CHECKING:
    from wsrv.cli.benchchart import Page, Run
    from wsrv.cli.benchrun import Wanted
    from wsrv.engine.bench.requirement import Requirement

DEFAULT_ROUNDS = 7
_MOST_CONNECTIONS = 100_000
# On a narrower terminal lines are broken by it.
_FEWEST_COLUMNS = 80
# Where what comes after -- is kept.
_SERVER_OPTIONS = "wsrv.server_options"

_HELP = """Measure a server: how many requests a second, and how long each takes.

URL is http://host:port/path, https://…, or unix:/socket:/path. Without it, a server of this program is started on a
free port and stopped in the end; what follows -- are options of `wsrv serve`, its ROOT among them (without one, a page
of 1 KB).

\b
Examples:
  wsrv bench                                   a server of its own, 10 s
  wsrv bench -c 100 -n 100000 -- site --ipc inherit
  wsrv bench http://localhost/ --rate 2000     at a constant rate
  wsrv bench --table 10,100,250,450            the table by connections
  wsrv bench --compare ipc=socketpair,inherit  which is better, if one is
  wsrv bench --save main                       figures to compare with:
  wsrv bench --baseline main --require 'rps>=0.9*baseline'
"""

_EPILOG = """Figures for --require: rps, errors, answers, unsent, min, mean, sd, median, p50 … p999, max,
corrected.p50 … corrected.p999, client.cpu_share, server.cpu_us.

Exit status: 0 measured, 1 a requirement is not met, 2 wrong usage, or a baseline of other settings,
3 nothing answers at URL, or nobody is known by its name, 5 the server of its own cannot start, 130 interrupted.
"""


class _Bench(click.Command):
    """A command that leaves what follows -- to another."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_SERVER_OPTIONS] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- OPTIONS OF serve]"]


class _Numbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic only from click 8.4 on
    """Numbers of connections, separated by commas."""

    name = "n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        kind = Count(1, _MOST_CONNECTIONS)
        return value if isinstance(value, tuple) else tuple(kind.convert(n, param, ctx) for n in str(value).split(","))


class _Axis(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic only from click 8.4 on
    """An option of serve, and its values."""

    name = "axis"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Options that take a value, and behind the equals sign what they may be."""
        from wsrv.cli.table import SETTINGS

        flags = {each.flag.removeprefix("--"): each for each in SETTINGS if each.flag.startswith("--")}
        key, equals, values = incomplete.partition("=")
        if not equals:
            return [CompletionItem(f"{flag}=") for flag in flags if flag.startswith(key)]
        if key not in flags:
            return []
        before, comma, last = values.rpartition(",")
        there = flags[key].kind.shell_complete(ctx, param, last)
        named = before.split(",")
        return [
            CompletionItem(f"{key}={before}{comma}{item.value}")
            for item in there
            if item.type == "plain" and item.value not in named
        ]


@click.command("bench", cls=_Bench, help=_HELP, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("url", required=False, metavar="[URL]")
@click.option("-c", "--connections", type=Count(1, _MOST_CONNECTIONS), default=100, show_default=True, help="At once.")
@click.option("-n", "--requests", type=Count(1, 10**12), help="Stop after so many requests.")
@click.option("-d", "--duration", type=Seconds(), help="Stop after so long.  [default: 10s]")
@click.option(
    "--rate",
    type=click.FloatRange(0, 10**7, min_open=True),
    metavar="N",
    help="Requests due a second, however fast answers come.",
)
@click.option("--no-keepalive", is_flag=True, help="A connection for each request.")
@click.option(
    "--pipeline",
    type=Count(1, 1000),
    default=1,
    show_default=True,
    help="Requests sent before an answer is waited for.",
)
@click.option(
    "-H", "--header", multiple=True, metavar="'NAME: VALUE'", help="A field of every request; may be repeated."
)
@click.option(
    "--urls", type=Place(), metavar="FILE", help="What to ask for: paths or URLs, a line each, or an access log."
)
@click.option(
    "--zipf",
    type=click.FloatRange(0, 10, min_open=True),
    metavar="S",
    help="Draw from --urls by Zipf's law: the r-th in proportion to r^-S.",
)
@click.option("--warm-up", type=Seconds(zero=True), default="500ms", show_default=True, help="Not counted.")
@click.option("--timeout", type=Seconds(), default="30s", show_default=True, help="What takes longer has failed.")
@click.option("-k", "--insecure", is_flag=True, help="Accept any certificate of an https:// URL.")
@click.option("--processes", type=Count(1, 256), help="Of the load generator.  [default: half the CPUs]")
@click.option("--table", type=_Numbers(), metavar="N,…", help="A run for each number of connections.")
@click.option("--compare", type=_Axis(), metavar="KEY=A,B", help="A server for each value of an option of serve.")
@click.option("--rounds", type=Count(1, 1000), default=DEFAULT_ROUNDS, show_default=True, help="Of a comparison.")
@click.option("--require", multiple=True, metavar="EXPR", help="What must hold, as 'p99<20ms'; may be repeated.")
@click.option("--save", metavar="NAME", help="Keep the figures under a name.")
@click.option("--baseline", metavar="NAME", help="Compare with figures that were kept.")
@click.option("--chart", type=Place(), metavar="FILE", help="Draw the latency curve, or the comparison, as SVG.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    table: tuple[int, ...] | None,
    compare: str | None,
    rounds: int,
    require: tuple[str, ...],
    save: str | None,
    baseline: str | None,
    chart: str | None,
    as_json: bool,
    as_csv: bool,
    **how: Any,
) -> None:
    require_linux()
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if compare and (table or save or baseline or require):
        raise click.UsageError("--compare goes with none of --table, --save, --baseline and --require")

    from wsrv.cli import benchrun, benchsaved, benchtable

    # Who ends bench, or closes its terminal, ends what it has started: each with block on the way does its part.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    requirements = _requirements(require, baseline)
    page = _page()
    wanted = benchrun.Wanted.of(how, ctx.meta[_SERVER_OPTIONS])
    known = benchsaved.load(baseline) if baseline else None
    if compare:
        runs, interrupted = benchrun.compare(wanted, *_axis(compare, wanted), rounds)
        axis = compare.partition("=")[0]
        lines = benchtable.comparison(axis, runs, page) if all(runs.values()) else []
        found = [{**each, "contender": name} for name, those in runs.items() for each in those]
    else:
        found, interrupted = benchrun.measure(wanted, table or (wanted.connections,))
        lines = benchtable.report(found, page) if table else [x for each in found for x in benchtable.run(each, page)]
    if as_json:
        click.echo(json.dumps(found[0] if len(found) == 1 and not compare else found, indent=2))
    elif as_csv:
        click.echo(benchtable.as_csv(found), nl=False)
    elif lines:
        click.echo("\n".join(lines))
    for limit in dict.fromkeys(limit for each in found for limit in each["client"]["limits"]):
        benchrun.warn(f"the client was what limited: {limit}; try more --processes, or fewer connections")
    if chart and lines:
        svg = _drawn(found, runs if compare else {}, compare.partition("=")[0] if compare else "", bool(table))
        benchsaved.write(Path(chart), svg)
    if interrupted:
        ctx.exit(INTERRUPTED)
    benchrun.require_answers(found)
    if known is not None:
        benchsaved.require_alike(known, found)
        if not (as_json or as_csv):
            for before, each in zip(known, found, strict=True):
                click.echo("\n".join(["", *benchtable.against(baseline or "", before, each)]))
    if save:
        benchsaved.save(save, found)
    before_each: Sequence[dict[str, Any] | None] = [None] * len(found) if known is None else known
    unmet = [
        f"at {each['settings']['connections']:,} connections, {miss}" if table else miss
        for each, before in zip(found, before_each, strict=True)
        for requirement in requirements
        if (miss := requirement.unmet(each, before))
    ]
    if unmet:
        raise Stop(CHECK_FAILED, "\n".join(unmet))


def _page() -> "Page":
    """What stdout is."""
    from wsrv.cli.benchchart import Page

    if not sys.stdout.isatty():
        return Page()
    from shutil import get_terminal_size

    return Page(max(_FEWEST_COLUMNS, get_terminal_size().columns), True)


def _drawn(found: "Sequence[Run]", runs: "Mapping[str, Sequence[Run]]", axis: str, is_table: bool) -> str:
    """The picture of what was measured."""
    from wsrv.cli import benchchart, benchtable

    if axis:
        return benchchart.contest(axis, runs, {key: heading for key, heading, _, _ in benchtable.COMPARED})
    return benchchart.by_connections(found) if is_table else benchchart.curve(found[0])


def _leave(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _requirements(texts: Sequence[str], baseline: str | None) -> "list[Requirement]":
    from wsrv.engine.bench.requirement import Requirement

    try:
        found = [Requirement.of(text) for text in texts]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for requirement in found:
        if requirement.of_baseline and baseline is None:
            raise click.UsageError(f"{requirement.text!r} needs --baseline NAME")
    return found


def _axis(compare: str, wanted: "Wanted") -> tuple[str, list[str]]:
    """The option that differs between contenders, and its values."""
    key, _, values = compare.partition("=")
    contenders = [value for value in values.split(",") if value]
    if wanted.url is not None:
        raise click.UsageError("--compare starts servers of its own; leave URL out")
    if len(set(contenders)) < 2 or len(set(contenders)) < len(contenders):
        raise click.UsageError(f"{compare!r} does not name an option and two values or more, as ipc=socketpair,inherit")
    from wsrv.cli.serve import command as serve

    flags = [flag.removeprefix("--") for each in serve.params for flag in each.opts if flag.startswith("--")]
    if key not in flags:
        from difflib import get_close_matches

        near = get_close_matches(key, flags, 1)
        raise Stop(USAGE, f"wsrv serve has no option --{key}" + (f"; did you mean {near[0]}?" if near else ""))
    return key, contenders
