# Each target under atheris for a set time, one after the other: python -m tests.fuzz.run [--seconds 60] [TARGET...]
#
# What reaches new code is kept in .fuzz/TARGET, beside the corpus, from one run to the next; `--keep` takes as much of
# it into the corpus as reaches what the corpus does not. Bytes that break something are left in .fuzz/finds, and end
# the run with 1: they become a file of the corpus, under a name that says what they are, when the fault is mended.
"""Fuzzing, guided by what the code does: runs and finds by target, as a table on stdout."""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
WORDS = CORPUS.parent / "words.dict"
GROWN = Path(".fuzz")
_RUNS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_MOST_BYTES = 4096
_TIMEOUT_SECONDS = 20


def command(target: str, folders: Sequence[Path], *options: str) -> list[str]:
    """The process that runs one target."""
    bounds = (f"-max_len={_MOST_BYTES}", f"-timeout={_TIMEOUT_SECONDS}", f"-artifact_prefix={GROWN}/finds/{target}-")
    return [sys.executable, "-m", "tests.fuzz.one", target, f"-dict={WORDS}", *bounds, *options, *map(str, folders)]


def fuzz(target: str, seconds: int) -> tuple[int, bool]:
    """How often it ran, and whether nothing was found."""
    grown = GROWN / target
    grown.mkdir(parents=True, exist_ok=True)
    options = (f"-max_total_time={seconds}", "-print_final_stats=1")
    done = subprocess.run(command(target, (grown, CORPUS / target), *options), capture_output=True, text=True)
    runs = _RUNS.search(done.stderr)
    if done.returncode != 0 or runs is None:
        sys.stderr.write(done.stderr)
    return int(runs[1]) if runs else 0, done.returncode == 0


def keep(target: str) -> int:
    """Take into the corpus what adds to it; how many files it has then."""
    corpus = CORPUS / target
    with tempfile.TemporaryDirectory() as name:
        # Files that are there already come first, and so stay; they bear the names of what they are.
        merged = Path(name)
        for path in corpus.iterdir():
            (merged / path.name).write_bytes(path.read_bytes())
        subprocess.run(command(target, (merged, GROWN / target), "-merge=1"), check=True, capture_output=True)
        for path in merged.iterdir():
            (corpus / path.name).write_bytes(path.read_bytes())
    return len(list(corpus.iterdir()))


def main() -> None:
    there = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=there, metavar="TARGET", help=", ".join(there))
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("--keep", action="store_true", help="take into the corpus what adds to it")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(there):
        parser.error(f"no target is called {' or '.join(sorted(unknown))}; there are: {', '.join(there)}")
    (GROWN / "finds").mkdir(parents=True, exist_ok=True)
    print("| target | runs | found | corpus |\n|---|---|---|---|", flush=True)
    is_clean = True
    for target in arguments.targets:
        runs, clean = fuzz(target, arguments.seconds)
        is_clean = is_clean and clean
        count = keep(target) if arguments.keep else len(list((CORPUS / target).iterdir()))
        print(f"| `{target}` | {runs:,} | {'nothing' if clean else 'a fault'} | {count} files |", flush=True)
    sys.exit(not is_clean)


if __name__ == "__main__":
    main()
