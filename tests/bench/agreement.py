# `wsrv bench` beside ab and wrk: python -m tests.bench.agreement
#
# One server on one core, and on another each client in turn, round by round: a connection a request, as many at a time.
# What they say of the same server is laid side by side, and how many requests a second of CPU each client makes. They
# do not measure the same:
#
#   ab           from before it connects until the server has closed; HTTP/1.0
#   wrk          from when it sends the request, on a connection that stands, to the last byte of the answer
#   wsrv bench   from before it connects to the last byte of the answer; and from when it sends the request
#
# wrk corrects for coordinated omission: of what took longer than two intervals it counts what a client that asked every
# interval would have seen. That is taken back here, so that its durations are those that it saw.
"""What three load generators say of one server, as a Markdown table."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from pathlib import Path

from tests.bench.peers import SERVERS, free_port, running

SERVER_CPU, CLIENT_CPU = 0, 1
QUANTILES = ("p50", "p90", "p99")
SENT = tuple(f"sent {name}" for name in QUANTILES)
RATE, A_CPU_SECOND = "req/s", "a CPU second"
COLUMNS = (RATE, *QUANTILES, *SENT, A_CPU_SECOND)
# All that wrk has counted: microseconds, and how often.
_SCRIPT = """\
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("FOUND %d %d %d", summary.requests, failed, summary.duration))
  for i = 1, #latency do io.write(string.format(" %d:%d", latency(i))) end
  io.write("\\n")
end
"""

Figures = dict[str, float]


def timed(command: Sequence[str]) -> tuple[str, float]:
    """What a command says on the client's core, and the CPU seconds that it took."""
    popen = subprocess.Popen(["taskset", "-c", str(CLIENT_CPU), *command], stdout=subprocess.PIPE, text=True)
    assert popen.stdout is not None
    said = popen.stdout.read()
    _, status, usage = os.wait4(popen.pid, 0)
    popen.returncode = status
    if status:
        sys.exit(f"{command[0]} failed")
    return said, usage.ru_utime + usage.ru_stime


def bench(url: str, connections: int, number: int, work: Path, keep_alive: bool) -> Figures:
    how = () if keep_alive else ("--no-keepalive",)
    said, _ = timed(
        [
            *(sys.executable, "-m", "wsrv.cli.main", "bench", url, "-c", str(connections), "-n", str(number)),
            *("--processes", "1", "--warm-up", "100ms", "--json", *how),
        ]
    )
    found = json.loads(said)
    assert not found["failures"], found["errors"]
    latency = found["latency_ms"]
    sent = latency if keep_alive else found["processing_ms"]
    return {
        RATE: found["rps"],
        **{name: latency[name] for name in QUANTILES},
        **{f"sent {name}": sent[name] for name in QUANTILES},
        A_CPU_SECOND: 1e6 / found["client"]["cpu_us_per_request"],
    }


def ab(url: str, connections: int, number: int, work: Path, keep_alive: bool) -> Figures:
    how = ("-k",) if keep_alive else ()
    table = work / "ab.csv"
    said, cpu = timed(["ab", "-q", *how, "-n", str(number), "-c", str(connections), "-e", str(table), url])
    rps, failed = (
        float(re.search(rf"{words}:? +([\d.]+)", said)[1])  # type: ignore[index]
        for words in ("Requests per second", "Failed requests")
    )
    assert not failed, said
    by_percent = dict(line.split(",") for line in table.read_text().splitlines()[1:])
    quantiles = {name: float(by_percent[name[1:]]) for name in QUANTILES}
    return {RATE: rps, **quantiles, **dict.fromkeys(SENT, nan), A_CPU_SECOND: number / cpu}


