"""`wsrv log tail PATH`: the last lines, those that are wanted, counted, as JSON; gzipped, from a pipe, anywhere."""

import contextlib
import gzip
import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, SECONDS, environment, python, wsrv
from wsrv.cli.logfilter import Filter, Since
from wsrv.cli.logview import Columns, Counts
from wsrv.engine.log.line import parse

COMBINED = '{client} - - [{time}] "{method} {target} HTTP/1.1" {status} {size} "-" "curl/8"'


def combined(
    target: str = "/", status: int = 200, client: str = "192.0.2.1", method: str = "GET", ago: float = 0, size: int = 5
) -> str:
    moment = datetime.fromtimestamp(time.time() - ago, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return COMBINED.format(client=client, time=moment, method=method, target=target, status=status, size=size)


def as_json(target: str = "/", duration: float = 0.001, worker: int = 0, cache: str = "hit") -> str:
    said = {"time": "2026-11-25T10:00:00+00:00", "client": "::1", "method": "GET", "target": target, "status": 200}
    return json.dumps({**said, "bytes": 5, "duration": duration, "worker": worker, "cache": cache})


LINES = [
    combined("/a.css", 200),
    combined("/img/b/c.png?x=1", 304, client="10.1.2.3"),
    combined("/none", 404, method="HEAD"),
    combined("/a.css", 500, client="10.9.9.9", ago=7200),
    combined("/%7Eann/d", 503, client="2001:db8::1"),
]
JSON = [as_json("/fast", 0.0999), as_json("/slow", 0.25, worker=1), as_json("/missed", cache="miss", worker=2)]
GONE = as_json("/gone", cache="negative")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def json_log(tmp_path: Path) -> Path:
    path = tmp_path / "access.json"
    path.write_text("\n".join(JSON) + "\n")
    return path


def tail(*args: object) -> list[str]:
    done = wsrv("log", "tail", *map(str, args))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), LINES),
        (("-n", "2"), LINES[3:]),
        (("-n", "0"), []),
        (("--status", "5xx"), LINES[3:]),
        (("--status", "404,3xx"), LINES[1:3]),
        (("--status", "5xx", "-n", "1"), LINES[4:]),
        (("--method", "head"), LINES[2:3]),
        (("--path", "*.css"), [LINES[0], LINES[3]]),
        (("--path", "/img/**"), LINES[1:2]),
        (("--path", "/~ann/*"), LINES[4:]),
        (("--client", "10.0.0.0/8"), [LINES[1], LINES[3]]),
        (("--client", "10.9.9.9,2001:db8::/32"), LINES[3:]),
        (("--path", "*.css", "--status", "500"), LINES[3:4]),
    ],
)
def test_the_last_lines_that_are_wanted(log: Path, options: tuple[str, ...], wanted: list[str]) -> None:
    assert tail(log, *options) == wanted


def test_since_shows_all_that_is_not_older(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [combined(f"/{n}", ago=7200 - 10 * n) for n in range(700)]
    path.write_text("\n".join(lines) + "\n")
    assert len(tail(path, "--since", "10m")) in (39, 40)
    assert tail(path, "--since", "10m", "-n", "5") == lines[-5:]
    assert tail(path, "--since", "1d") == lines
    assert tail(path, "--since", "5s") == []


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--slower-than", "100ms"), JSON[1:2]),
        (("--slower-than", "99ms"), JSON[:2]),
        (("--worker", "1"), JSON[1:2]),
        (("--cache", "miss"), JSON[2:]),
        (("--cache", "hit", "-n", "1"), JSON[1:2]),
    ],
)
def test_what_only_json_tells(json_log: Path, options: tuple[str, ...], wanted: list[str]) -> None:
    assert tail(json_log, *options) == wanted


@pytest.mark.parametrize("option", [("--slower-than", "1s"), ("--worker", "1"), ("--cache", "hit")])
def test_what_combined_does_not_tell_is_refused(log: Path, option: tuple[str, str]) -> None:
    done = wsrv("log", "tail", str(log), *option)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"wsrv: {option[0]}: lines of this format do not tell; a server with --log-format json does\n"


def test_json_has_the_same_keys_whatever_the_log_has(log: Path, json_log: Path) -> None:
    ours, theirs = (json.loads(tail(path, "-n", "1", "--json")[0]) for path in (json_log, log))
    assert list(ours) == list(theirs)
    assert (theirs["status"], theirs["client"], theirs["target"], theirs["cache"]) == (
        503,
        "2001:db8::1",
        "/%7Eann/d",
        None,
    )
    assert datetime.fromisoformat(theirs["time"]).tzinfo is not None


