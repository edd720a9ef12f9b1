# This server beside others on the same files: python -m tests.bench.peers, or `make bench`.
#
# Every server gets two processes and an access log, and is asked in turn, round by round, by the same load generator.
# What counts is the CPU time of its processes a request, as a ratio to nginx in the same round: how many requests there
# are in a second depends on what the generator leaves over. Peers that are not installed are left out, by name.
#
#   keep-alive   100 connections that stay        1 KB
#   connect      100 at a time, one a request     1 KB
#   100 KB       100 connections that stay
#   10 MB        4 connections that stay
#   small files  2,000 files of 200 B to 8 KB, drawn by Zipf's law
# With --into README.md the table takes the place of the one between the file's two marks.
"""CPU time a request of this server and of its peers, as a table."""

import argparse
import contextlib
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from wsrv.engine.bench.fleet import Fleet
from wsrv.engine.bench.plan import Plan
from wsrv.engine.bench.processes import cpu_seconds
from wsrv.engine.bench.tally import Tally
from wsrv.engine.bench.workload import request, target_of, zipf

REFERENCE = "nginx"
VERSIONS = {
    "nginx": ("nginx", "-v"),
    "h2o": ("h2o", "-v"),
    "lighttpd": ("lighttpd", "-v"),
    "caddy": ("caddy", "version"),
    "static-web-server": ("static-web-server", "--version"),
}
BEGIN, END = "<!-- peers -->", "<!-- end of peers -->"
START_SECONDS = 20
FILES = 2000
BACKLOG = 4096

Command = Callable[[Path, Path, int], Sequence[str]]


def nginx(root: Path, work: Path, port: int, workers: int = 2) -> Sequence[str]:
    """What starts nginx."""
    file = work / "nginx.conf"
    file.write_text(
        f"worker_processes {workers}; daemon off; pid {work}/nginx.pid; error_log {work}/nginx.error;\n"
        "events { worker_connections 16384; }\n"
        f"http {{ access_log {work}/nginx.log combined buffer=64k flush=1s; sendfile on; tcp_nopush on;\n"
        "keepalive_requests 1000000000; open_file_cache max=10000; default_type text/plain;\n"
        f"server {{ listen 127.0.0.1:{port} backlog={BACKLOG}; root {root}; }} }}\n"
    )
    return ("nginx", "-c", str(file))


def _lighttpd(root: Path, work: Path, port: int) -> Sequence[str]:
    file = work / "lighttpd.conf"
    file.write_text(
        f'server.modules = ("mod_accesslog")\nserver.document-root = "{root}"\nserver.bind = "127.0.0.1"\n'
        f'server.port = {port}\naccesslog.filename = "{work}/lighttpd.log"\nserver.max-worker = 2\n'
        "server.max-fds = 16384\nserver.max-keep-alive-requests = 1000000000\n"
    )
    return ("lighttpd", "-D", "-f", str(file))


def _h2o(root: Path, work: Path, port: int) -> Sequence[str]:
    file = work / "h2o.conf"
    file.write_text(
        f"listen: {{host: 127.0.0.1, port: {port}}}\nnum-threads: 2\naccess-log: {work}/h2o.log\n"
        f"hosts:\n  default:\n    paths:\n      /:\n        file.dir: {root}\n"
    )
    return ("h2o", "-c", str(file))


def _caddy(root: Path, work: Path, port: int) -> Sequence[str]:
    file = work / "Caddyfile"
    file.write_text(
        f"{{\n admin off\n auto_https off\n}}\nhttp://127.0.0.1:{port} {{\n root * {root}\n file_server\n"
        f" log {{\n  output file {work}/caddy.log\n }}\n}}\n"
    )
    return ("caddy", "run", "--adapter", "caddyfile", "--config", str(file))


def _sws(root: Path, work: Path, port: int) -> Sequence[str]:
    return (
        *("static-web-server", "--root", str(root), "--host", "127.0.0.1", "--port", str(port)),
        *("--threads-multiplier", "1", "--log-level", "info"),
    )


def _wsrv(*options: str) -> Command:
    def command(root: Path, work: Path, port: int) -> Sequence[str]:
        name = "-".join(["wsrv", *options]).replace("-", "")
        return (
            *(sys.executable, "-m", "wsrv.cli.main", "serve", str(root), "--port", str(port), "--workers", "2"),
            *("--log-file", f"{work}/{name}.log", "--runtime-dir", f"{work}/{name}", *options),
        )

    return command


SERVERS: dict[str, Command] = {
    "wsrv": _wsrv(),
    "wsrv --ipc inherit": _wsrv("--ipc", "inherit"),
    "nginx": nginx,
    "h2o": _h2o,
    "lighttpd": _lighttpd,
    "caddy": _caddy,
    "static-web-server": _sws,
}


