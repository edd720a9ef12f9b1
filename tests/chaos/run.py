# A server under load, and one fault after the other: python -m tests.chaos.run [--seconds 300] [--seed N] [--only NAME]
#
# Rule 1: after each fault service is due within a second, and what the machine itself kept us waiting (`Clock`) beside.
# Rule 2: what is found wrong ends its round, not the run; in the end the exit status is 1, and it is said how to run
#         the round again.
"""Rounds of faults, as tables on stdout; exit status 1 when anything is lost, wrong, late or left behind."""

import argparse
import contextlib
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.clients import Checkers, Recovery, Wrk, recovery
from tests.chaos.faults import FAULTS
from tests.chaos.ground import Ground, Site, launch
from tests.chaos.levers import Levers
from tests.chaos.schedule import Round, rounds
from tests.chaos.verdict import descriptors, judge, shared_things
from tests.support.launch import Launcher
from tests.support.reload import Config
from tests.support.server import wait_for
from wsrv.plugins.registry import load

DUE_SECONDS = 1.0
_PAUSE_SECONDS = (0.05, 0.4)
_END_SECONDS = 30.0
_WORKERS = 2


@dataclass
class Figures:
    """What came of one round, or of all."""

    recoveries: list[tuple[str, Recovery]] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    of_wrk: Counter[str] = field(default_factory=Counter)
    dropped_lines: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        """Take in another round."""
        self.recoveries += other.recoveries
        self.answers += other.answers
        self.errors += other.errors
        self.of_wrk += other.of_wrk
        self.dropped_lines += other.dropped_lines
        self.wrong += other.wrong


def strike(ground: Ground, name: str, figures: Figures) -> None:
    """One fault, and the wait for service. Raises AssertionError when it does not come back."""
    FAULTS[name].strike(ground)
    found = recovery(ground.server.port)
    figures.recoveries.append((name, found))
    if found.seconds > DUE_SECONDS + found.late_seconds:
        figures.wrong.append(
            f"{name}: served again after {found.seconds:.2f} s, {found.late_seconds:.2f} s of them the machine's"
        )
    ground.settle()


def play(one: Round, folder: Path) -> Figures:
    """One round."""
    figures = Figures()
    there = shared_things()
    launcher = Launcher(folder)
    levers = Levers(folder / "levers", anew=True)
    try:
        site, config = Site(folder / "site", one.seed), Config(folder / "chaos.toml")
        parts = ("--ipc", one.transport, "--sync", one.primitive, "--cache-scope", one.scope)
        server = launch(launcher, folder, folder / "levers", config, *parts)
        checkers, wrk = Checkers(server.port, site.targets, one.seed), Wrk(server.port, int(one.seconds) * 4 + 60)
        ground = Ground(server, levers, site, config, checkers, folder, random.Random(one.seed))
        ground.settle()
        before = descriptors(server.process)
        with contextlib.suppress(AssertionError), wrk, checkers, site:
            _strike_on(ground, one, figures)
        figures.answers = Counter(checkers.whole.values())
        figures.errors = checkers.errors
        figures.of_wrk = Counter({"answers": wrk.report.good, "404 or 503": wrk.report.others})
        figures.of_wrk["errors"] = wrk.report.errors
        _end(ground, one, figures, before)
        figures.dropped_lines = ground.stats().get("log_dropped", 0)
        figures.wrong += judge(ground, checkers, wrk, len(figures.recoveries))
        family = server.family()
        server.signal(signal.SIGTERM)
        if (status := server.status(_END_SECONDS)) != 0:
            figures.wrong.append(f"it ended with {status}")
        server.assert_nothing_left(family)
        if left := shared_things() - there:
            figures.wrong.append(f"left in shared memory: {left}")
    except AssertionError as error:
        figures.wrong.append(str(error))
    finally:
        launcher.end()
        levers.close()
    return figures


def _strike_on(ground: Ground, one: Round, figures: Figures) -> None:
    """Faults until the round is over, or one is not survived. Raises AssertionError then."""
    until = time.monotonic() + one.seconds
    for name in itertools.cycle(one.faults):
        time.sleep(ground.chance.uniform(*_PAUSE_SECONDS))
        if time.monotonic() >= until:
            return
        try:
            strike(ground, name, figures)
        except AssertionError as error:
            figures.wrong.append(f"{name}: {error}\n{ground.server.words()}")
            raise


def _end(ground: Ground, one: Round, figures: Figures, before: Counter[str]) -> None:
    """After the load: as many workers as at the start, and no more descriptors than then."""
    ground.config.set(server_workers=_WORKERS)
    ground.server.signal(signal.SIGHUP)
    wait_for(lambda: len(ground.server.workers()) == _WORKERS and ground.is_steady(), "the workers of the start", 20)
    # A listener of `reuseport` is never closed: three workers have left one more.
    more = Counter({"socket:[N]": 1}) if one.transport == "reuseport" else Counter[str]()

    def left() -> Counter[str]:
        return descriptors(ground.server.process) - before - more

    try:
        wait_for(lambda: not left(), "the descriptors of before", 20)
    except AssertionError:
        figures.wrong.append(f"the master has more open than at the start: {dict(left())}")


def tell(found: Figures) -> None:
    """The summary of all rounds."""
    print("\n| fault | times | slowest return of service (s) | of that the machine's (s) |\n|---|---|---|---|")
    by_name: dict[str, list[Recovery]] = {}
    for name, one in found.recoveries:
        by_name.setdefault(name, []).append(one)
    for name in FAULTS:
        if name in by_name:
            worst = max(by_name[name])
            print(f"| {name} | {len(by_name[name])} | {worst.seconds:.2f} | {worst.late_seconds:.2f} |")
    whole = ", ".join(f"{number:,} with {status}" for status, number in sorted(found.answers.items()))
    print(f"\nanswers checked: {whole}")
    print(f"connections of checking clients that failed: {_listed(found.errors)}")
    print(f"wrk: {_listed(found.of_wrk)}; lines of the log dropped: {found.dropped_lines:,}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counts.most_common()) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="all rounds together")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--only", default="", metavar="NAME", help="rounds whose names begin with this")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), metavar="FAULT", help="these instead of the pack")
    arguments = parser.parse_args()
    transports = {name: one.DISPATCHES for name, one in load().transports.items() if one.available() is None}
    print(f"seed {arguments.seed}\n\n| round | faults | answers checked | wrong |\n|---|---|---|---|", flush=True)
    total = Figures()
    broken = []
    for one in rounds(arguments.seed, transports, arguments.seconds):
        if not one.name.startswith(arguments.only):
            continue
        if arguments.faults:
            one = Round(one.transport, one.primitive, one.scope, one.seconds, one.seed, tuple(arguments.faults))
        with tempfile.TemporaryDirectory(prefix="wsrv-chaos-") as folder:
            found = play(one, Path(folder))
        checked = sum(found.answers.values())
        print(f"| {one.name} | {len(found.recoveries)} | {checked:,} | {len(found.wrong) or 'nothing'} |", flush=True)
        if found.wrong:
            broken.append(one.name)
            print("\n".join(found.wrong), file=sys.stderr, flush=True)
        total.add(found)
    tell(total)
    for name in broken:
        again = f"--seed {arguments.seed} --seconds {arguments.seconds} --only {name}"
        print(f'again: make chaos CHAOS_SECONDS={arguments.seconds} ARGS="--seed {arguments.seed} --only {name}"')
        print(f"       python -m tests.chaos.run {again}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