def test_counted(log: Path) -> None:
    said, heads, first, *rest = tail(log, "--count-by", "path")
    assert said == "5 requests, 4 different"
    assert heads.split() == ["requests", "share", "bytes", "path"]
    assert first.split() == ["2", "40.0%", "10", "/a.css"]
    assert [line.split()[-1] for line in rest] == ["/%7Eann/d", "/img/b/c.png", "/none"]
    found = [json.loads(line) for line in tail(log, "--count-by", "status", "--json", "--client", "10.0.0.0/8")]
    assert found == [{"status": "304", "requests": 1, "bytes": 5}, {"status": "500", "requests": 1, "bytes": 5}]
    assert len(tail(log, "--count-by", "client")) == 2 + 4


def test_gzipped_and_from_a_pipe(log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "access.log.2.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert tail(packed) == LINES
    assert tail(packed, "-n", "1", "--status", "5xx") == LINES[4:]
    for stdin in (log, packed):
        with open(stdin, "rb") as stream:
            done = subprocess.run(
                [*PROGRAM, "log", "tail", "-", "-n", "2"],
                stdin=stream,
                capture_output=True,
                timeout=SECONDS,
                check=True,
            )
        assert done.stdout.decode().splitlines() == LINES[3:]


def test_what_breaks_off_is_shown_up_to_there(log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "broken.gz"
    packed.write_bytes(gzip.compress("\n".join(LINES * 2000).encode())[:-20])
    done = wsrv("log", "tail", str(packed), "-n", "1")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert "breaks off" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("{}/none",), "cannot read {}/none: No such file or directory"),
        (("{}",), "cannot read {}: Is a directory"),
        (("{}/packed.gz", "-f"), "is compressed: nothing is added to it"),
        (("{}/x", "--status", "600"), "is not a list of statuses"),
        (("{}/x", "--client", "10.0.0.0/99"), "is not a list of addresses or networks"),
        (("{}/x", "--path", "a//b"), "is not a pattern"),
        (("{}/x", "--since", "yesterday"), "is not so long ago"),
        (("{}/x", "--slower-than", "fast"), "is not a time"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"x"))
    done = wsrv("log", "tail", *(arg.format(tmp_path) for arg in args))
    assert done.returncode == 2
    assert words.format(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


def test_lines_of_nobody_are_counted_where_they_are_left_out(log: Path) -> None:
    log.write_text("\n".join([LINES[0], "what is this", "", LINES[4]]) + "\n")
    assert tail(log)[1] == "what is this"
    done = wsrv("log", "tail", str(log), "--status", "5xx")
    assert done.stdout.splitlines() == LINES[4:]
    assert done.stderr == "wsrv: 1 line is left out, as no access log has such\n"


def test_no_server_is_said_with_status_3(tmp_path: Path) -> None:
    done = wsrv("log", "tail", "--runtime-dir", str(tmp_path))
    assert (done.returncode, done.stderr) == (3, "wsrv: no server runs; start one with: wsrv serve\n")


def test_a_file_is_read_where_no_server_can_run(log: Path) -> None:
    """Nothing is imported that only Linux has, nor asked of the system."""
    code = f"""
import sys
for name in ("fcntl", "resource", "select", "termios"):
    sys.modules[name] = None
sys.platform = "somewhere"
from wsrv.cli.main import run
status = run(["log", "tail", {str(log)!r}, "--status", "5xx"])
loaded = [name for name in sys.modules if name.startswith("wsrv.engine")]
print(status, sorted(loaded), file=sys.stderr)
"""
    done = python(code)
    assert done.stdout.splitlines() == LINES[3:]
    status, _, loaded = done.stderr.partition(" ")
    assert status == "0"
    assert not any(room in loaded for room in ("worker", "openat2", "shm", "ipc", "sync"))


def rotate(log: Path) -> None:
    """Give the file the number 1, and those before it the next ones; then begin a new one."""
    for number in (2, 1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))
    log.touch()


