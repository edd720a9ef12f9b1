"""`wsrv stats` against a control socket that answers as a server does."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import PROGRAM, SECONDS, environment, wsrv
from tests.master.loop import control_loop
from wsrv.cli import running
from wsrv.cli.exits import Stop
from wsrv.cli.stats import table
from wsrv.engine.master.control import listen
from wsrv.engine.master.runtime import RuntimeFolder

DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "version": "0.1.0",
    "name": "8080",
    "uptime_seconds": 7391.2,
    "listeners": ["http://127.0.0.1:8080"],
    "requests_total": 1_000_000,
    "internal_requests_total": 12,
    "bytes_sent": 1_000_000_000,
    "connections_active": 3,
    "connections_total": 100_000,
    "connections_refused": {"queue-full": 12, "limit": 0},
    "responses": {"200": 990_000, "304": 9_900, "404": 100},
    "cache": {
        "policy": "lru",
        "scope": "process",
        "capacity_bytes": 64 << 20,
        "size_bytes": 12_345_678,
        "objects": 120,
        "hits": 999_000,
        "misses": 1000,
        "evictions": 7,
    },
    "latency_ms": {"p50": 0.05, "p90": 0.08, "p99": 0.21, "p999": 14.4, "max": 1222.0},
    "workers": [
        {
            "slot": slot,
            "pid": 1234 + slot,
            "restarts": slot,
            "requests_total": 500_000,
            "connections_active": 1,
            "heartbeat_age_seconds": 0.02,
        }
        for slot in range(2)
    ],
    "ipc": "socketpair",
    "sync": "posix",
    "sync_objects": [
        {"name": "queue", "acquired": 100_000, "contended": 12, "wait_ms": 0.0},
        {"name": "pool_filled", "acquired": 1000, "contended": 990, "wait_ms": 7_200_500.25},
        {"name": "pool\x1b[31m", "acquired": None, "contended": 0, "wait_ms": 12.345},
    ],
    "log_dropped": 0,
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts something that answers `stats` under a name, in the runtime directory tmp_path/run."""
    with ExitStack() as stack:

        def start_one(name: str, document: dict[str, Any] = DOCUMENT) -> None:
            folder = stack.enter_context(RuntimeFolder.claim(tmp_path / "run", name))
            stack.enter_context(control_loop(listen(folder), {"stats": lambda request: document}))

        yield start_one