class Kind:
    """A kind of load: what is asked for, over how many connections."""

    def __init__(self, paths: Sequence[str], connections: int, keep_alive: bool = True, skewed: bool = False) -> None:
        self.paths = paths
        self.connections = connections
        self.keep_alive = keep_alive
        self.skewed = skewed

    def plan(self, port: int, seconds: float) -> Plan:
        """The load for the server on `port`."""
        target = target_of(f"http://127.0.0.1:{port}/")
        return Plan(
            address=target.address,
            requests=tuple(request(target, path, self.keep_alive, ()) for path in self.paths),
            picks=tuple(zipf(len(self.paths), 0.9)) if self.skewed else (0,),
            connections=self.connections,
            number=None,
            seconds=seconds,
            keep_alive=self.keep_alive,
        )


KINDS = {
    "keep-alive": Kind(("/1k.html",), 100),
    "connect": Kind(("/1k.html",), 100, keep_alive=False),
    "100 KB": Kind(("/100k.bin",), 100),
    "10 MB": Kind(("/10m.bin",), 4),
    "small files": Kind([f"/files/{number}.txt" for number in range(FILES)], 100, skewed=True),
}


def make_site(root: Path) -> None:
    """The files that are asked for."""
    (root / "files").mkdir(parents=True)
    for name, size in (("1k.html", 1024), ("100k.bin", 100 << 10), ("10m.bin", 10 << 20)):
        (root / name).write_bytes(os.urandom(size))
    draw = random.Random(1)
    for number in range(FILES):
        (root / f"files/{number}.txt").write_bytes(os.urandom(draw.randint(200, 8192)))


@contextlib.contextmanager
def running(command: Sequence[str], port: int, work: Path) -> Iterator[int]:
    """The process of a server, from when it answers on `port`."""
    with (work / f"{port}.out").open("wb") as out:
        # Some end by a signal to their whole group.
        popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                if popen.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command[0]} does not start:\n{(work / f'{port}.out').read_text()}")
                time.sleep(0.05)
            yield popen.pid
        finally:
            popen.send_signal(signal.SIGTERM)
            try:
                popen.wait(10)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()


def answered(plan: Plan, processes: int = 1) -> Tally:
    """What came of a plan. Exits when a request failed."""
    fleet = Fleet(plan, processes)
    fleet.go()
    while not fleet.wait(1):
        pass
    tally = fleet.result()
    if tally.failures:
        sys.exit(f"requests failed: {dict(tally.statuses)} {dict(tally.errors)}")
    return tally


def cost_us(plan: Plan, pid: int) -> float:
    """CPU microseconds a request."""
    before = cpu_seconds(pid)
    answers = answered(replace(plan, warm_up_seconds=0)).answers
    return (cpu_seconds(pid) - before) / answers * 1e6


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--into", type=Path, help="a file with a place for the table")
    parser.add_argument("--only", help="kinds of load, separated by commas")
    arguments = parser.parse_args()
    kinds = {name: kind for name, kind in KINDS.items() if not arguments.only or name in arguments.only.split(",")}
    # Whoever ends this ends the servers too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    costs: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work, root = Path(folder), Path(folder) / "site"
        make_site(root)
        os.chmod(folder, 0o755)
        there = {}
        for name, make in SERVERS.items():
            port = free_port()
            command = make(root, work, port)
            if shutil.which(command[0]) is None:
                print(f"{name} is not installed", file=sys.stderr)
                continue
            there[name] = (port, stack.enter_context(running(command, port, work)))
            costs[name] = {kind: [] for kind in kinds}
        for number in range(arguments.rounds + 1):
            for kind, load in kinds.items():
                for name, (port, pid) in there.items():
                    cost = cost_us(load.plan(port, arguments.seconds), pid)
                    # The first round warms up.
                    if number:
                        costs[name][kind].append(cost)
    found = table(costs, list(kinds), arguments.rounds)
    print(found)
    if arguments.into is not None:
        put(found, arguments.into)


def table(costs: dict[str, dict[str, list[float]]], kinds: Sequence[str], rounds: int) -> str:
    """The medians, with what they were measured on."""
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    lines = [
        f"Microseconds of CPU a request, in brackets the ratio to {REFERENCE}; medians of {rounds} rounds, two",
        f"processes and an access log each. {date.today()}, {machine}.",
        "",
        f"| | {' | '.join(kinds)} |",
        "|---|" + "---|" * len(kinds),
    ]
    for name, found in costs.items():
        cells = []
        for kind, each in found.items():
            against = costs.get(REFERENCE, {}).get(kind)
            ratio = statistics.median(a / b for a, b in zip(each, against, strict=True)) if against else None
            cells.append(f"{statistics.median(each):.1f}" + (f" ({ratio:.2f})" if ratio is not None else ""))
        lines.append(f"| {name}{version(name)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def version(name: str) -> str:
    """The version of a peer, with a blank before it; empty of this server, and where it does not say."""
    if name not in VERSIONS:
        return ""
    said = subprocess.run(VERSIONS[name], capture_output=True, text=True, timeout=START_SECONDS)
    number = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return f" {number[0]}" if number else ""


def put(found: str, file: Path) -> None:
    """Set the table between the marks of `file`. Exits where there are none."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{file} has no lines {BEGIN!r} and {END!r}")
    file.write_text(f"{before}{begin}\n{found}{end}{after}")


if __name__ == "__main__":
    main()
