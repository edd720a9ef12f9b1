# What handshakes cost those who ask in the clear: python -m tests.bench.handshakes --rate 200
#
# Three processes: the server, one that only makes full handshakes at a steady rate, one that only asks in the clear, at
# a steady rate too. A request's time runs from when it was due, so that a server that stands still is seen to. The same
# plain load is measured without handshakes first, in the same run: compare the two rows.
"""Latency of plain requests while handshakes run, as a Markdown table on stdout."""

import argparse
import multiprocessing
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support.certificates import Authority, options

WSRV = (sys.executable, "-c", "from wsrv.cli.main import main; main()")
GET = b"GET / HTTP/1.1\r\nHost: bench\r\n%b\r\n"
# So many handshakes may be under way at once before the rate is said not to be held.
HANDS = 32
SECONDS_TO_WAIT = 30


def paced(rate: float, seconds: float, work: Callable[[float], None]) -> None:
    """Call `work` with each moment that is due, `rate` a second; what comes late is done at once."""
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        if (ahead := due - time.perf_counter()) > 0:
            time.sleep(ahead)
        work(due)


def make_handshakes(report: Connection, port: int, ca: str, rate: float, seconds: float) -> None:
    """Full handshakes, `rate` a second; reports how many were made, in how many seconds, and how many failed."""
    context = ssl.create_default_context(cafile=ca)
    done: list[bool] = []

    def one(_: float) -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), SECONDS_TO_WAIT) as plain:
                context.wrap_socket(plain, server_hostname="localhost").close()
            done.append(True)
        except OSError:
            done.append(False)

    begin = time.perf_counter()
    hands = [threading.Thread(target=paced, args=(rate / HANDS, seconds, one)) for _ in range(HANDS)]
    for number, hand in enumerate(hands):
        # Apart from each other, or all would knock at once.
        time.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        hand.start()
    for hand in hands:
        hand.join()
    report.send((sum(done), time.perf_counter() - begin, done.count(False)))


def ask_plainly(report: Connection, port: int, rate: float, seconds: float) -> None:
    """Requests, `rate` a second, by turns on a connection that stays and on one of their own; reports both in ms."""
    took: dict[str, list[float]] = {"keep-alive": [], "a connection each": []}
    with socket.create_connection(("127.0.0.1", port), SECONDS_TO_WAIT) as kept:

        def one(due: float) -> None:
            if len(took["keep-alive"]) <= len(took["a connection each"]):
                kept.sendall(GET % b"")
                hear(kept)
                took["keep-alive"].append((time.perf_counter() - due) * 1000)
                return
            with socket.create_connection(("127.0.0.1", port), SECONDS_TO_WAIT) as own:
                own.sendall(GET % b"Connection: close\r\n")
                hear(own)
            took["a connection each"].append((time.perf_counter() - due) * 1000)

        paced(rate, seconds, one)
    report.send(took)


def hear(sock: socket.socket) -> None:
    """One answer of the bench's only page."""
    received = b""
    while not received.endswith(b"\n.\n"):
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionResetError("the answer ends early")
        received += piece


def in_a_process(work: Callable[..., None], *arguments: object) -> tuple[multiprocessing.Process, Connection]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=work, args=(theirs, *arguments))
    process.start()
    theirs.close()
    return process, ours


def row(name: str, took: list[float]) -> str:
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return f"| {name} | {len(took):,} | {cuts[49]:.2f} | {cuts[98]:.2f} | {max(took):.2f} |"


def measure(plain: int, secure: int, ca: str, arguments: argparse.Namespace) -> None:
    """Both rows, without handshakes and with them."""
    print("| plain requests | number | p50 (ms) | p99 (ms) | max (ms) |")
    print("|---|---|---|---|---|")
    for rate in (0.0, arguments.rate):
        load = in_a_process(make_handshakes, secure, ca, rate, arguments.seconds) if rate else None
        client, answers = in_a_process(ask_plainly, plain, arguments.plain_rate, arguments.seconds)
        took = answers.recv()
        client.join()
        for name, times in took.items():
            print(row(f"{name}, {rate:g} handshakes/s wanted", times))
        if load is not None:
            process, said = load
            made, seconds, failed = said.recv()
            process.join()
            print(f"\n{made:,} handshakes, {made / seconds:.0f}/s, {failed} failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200, help="handshakes a second")
    parser.add_argument("--plain-rate", type=float, default=100, help="plain requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ec", action="store_true", help="an EC key; else RSA, 2048 bits")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        (root / "index.html").write_text("x" * 1021 + "\n.\n")
        authority = Authority(Path(folder) / "authority")
        pair = authority.issue("localhost", rsa=not arguments.ec)
        places = ("--listen", "0", "--listen", "https://0", "--name", "bench", "--runtime-dir", f"{folder}/run")
        more = ("--workers", str(arguments.workers), "--log-file", f"{folder}/log", *options(pair))
        server = subprocess.Popen((*WSRV, "serve", str(root), *places, *more), stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        ports: list[int] = []
        for line in server.stderr:
            ports += map(int, re.findall(r"listening on https?://127\.0\.0\.1:(\d+)", line))
            if len(ports) == 2:
                break
        else:
            sys.exit("the server does not start")
        try:
            key = "EC P-256" if arguments.ec else "RSA 2048"
            print(f"{arguments.workers} workers, {key}, {arguments.seconds:g} s each\n")
            measure(ports[0], ports[1], str(authority.file), arguments)
        finally:
            server.terminate()
            server.wait()
            server.stderr.close()


if __name__ == "__main__":
    main()