def stats(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return wsrv("stats", "--runtime-dir", str(tmp_path / "run"), *args)


def test_what_was_counted_of_tls_and_proxies_has_a_line_each() -> None:
    document = DOCUMENT | {"tls": {"handshakes": 1200, "failures": 3}, "proxy": {"malformed": 2}}
    lines = table(document)
    assert "tls          failures: 3  handshakes: 1,200" in lines
    assert "proxy        malformed: 2" in lines
    unused = table(DOCUMENT | {"tls": {"handshakes": 0, "failures": 0}, "proxy": {"malformed": 0}})
    assert unused == table(DOCUMENT)


def test_json_is_the_servers_document(tmp_path: Path, start: Any) -> None:
    start("8080")
    run = stats(tmp_path, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout) == DOCUMENT


def test_table_fits_a_terminal_and_shows_what_counts(tmp_path: Path, start: Any) -> None:
    start("8080")
    run = stats(tmp_path)
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    for shown in (
        "1,000,000",
        "135.3/s",
        "953.7 MiB",
        "99.9 % hits",
        "p99.9 14 ms",
        "max 1.22 s",
        "queue-full 12",
        "1235",
    ):
        assert shown in run.stdout
    assert "limit" not in run.stdout


def test_table_bears_what_a_server_does_not_know() -> None:
    assert table({})
    assert table(DOCUMENT | {"latency_ms": None, "cache": None, "workers": None, "new": {"later": 1}})
    assert table(DOCUMENT | {"latency_ms": dict.fromkeys(DOCUMENT["latency_ms"])})


def test_nothing_in_a_document_moves_the_cursor() -> None:
    evil = "\x1b[2J\r\n"
    shown = table(DOCUMENT | {"name": evil, "responses": {evil: 1}, "listeners": [evil], "ipc": evil})
    assert all(line.isprintable() for line in shown)


def test_no_server_is_3(tmp_path: Path) -> None:
    run = stats(tmp_path)
    assert (run.returncode, run.stderr) == (3, "wsrv: no server runs; start one with: wsrv serve\n")


def test_several_servers_are_listed_and_a_name_picks(tmp_path: Path, start: Any) -> None:
    start("one", DOCUMENT | {"name": "one"})
    start("two", DOCUMENT | {"name": "two"})
    run = stats(tmp_path)
    pid = os.getpid()
    assert run.returncode == 2
    assert run.stderr == f"wsrv: several servers run: one (pid {pid}), two (pid {pid}); pick one with --name\n"
    assert json.loads(stats(tmp_path, "--name", "two", "--json").stdout)["name"] == "two"


def test_name_that_does_not_run_is_3_and_lists_those_that_do(tmp_path: Path, start: Any) -> None:
    start("one")
    run = stats(tmp_path, "--name", "other")
    assert (run.returncode, run.stderr) == (
        3,
        f"wsrv: no server named other runs; there are: one (pid {os.getpid()})\n",
    )


def test_name_is_completed(tmp_path: Path, start: Any) -> None:
    start("blog")
    words = f"wsrv stats --runtime-dir {tmp_path}/run --name b"
    run = wsrv(env={"_WSRV_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "5"})
    assert run.stdout.strip() == "plain,blog"


@pytest.mark.parametrize("variable", ["WSRV_RUNTIME_DIR", "RUNTIME_DIRECTORY"])
def test_server_is_found_by_the_environment(tmp_path: Path, start: Any, variable: str) -> None:
    start("only-here")
    run = wsrv("stats", "--name", "only-here", "--json", env={variable: str(tmp_path / "run")})
    assert run.returncode == 0


def test_server_is_found_in_the_session(tmp_path: Path) -> None:
    with (
        RuntimeFolder.claim(tmp_path / "wsrv", "only-here") as folder,
        control_loop(listen(folder), {"stats": lambda request: DOCUMENT}),
    ):
        run = wsrv("stats", "--name", "only-here", "--json", env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert run.returncode == 0


def test_server_without_a_control_socket_is_3(tmp_path: Path) -> None:
    with RuntimeFolder.claim(tmp_path / "run", "x"):
        run = stats(tmp_path)
    assert run.returncode == 3
    assert run.stderr == f"wsrv: server x (pid {os.getpid()}): the server has no control socket\n"


def test_reader_that_left_is_no_error(tmp_path: Path, start: Any) -> None:
    start("8080")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = subprocess.run(
            [*PROGRAM, "stats", "--json", "--runtime-dir", str(tmp_path / "run")],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=SECONDS,
        )
    finally:
        os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


def test_auto_for_the_runtime_directory_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "auto").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "default_directories", lambda environ: [tmp_path / "run"])
    assert running.servers(None, {"WSRV_RUNTIME_DIR": "auto"}) == []
    with pytest.raises(Stop):
        running.servers(None, {"WSRV_RUNTIME_DIR": "./auto"})


def test_sync_is_a_table_of_guards(tmp_path: Path, start: Any) -> None:
    start("8080")
    run = stats(tmp_path, "--sync")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        "sync posix",
        "",
        "      guard  acquired  contended      waited",
        "      queue   100,000         12     0.00 ms",
        "pool_filled     1,000        990  7,200.50 s",
        "  pool?[31m         -          0       12 ms",
    ]


def test_sync_of_a_server_that_does_not_count_its_guards_has_no_lines(tmp_path: Path, start: Any) -> None:
    start("8080", {key: value for key, value in DOCUMENT.items() if key != "sync_objects"})
    assert stats(tmp_path, "--sync").stdout == "sync posix\n\nguard  acquired  contended  waited\n"


def test_sync_and_json_exclude_each_other(tmp_path: Path) -> None:
    run = stats(tmp_path, "--sync", "--json")
    assert run.returncode == 2
    assert "the JSON has `sync_objects` in it" in run.stderr


def test_where_there_is_little_room_columns_of_workers_go_that_matter_least() -> None:
    tables = {width: table(DOCUMENT, width)[-3:] for width in (80, 50, 40, 20)}
    for width, lines in tables.items():
        assert max(map(len, lines)) <= width
        assert [line.split()[0] for line in lines] == ["worker", "0", "1"]
    heads = [lines[0].split() for lines in tables.values()]
    assert heads == [
        ["worker", "pid", "restarts", "requests", "connections", "heartbeat"],
        ["worker", "restarts", "requests", "connections", "heartbeat"],
        ["worker", "requests", "connections", "heartbeat"],
        ["worker", "requests"],
    ]