def wrk(url: str, connections: int, number: int, work: Path, keep_alive: bool) -> Figures:
    # It knows seconds only; it gets about as long as the others take.
    script = work / "figures.lua"
    script.write_text(_SCRIPT)
    how = () if keep_alive else ("-H", "Connection: close")
    seconds = max(1, round(number / (60_000 if keep_alive else 15_000)))
    said, cpu = timed(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), *how, url])
    requests, failed, took_us, *latency = re.search(r"FOUND (.+)", said)[1].split()  # type: ignore[index]
    assert failed == "0", said
    answers = int(requests)
    pairs = (tuple(map(int, each.split(":"))) for each in latency)
    counts = as_seen(((us, count) for us, count in pairs), int(took_us) // (answers // connections))
    quantiles = [quantile(counts, int(name[1:]) / 100) / 1000 for name in QUANTILES]
    return {
        RATE: answers / int(took_us) * 1e6,
        **dict(zip(QUANTILES, quantiles if keep_alive else [nan] * len(quantiles), strict=True)),
        **dict(zip(SENT, quantiles, strict=True)),
        A_CPU_SECOND: answers / cpu,
    }


def as_seen(corrected: Iterable[tuple[int, int]], interval_us: int) -> Counter[int]:
    """What wrk counted before it corrected it. The longest first: what was put in for it is shorter."""
    counts: Counter[int] = Counter()
    for us, count in corrected:
        counts[us] += count
    for us in sorted(counts, reverse=True):
        omitted_us = us - interval_us
        while us >= 2 * interval_us and omitted_us > interval_us:
            counts[omitted_us] -= counts[us]
            omitted_us -= interval_us
    return counts


def quantile(counts: Mapping[int, int], fraction: float) -> int:
    """The duration that `fraction` of what was counted did not exceed."""
    left = fraction * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    raise AssertionError("a rank lies within the total")


CLIENTS: Mapping[str, Callable[[str, int, int, Path, bool], Figures]] = {"wsrv bench": bench, "ab": ab, "wrk": wrk}


def own(root: Path, work: Path, port: int) -> Sequence[str]:
    """This server as it comes."""
    return (
        *(sys.executable, "-m", "wsrv.cli.main", "serve", str(root), "--port", str(port)),
        *("--runtime-dir", f"{work}/run", "--log-file", f"{work}/log"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--number", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--keep-alive", action="store_true")
    parser.add_argument("--server", choices=tuple(SERVERS), help="another one than this as it comes")
    arguments = parser.parse_args()
    found: dict[str, list[Figures]] = {name: [] for name in CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        work, port = Path(folder), free_port()
        # For who lets go of its rights.
        work.chmod(0o755)
        (work / "site").mkdir()
        (work / "site/index.html").write_bytes(b"x" * 1024)
        serving = SERVERS[arguments.server] if arguments.server else own
        command = ["taskset", "-c", str(SERVER_CPU), *serving(work / "site", work, port)]
        with running(command, port, work):
            for number in range(arguments.rounds + 1):
                for name, client in CLIENTS.items():
                    url = f"http://127.0.0.1:{port}/index.html"
                    figures = client(url, arguments.connections, arguments.number, work, arguments.keep_alive)
                    # The first round warms up.
                    if number:
                        found[name].append(figures)
    how = "keep-alive" if arguments.keep_alive else "a connection a request"
    print(f"{arguments.connections} connections, {how}; medians of {arguments.rounds} rounds, latency in ms\n")
    print("| |", " | ".join(COLUMNS), "|")
    print("|---|" + "---|" * len(COLUMNS))
    for name, rounds in found.items():
        row(name, [statistics.median(each[head] for each in rounds) for head in COLUMNS])
    for name in ("ab", "wrk"):
        pairs = list(zip(found["wsrv bench"], found[name], strict=True))
        row(f"to {name}", [statistics.median(ours[head] / theirs[head] for ours, theirs in pairs) for head in COLUMNS])


def row(name: str, values: Sequence[float]) -> None:
    """A line of the table; what was not measured is left empty."""
    cells = ("" if v != v else f"{v:.2f}" if v < 100 else f"{v:,.0f}" for v in values)
    print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
