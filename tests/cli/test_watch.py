"""`wsrv stats --watch`: rates out of totals, in a frame that fits its terminal."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import PROGRAM, SECONDS, environment, wsrv
from tests.cli.test_stats import DOCUMENT
from tests.master.loop import control_loop
from wsrv.cli import sparks
from wsrv.cli.samples import MOST, Samples, number
from wsrv.cli.watch import frame
from wsrv.engine.master.control import listen
from wsrv.engine.master.runtime import RuntimeFolder

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def document(second: float, rate: int = 1000, workers: int = 2, **more: Any) -> dict[str, Any]:
    """What a server says that has answered so many requests a second for so many seconds."""
    total = round(rate * second)
    each = {"pid": 4_000_000, "restarts": 0, "requests_total": total // workers, "connections_active": 9}
    return {
        **DOCUMENT,
        "uptime_seconds": second,
        "requests_total": total,
        "bytes_sent": 1024 * total,
        "responses": {"200": total, "404": round(second)},
        "latency_buckets": [[0.1, total // 2], [0.5, total // 2]],
        "queue": [{"slot": slot, "depth": slot, "capacity": 1024} for slot in range(workers)],
        "workers": [{**each, "slot": slot, "heartbeat_age_seconds": 0.1} for slot in range(workers)],
        "sync_objects": [
            {"name": "queue", "acquired": 10 * total, "contended": round(2 * second), "wait_ms": 5 * second},
            {"name": "pool_filled", "acquired": total, "contended": total, "wait_ms": 1e6 * second},
            {"name": "pool_mutex", "acquired": 0, "contended": 0, "wait_ms": 0},
        ],
        **more,
    }


def after(*documents: Mapping[str, Any]) -> Samples:
    samples = Samples()
    for one in documents:
        samples.add(one)
    return samples


def requests(one: Mapping[str, Any]) -> float:
    return number(one, "requests_total")


def test_a_rate_is_what_was_added_by_the_time_between() -> None:
    samples = after(document(1, 100), document(3, 100), document(4, 200))
    assert samples.rates(requests) == [100, 500]
    assert samples.rate(requests) == 500
    assert after(document(1)).rate(requests) == 0


def test_a_server_that_has_started_anew_begins_anew() -> None:
    samples = after(document(100), document(101), document(1), document(2))
    assert samples.rates(requests) == [1000]


def test_samples_are_bounded() -> None:
    samples = after(*({"uptime_seconds": second, "requests_total": second} for second in range(MOST + 50)))
    assert samples.rates(requests) == [1.0] * (MOST - 1)


def test_percentiles_are_of_the_window_alone() -> None:
    slow = document(1, latency_buckets=[[50.0, 1_000_000]])
    then = [document(2 + second, latency_buckets=[[1.0, 100 * second], [50.0, 1_000_000]]) for second in range(3)]
    assert after(slow, *then).percentiles("latency_buckets", (0.5, 0.99)) == [1.0, 1.0]
    assert after(slow).percentiles("latency_buckets", (0.5,)) == [50.0]
    assert after(slow, slow).percentiles("latency_buckets", (0.5,)) == [None]
    assert after({}).percentiles("latency_buckets", (0.5,)) == [None]


@pytest.mark.parametrize("workers", [1, 2, 8, 300])
@pytest.mark.parametrize(("width", "rows"), [(80, 24), (160, 48), (60, 16)])
def test_a_frame_fits_its_terminal(width: int, rows: int, workers: int) -> None:
    samples = after(*(document(second, 54_321, workers) for second in range(1, 200)))
    for lines in (
        frame(samples, width, rows),
        frame(samples, width, rows, lambda text, colour: f"\x1b[{colour}m{text}\x1b[0m"),
    ):
        assert len(lines) <= rows
        shown = [_COLOURS.sub("", line) for line in lines]
        if width >= 80:
            assert max(map(len, shown)) <= width
        assert all(line.isprintable() for line in shown)
        assert any("54,3" in line for line in shown)


def test_what_happens_now_is_shown() -> None:
    text = "\n".join(frame(after(*(document(second) for second in range(1, 9))), 100, 40))
    for words in ("1,000  ", "1.0M", "p50  0.10 ms", "p99  0.50 ms", "1/1024", "queue wait"):
        assert words in text
    guard = next(line for line in text.splitlines() if line.startswith("queue  "))
    assert guard.split() == ["queue", "10,000", "2.0", "5.0"]
    idlers = next(line for line in text.splitlines() if line.startswith("pool_filled"))
    assert idlers.split() == ["pool_filled", "1,000", "-", "idle"]
    assert "pool_mutex" not in text


def test_workers_that_there_is_no_room_for_are_counted() -> None:
    lines = frame(after(document(1, workers=40), document(2, workers=40)), 80, 24)
    (more,) = [int(line.split()[1]) for line in lines if line.strip().startswith("and ")]
    assert more + sum("/1024" in line for line in lines) == 40


def test_what_a_server_does_not_say_is_borne() -> None:
    assert frame(after({}), 80, 24)
    assert frame(after({"uptime_seconds": 1}, {"uptime_seconds": 2, "workers": None, "cache": None}), 80, 24)
    assert frame(after(DOCUMENT, DOCUMENT), 80, 24)


def test_nothing_in_a_document_moves_the_cursor() -> None:
    evil = "\x1b[2J\r\n"
    samples = after(document(1), document(2, name=evil, version=evil, listeners=[evil], ipc=evil, sync=evil))
    assert all(line.isprintable() for line in frame(samples, 80, 24))


def test_columns_end_with_the_latest_and_show_what_is_not_nothing() -> None:
    assert sparks.columns([8, 0, 1, 4, 8], 4) == [" ▁▄█"]
    assert sparks.columns([1], 3) == ["  █"]
    assert sparks.columns([1, 1000], 2) == ["▁█"]
    assert sparks.columns([], 2) == ["  "]
    assert sparks.columns([1, 2], 2, height=2) == [" █", "██"]
    assert sparks.columns([1, 2], 2, top=4) == ["▂▄"]


def test_a_bar_has_eighths() -> None:
    assert [sparks.bar(share, 2) for share in (0, 0.0001, 0.5, 0.75, 1, 2)] == ["  ", "▏ ", "█ ", "█▌", "██", "██"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Path]:
    """The runtime directory of something that answers like a server that is busy."""
    with ExitStack() as stack:
        folder = stack.enter_context(RuntimeFolder.claim(tmp_path / "run", "busy"))
        seconds = iter(range(1, 10_000))
        stack.enter_context(control_loop(listen(folder), {"stats": lambda request: document(next(seconds))}))
        yield tmp_path / "run"


def test_json_is_a_line_a_second(start: Path) -> None:
    command = [*PROGRAM, "stats", "--watch", "--json", "--runtime-dir", str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as run:
        assert run.stdout is not None
        found = [json.loads(run.stdout.readline()) for _ in range(3)]
        run.send_signal(signal.SIGINT)
        assert run.wait(SECONDS) == 130
    assert [one["uptime_seconds"] for one in found] == [1, 2, 3]


def test_a_terminal_is_drawn_anew_and_is_as_it_was_at_the_end(start: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "stats", "--watch", "--runtime-dir", str(start)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, env=environment({"TERM": "xterm"})) as run:
        os.close(theirs)
        seen = b""
        while seen.count(b"\x1b[H") < 2 or b"1,000" not in seen:
            seen += os.read(ours, 65536)
        run.send_signal(signal.SIGTERM)
        assert run.wait(SECONDS) == 130
    seen += os.read(ours, 65536)
    os.close(ours)
    assert seen.startswith(b"\x1b[?1049h")
    assert seen.endswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l")


def test_a_server_that_ends_is_said_with_3(tmp_path: Path) -> None:
    with RuntimeFolder.claim(tmp_path / "run", "short") as folder, ExitStack() as stack:
        stack.enter_context(control_loop(listen(folder), {"stats": lambda request: document(1)}))
        command = [*PROGRAM, "stats", "--watch", "--runtime-dir", str(tmp_path / "run")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as run:
            assert run.stdout is not None
            run.stdout.readline()
            stack.close()
            _, said = run.communicate(timeout=SECONDS)
    assert run.returncode == 3
    assert said.startswith(b"wsrv: server short ")
    assert len(said.splitlines()) == 1


def test_watch_and_sync_exclude_each_other(tmp_path: Path) -> None:
    run = wsrv("stats", "--watch", "--sync", "--runtime-dir", str(tmp_path))
    assert run.returncode == 2
    assert "exclude each other" in run.stderr