def test_followed_lines_come_and_go_on_through_rotations(log: Path) -> None:
    command = [*PROGRAM, "log", "tail", str(log), "-f", "-n", "1", "--path", "*.css"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as follower:
        # Whoever waits for a line that never comes reads the end instead.
        watchdog = threading.Timer(SECONDS, follower.kill)
        watchdog.start()
        try:
            assert follower.stdout is not None
            assert follower.stdout.readline().decode().rstrip() == LINES[3]
            for number in range(3):
                with open(log, "a") as file:
                    print(combined(f"/{number}.css"), combined("/other"), sep="\n", file=file)
                rotate(log)
                assert f"/{number}.css".encode() in follower.stdout.readline()
        finally:
            watchdog.cancel()
            follower.terminate()


def test_a_reader_that_has_seen_enough_ends_it(log: Path) -> None:
    log.write_text("\n".join(LINES * 5000) + "\n")
    command = f"{sys.executable} -m wsrv.cli.main log tail {log} -n 25000 | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=SECONDS, env=environment(), text=True)
    assert (done.stdout.splitlines(), done.stderr) == (LINES[:1], "")


# What a person sees.


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize(
    "text",
    [combined("/" + "a" * 300), combined("/a", ago=200_000), as_json("/" + "b" * 300), as_json()],
    # Not the texts: who collects a second later would have other tests.
    ids=["long", "of-another-day", "long-json", "json"],
)
def test_a_line_fits_the_terminal(text: str, width: int) -> None:
    shown = Columns(lambda: width).described(parse(text.encode()), width)
    assert len(shown) <= width
    assert "200" in shown
    assert shown.endswith(("a", "b", "/"))


def test_nothing_that_a_client_sent_moves_the_cursor() -> None:
    hostile = '{"status":200,"target":"/\\u001b[2J","client":"\\u001b[31m","method":"\\u0007GET","time":"\\u001b"}'
    assert Columns(lambda: 80).described(parse(hostile.encode()), 80).isprintable()


def test_the_day_is_told_where_it_is_another() -> None:
    view = Columns(lambda: 80)
    assert view.clock(parse(combined(ago=3 * 86400).encode()).time).count("-") == 1
    assert view.clock("nonsense\x1b") == "nonsense"


def test_counts_forget_the_rarest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsrv.cli.logview.MOST_KEYS", 100)
    monkeypatch.setattr("wsrv.cli.logview._KEPT_KEYS", 10)
    counts = Counts("path")
    for number in range(1000):
        for target in ("/often", f"/{number}"):
            text = combined(target).encode()
            counts.show(text, parse(text))
    assert counts.top(1) == [("/often", 1000, 5000)]
    assert counts.table(5, 80)[0].startswith("2,000 requests, 1,001 different, ")


def test_since_takes_a_time_or_how_long_ago() -> None:
    assert abs(Since().read("10m") - (time.time() - 600)) < 60
    assert Since().read("2026-11-25T10:00:00+00:00") == 1795600800.0
    assert Filter(since=1795600800.0).wants(parse(as_json().encode()))
    assert not Filter(since=1795600801.0).wants(parse(as_json().encode()))


def test_a_named_pipe_is_read_to_its_end(log: Path, tmp_path: Path) -> None:
    packed = gzip.compress(log.read_bytes())
    for content in (log.read_bytes(), packed):
        pipe = tmp_path / f"pipe-{len(content)}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        assert tail(pipe, "-n", "2") == LINES[-2:]
        writer.join(SECONDS)


def test_following_ends_when_nobody_reads_any_more(log: Path) -> None:
    command = [*PROGRAM, "log", "tail", "-f", "-n", "1", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as run:
        assert run.stdout is not None
        assert run.stdout.readline().decode() == LINES[-1] + "\n"
        run.stdout.close()
        # No line comes that could not be written: it looks by itself.
        assert run.wait(SECONDS) == 0
        assert run.stderr is not None
        assert run.stderr.read() == b""


@pytest.mark.parametrize("options", [(), ("--count-by", "path")])
def test_what_takes_long_says_how_far_it_is_on_a_terminal(options: tuple[str, ...]) -> None:
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "log", "tail", "-", "-n", "1", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs, env=environment({"TERM": "xterm"})
    ) as run:
        os.close(theirs)
        assert run.stdin is not None
        assert run.stdout is not None
        # Lines go on coming until there is something to be seen.
        until = time.monotonic() + SECONDS
        while not select.select([ours], [], [], 0.05)[0]:
            assert time.monotonic() < until
            run.stdin.write((LINES[0] + "\n").encode())
            run.stdin.flush()
        run.stdin.close()
        assert "/a.css" in run.stdout.read().decode()
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert re.match(rb"\r\x1b\[Klines looked through: \d+", shown)
    assert shown.endswith(b"\r\x1b[K")


def test_what_the_cache_knew_to_be_missing_is_told_apart_and_in_its_column(tmp_path: Path) -> None:
    path = tmp_path / "access.json"
    path.write_text("\n".join([*JSON, GONE]) + "\n")
    assert tail(path, "--cache", "negative") == [GONE]
    view = Columns(lambda: 80)
    shown = [view.described(parse(text.encode()), 80) for text in (JSON[2], GONE)]
    assert shown[0].index("/missed") == shown[1].index("/gone")
    assert " none " in shown[1]
