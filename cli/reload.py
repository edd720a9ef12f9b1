# `wsrv reload`: a running server takes up its settings, certificates and rules as they are now.
"""The command `wsrv reload`."""

import json
from typing import TYPE_CHECKING, Any

import click

from wsrv.cli import running, workers
from wsrv.cli.exits import CANNOT_START, CHECK_FAILED, NO_SERVER, USAGE, Stop
from wsrv.cli.progress import Progress

if TYPE_CHECKING:
    from wsrv.engine.master.runtime import RunningServer

# Longer than a server lets workers of before finish, and new ones come up.
_PATIENCE_SECONDS = 24 * 3600 + 60.0
_STATUSES = {"settings": USAGE, "start": CANNOT_START, "end": NO_SERVER}


@click.command("reload")
@click.option("--verify", is_flag=True, help="Send requests throughout, and say how many were dropped.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@workers.server_options
def command(verify: bool, as_json: bool, name: str | None, runtime_dir: str | None) -> None:
    """Let a running server take up its settings as they are now.

    They are checked first: wrong ones change nothing. New workers come up beside the old ones, take over once all of
    them serve, and the old ones finish what they have begun. Listeners stay open all the time. SIGHUP does the same.

    Settings that only a restart takes up are named.

    \b
    Examples:
      wsrv reload                     after an edit of wsrv.toml
      wsrv reload --verify            and see that no request is dropped

    Exit status: 0 reloaded, 1 --verify found that a request was dropped, 2 the settings are wrong, 3 no server runs,
    5 no workers come up with them.
    """
    server = running.find(name, runtime_dir)
    if verify:
        answer, report = _verified(server)
    else:
        answer, report = running.ask(server, {"command": "reload"}, _PATIENCE_SECONDS), None
    if "fault" in answer:
        raise Stop(
            _STATUSES[answer["kind"]], "\n".join(f"not reloaded: {line}" for line in answer["fault"].splitlines())
        )
    if as_json:
        click.echo(json.dumps(answer if report is None else {**answer, "verified": report}, indent=2))
    else:
        _tell(answer, report)
    if report is not None and report["dropped"]:
        raise Stop(CHECK_FAILED, f"{sum(report['dropped'].values()):,} requests were dropped")


def _tell(answer: dict[str, Any], report: dict[str, Any] | None) -> None:
    count = answer["workers"]
    noun = "worker" if count == 1 else "workers"
    click.echo(f"reloaded in {answer['seconds']:.2f} s: {count} {noun}, generation {answer['generation']}")
    for line in answer["pending"]:
        click.echo(line)
    if report is not None:
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in report["dropped"].items())
        click.echo(f"{report['requests']:,} requests meanwhile, dropped: {dropped or 0}")


def _verified(server: "RunningServer") -> tuple[dict[str, Any], dict[str, Any]]:
    """Reload with requests sent throughout: what the server answers, and what became of the requests."""
    from wsrv.cli.verifying import Verification

    listeners = running.ask(server, {"command": "stats"})["listeners"]
    with Verification(listeners) as verification:
        answer = running.ask(server, {"command": "reload"}, _PATIENCE_SECONDS)
        if "fault" not in answer:
            with Progress() as progress:
                progress.begin("requests while old workers finish:")

                def have_left() -> bool:
                    progress.step(verification.requests - progress.done)
                    return not running.ask(server, {"command": "stats"})["reloads"]["leaving"]

                verification.until(have_left)
    return answer, verification.report()
