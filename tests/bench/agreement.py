# `wsrv bench` beside ab and wrk: python -m tests.bench.agreement
#
# One server on one core, and on another each client in turn, round by round: a connection a request, as many at a time.
# What they say of the same server is laid side by side, and how many requests a second of CPU each client makes. They
# measure not quite the same:
#
#   wsrv bench   from before it connects to the last byte of the answer
#   ab           from before it connects until the server has closed; HTTP/1.0
#   wrk          from when the connection stands to the last byte of the answer
"""What three load generators say of one server, as a Markdown table."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench.peers import free_port, running

SERVER_CPU, CLIENT_CPU = 0, 1
QUANTILES = ("p50", "p75", "p90", "p95", "p99")
# wrk says 50, 75, 90 and 99 only, in units that vary.
_SCRIPT = """\
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("FOUND %d %d %d %f", summary.requests, failed, summary.duration, latency.mean / 1000))
  for _, p in pairs({50, 75, 90, 95, 99}) do io.write(string.format(" %f", latency:percentile(p) / 1000)) end
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
            *("--processes", "1", "--warm-up", "0s", "--json", *how),
        ]
    )
    found = json.loads(said)
    assert not found["failures"], found["errors"]
    latency = found["latency_ms"]
    return {
        "rps": found["rps"],
        "mean": latency["mean"],
        **{name: latency[name] for name in QUANTILES},
        "a CPU second": 1e6 / found["client"]["cpu_us_per_request"],
    }


def ab(url: str, connections: int, number: int, work: Path, keep_alive: bool) -> Figures:
    how = ("-k",) if keep_alive else ()
    table = work / "ab.csv"
    said, cpu = timed(["ab", "-q", *how, "-n", str(number), "-c", str(connections), "-e", str(table), url])
    rps, mean, failed = (
        float(re.search(rf"{words}:? +([\d.]+)", said)[1])  # type: ignore[index]
        for words in ("Requests per second", "Time per request", "Failed requests")
    )
    assert not failed, said
    by_percent = dict(line.split(",") for line in table.read_text().splitlines()[1:])
    quantiles = {name: float(by_percent[name[1:]]) for name in QUANTILES}
    return {"rps": rps, "mean": mean, **quantiles, "a CPU second": number / cpu}


def wrk(url: str, connections: int, number: int, work: Path, keep_alive: bool) -> Figures:
    # It knows seconds only; it gets about as long as the others take.
    script = work / "figures.lua"
    script.write_text(_SCRIPT)
    how = () if keep_alive else ("-H", "Connection: close")
    seconds = max(1, round(number / (60_000 if keep_alive else 15_000)))
    said, cpu = timed(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), *how, url])
    requests, failed, took_us, *latency = map(float, re.search(r"FOUND (.+)", said)[1].split())  # type: ignore[index]
    assert not failed, said
    names = ("mean", *QUANTILES)
    return {"rps": requests / took_us * 1e6, **dict(zip(names, latency, strict=True)), "a CPU second": requests / cpu}


CLIENTS: Mapping[str, Callable[[str, int, int, Path, bool], Figures]] = {"wsrv bench": bench, "ab": ab, "wrk": wrk}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--number", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep-alive", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, list[Figures]] = {name: [] for name in CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        work, port = Path(folder), free_port()
        (work / "site").mkdir()
        (work / "site/index.html").write_bytes(b"x" * 1024)
        command = [
            *("taskset", "-c", str(SERVER_CPU), sys.executable, "-m", "wsrv.cli.main", "serve", str(work / "site")),
            *("--port", str(port), "--workers", "1", "--runtime-dir", f"{folder}/run", "--log-file", f"{folder}/log"),
        ]
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
    heads = list(found["ab"][0])
    print("| |", " | ".join(heads), "|")
    print("|---|" + "---|" * len(heads))
    medians = {
        name: {h: statistics.median(each[h] for each in rounds) for h in heads} for name, rounds in found.items()
    }
    for name, values in medians.items():
        print(f"| {name} |", " | ".join(f"{v:.2f}" if v < 100 else f"{v:,.0f}" for v in values.values()), "|")
    for name in ("ab", "wrk"):
        print(f"| to {name} |", " | ".join(f"{medians['wsrv bench'][h] / medians[name][h]:.2f}" for h in heads), "|")


if __name__ == "__main__":
    main()
