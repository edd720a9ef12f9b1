"""`wsrv bench` as a person calls it."""

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Any
from xml.etree.ElementTree import fromstring

import psutil
import pytest

from tests.cli.program import PROGRAM, environment
from tests.support.certificates import Authority, options
from tests.support.processes import children
from tests.support.server import Servers, wait_for

SECONDS = 120


def bench(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "bench", *args],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def said(stderr: str) -> str:
    """What it says, but for that the client was what limited: on a busy machine that is so, and is said of any run."""
    return "".join(line for line in stderr.splitlines(keepends=True) if "the client was what limited" not in line)


def found(*args: str, env: dict[str, str] | None = None) -> Any:
    run = bench("--json", *args, env=env)
    assert (run.returncode, said(run.stderr)) == (0, "")
    return json.loads(run.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    root.mkdir()
    for name in ("index.html", "a.txt", "b.txt"):
        (root / name).write_text(name * 100)
    return root


@pytest.mark.parametrize("how", [(), ("--no-keepalive",), ("--pipeline", "4"), ("--processes", "3")])
def test_each_request_of_a_run_is_one_of_the_servers(servers: Servers, site: Path, how: tuple[str, ...]) -> None:
    server = servers(site)
    run = found(f"{server.url}/a.txt", "-n", "1000", "-c", "20", "--warm-up", "0s", *how)
    assert (run["answers"], run["statuses"], run["failures"]) == (1000, {"200": 1000}, 0)
    # And the one by which it saw that somebody answers.
    lines = server.log_lines(1001)
    assert len(lines) == 1001
    assert all('"GET /a.txt HTTP/1.1" 200' in line for line in lines)


def test_the_servers_own_figures_stand_beside_the_clients(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "2")
    place = {"WSRV_RUNTIME_DIR": str(server.runtime)}
    run = found(f"{server.url}/a.txt", "-n", "2000", "--no-keepalive", "--warm-up", "0s", env=place)
    own = run["server"]
    assert sum(own["requests_by_worker"]) == 2000
    assert own["cache"]["hits"] + own["cache"]["misses"] == 2000
    assert 1.0 <= own["fairness"] <= 2.0
    assert own["cpu_us_per_request"] > 0
    assert own["service_ms"]["p50"] <= run["latency_ms"]["p99"]
    assert own["queue_wait_ms"]["p99"] is not None
    assert (own["ipc"], own["sync"], own["refused"]) == ("socketpair", "posix", {})


def test_what_the_server_counted_while_it_warmed_up_is_not_counted(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "2")
    place = {"WSRV_RUNTIME_DIR": str(server.runtime)}
    run = found(f"{server.url}/a.txt", "-n", "500", "--warm-up", "300ms", env=place)
    assert sum(run["server"]["requests_by_worker"]) == 500
    assert server.stats()["requests_total"] > 501


def test_a_log_in_json_says_where_the_slowest_come_from() -> None:
    args = ("-n", "2000", "-c", "10", "--warm-up", "100ms")
    run = found(*args, "--", "--workers", "1", "--log-format", "json")
    slowest = run["server"]["slowest"]
    assert slowest["requests"] == 20
    assert slowest["by_worker"] == {"0": {"of_slowest": 1.0, "of_all": 1.0}}
    assert slowest["by_cache"] == {"hit": {"of_slowest": 1.0, "of_all": 1.0}}
    assert 0 < slowest["from_ms"] < run["latency_ms"]["max"]


def test_a_server_that_stands_still_shows_in_the_corrected_percentiles_alone(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "1")
    command = [*PROGRAM, "bench", f"{server.url}/a.txt", "--rate", "500", "-c", "5", "-d", "5s", "--warm-up", "0s"]
    with subprocess.Popen([*command, "--json"], env=environment(), stdout=subprocess.PIPE, text=True) as popen:
        server.log_lines(200)
        family = [server.process, *children(server.process, recursive=True)]
        for process in family:
            process.suspend()
        # That it stands still is what is measured.
        sleep(1.0)
        for process in family:
            process.resume()
        stdout, _ = popen.communicate(timeout=60)
    run = json.loads(stdout)
    assert run["failures"] == 0
    assert run["latency_ms"]["max"] > 900
    assert run["latency_ms"]["p99"] < 500 < run["corrected_ms"]["p99"]


def test_a_server_with_tls_is_measured(servers: Servers, site: Path, tmp_path: Path) -> None:
    files = Authority(tmp_path / "certificates").issue("localhost")
    server = servers(site, "--workers", "1", *options(files))
    url = f"https://localhost:{server.port}/a.txt"
    for how in ((), ("--no-keepalive",), ("--pipeline", "4")):
        run = found(url, "-n", "100", "-c", "5", "--warm-up", "0s", "--insecure", *how)
        assert (run["answers"], run["statuses"], run["failures"]) == (100, {"200": 100}, 0)
        assert run["bytes"] > 100 * len("a.txt" * 100)
    run_ = bench(url, "-n", "100")
    assert run_.returncode == 3
    assert said(run_.stderr) == (
        f"wsrv: {url} does not answer: certificate: unable to get local issuer certificate; --insecure accepts it\n"
    )


def test_a_server_of_its_own_may_speak_tls_only(tmp_path: Path) -> None:
    files = Authority(tmp_path / "certificates").issue("localhost")
    run = found("-n", "50", "-c", "5", "--", "--workers", "1", *options(files))
    assert (run["url"][:8], run["statuses"], run["server"]["requests_by_worker"]) == ("https://", {"200": 50}, [50])


def test_without_a_url_a_server_is_started_and_gone_afterwards(tmp_path: Path) -> None:
    run = found("-n", "200", "--", "--workers", "1", "--ipc", "inherit", env={"TMPDIR": str(tmp_path)})
    assert (run["answers"], run["failures"]) == (200, 0)
    assert run["server"]["ipc"] == "inherit"
    assert len(run["server"]["requests_by_worker"]) == 1
    assert run["bytes"] / 200 > 1024
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(p.info["cmdline"])]
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_its_own_serves_the_root_that_is_named(site: Path) -> None:
    run = found("-n", "50", "--", str(site), "--workers", "1")
    assert (run["statuses"], run["settings"]["server"]) == ({"200": 50}, [str(site), "--workers", "1"])


def test_a_list_of_targets_is_gone_through(servers: Servers, site: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("/a.txt\n/b.txt\n/absent\n")
    server = servers(site)
    run = bench(server.url, "-n", "300", "--warm-up", "0s", "--json", "--urls", str(tmp_path / "list"))
    assert json.loads(run.stdout)["statuses"] == {"200": 200, "404": 100}
    # What a server has logged can be asked again.
    again = found(server.url, "-n", "301", "--warm-up", "0s", "--urls", str(server.log), "--zipf", "1.2")
    assert again["answers"] == 301
    assert again["settings"]["targets"] == 3


def test_a_field_of_the_requests_can_be_set(servers: Servers, site: Path) -> None:
    server = servers(site)
    plain = found(f"{server.url}/a.txt", "-n", "10", "--warm-up", "0s")
    coded = found(f"{server.url}/a.txt", "-n", "10", "--warm-up", "0s", "-H", "Accept-Encoding: br")
    assert coded["bytes"] < plain["bytes"]


def test_the_table_has_a_line_for_each_number_of_connections(servers: Servers, site: Path) -> None:
    run = bench(servers(site).url, "-n", "500", "--table", "1,10,50")
    heads, *rows = run.stdout.splitlines()
    assert (run.returncode, said(run.stderr)) == (0, "")
    assert "median" in heads
    assert [row.split()[0] for row in rows] == ["1", "10", "50"]
    assert all(len(row) <= 80 for row in (heads, *rows))


def test_a_run_is_shown_within_eighty_columns(servers: Servers, site: Path) -> None:
    server = servers(site)
    run = bench(server.url, "-n", "500", env={"WSRV_RUNTIME_DIR": str(server.runtime)})
    assert run.returncode == 0
    assert max(map(len, run.stdout.splitlines())) <= 80
    for word in ("answers", "corrected", "99.9 %", "server", "requests by worker", "client"):
        assert word in run.stdout


def test_contenders_are_compared_in_rounds() -> None:
    runs = found("-n", "200", "--no-keepalive", "--rounds", "2", "--compare", "ipc=socketpair,inherit")
    assert [(run["contender"], run["server"]["ipc"]) for run in runs] == [
        ("socketpair", "socketpair"),
        ("socketpair", "socketpair"),
        ("inherit", "inherit"),
        ("inherit", "inherit"),
    ]
    table = bench("-n", "100", "--rounds", "2", "--compare", "workers=1,2")
    assert table.returncode == 0
    assert "no winner" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80


def test_csv_has_a_line_for_each_run(servers: Servers, site: Path) -> None:
    run = bench(servers(site).url, "-n", "100", "--table", "1,2", "--csv")
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    assert [(row["settings.connections"], row["answers"]) for row in rows] == [("1", "100"), ("2", "100")]


def test_a_requirement_that_is_not_met_ends_with_one(servers: Servers, site: Path) -> None:
    url = servers(site).url
    met = bench(url, "-n", "100", "--require", "errors==0", "--require", "p99<100s")
    assert (met.returncode, said(met.stderr)) == (0, "")
    run = bench(url, "-n", "100", "--require", "errors==0", "--require", "rps>1000000000")
    assert run.returncode == 1
    assert said(run.stderr).startswith("wsrv: rps>1000000000: it is ")
    assert said(run.stderr).count("\n") == 1
    assert "answers" in run.stdout


def test_figures_are_kept_and_compared_with(servers: Servers, site: Path, tmp_path: Path) -> None:
    url, state = servers(site).url, {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert bench(url, "-n", "100", "--save", "main", env=state).returncode == 0
    kept = json.loads((tmp_path / "state/wsrv/bench/main.json").read_text())
    assert kept[0]["answers"] == 100
    again = bench(url, "-n", "100", "--baseline", "main", "--require", "rps>=0.000001*baseline", env=state)
    assert (again.returncode, said(again.stderr)) == (0, "")
    less = bench(url, "-n", "100", "--baseline", "main", "--require", "rps>=1000000*baseline", env=state)
    assert less.returncode == 1
    other = bench(url, "-n", "200", "--baseline", "main", env=state)
    assert (other.returncode, said(other.stderr)) == (
        2,
        "wsrv: the baseline was made with other settings: requests (baseline: 100, now: 200)\n",
    )
    absent = bench(url, "-n", "100", "--baseline", "absent", env=state)
    assert absent.returncode == 2
    assert "--save absent" in absent.stderr


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("http://127.0.0.1:1/",), 3, "refused"),
        (("https://127.0.0.1:1/",), 3, "refused"),
        (("http://127.0.0.1:1/", "--", "--workers", "1"), 2, "leave URL out"),
        (("-n", "5", "-d", "5s"), 2, "exclude each other"),
        (("--rate", "5", "--pipeline", "2"), 2, "--pipeline"),
        (("--zipf", "1"), 2, "--urls"),
        (("--urls", "/nonexistent"), 2, "/nonexistent"),
        (("--compare", "ipc=socketpair"), 2, "two values"),
        (("--compare", "ipx=a,b"), 2, "did you mean ipc"),
        (("--require", "p99<1"), 2, "unit"),
        (("--require", "rps>1*baseline"), 2, "--baseline"),
        (("-H", "nonsense"), 2, "Accept-Encoding: br"),
        (("--json", "--csv"), 2, "exclude each other"),
        (("--", "--ipc", "nosuch"), 5, "wsrv: the server of its own does not start: --ipc: no transport 'nosuch'"),
        (("http://[::1",), 2, "is not a URL"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(args: tuple[str, ...], status: int, words: str) -> None:
    run = bench(*args)
    assert (run.returncode, run.stdout) == (status, "")
    assert words in run.stderr
    # One line, and a hint where the options are wrong.
    assert len([line for line in run.stderr.splitlines() if not line.startswith("wsrv: try: ")]) == 1


@contextlib.contextmanager
def endless(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A run against a server of its own that would not end, once it is under way; and all processes it consists of."""
    with subprocess.Popen(
        [*PROGRAM, "bench", "-d", "100s", "--warm-up", "0s"],
        env=environment({"TMPDIR": str(tmp_path)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as popen:
        folders: Callable[[], list[Path]] = lambda: list(tmp_path.glob("wsrv-bench-*/access.log"))  # noqa: E731
        wait_for(lambda: folders() and folders()[0].read_bytes().count(b"\n") > 1000, "requests")
        yield popen, children(psutil.Process(popen.pid), recursive=True)


def test_an_interrupt_ends_the_run_with_what_there_is(tmp_path: Path) -> None:
    with endless(tmp_path) as (popen, family):
        os.kill(popen.pid, signal.SIGINT)
        stdout, stderr = popen.communicate(timeout=60)
    assert (popen.returncode, said(stderr)) == (130, "")
    assert "answers" in stdout
    assert not any(child.is_running() for child in family)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_bench_ends_all_that_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    with endless(tmp_path) as (popen, family):
        os.kill(popen.pid, number)
        assert popen.communicate(timeout=60) == ("", "")
    assert popen.returncode == 128 + number
    assert not any(child.is_running() for child in family)
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_its_own_may_be_silent(site: Path) -> None:
    assert found("-n", "50", "--", str(site), "--workers", "1", "--quiet")["statuses"] == {"200": 50}


def test_a_baseline_with_other_fields_is_of_other_settings(servers: Servers, site: Path, tmp_path: Path) -> None:
    url, file = servers(site).url, str(tmp_path / "kept.json")
    assert bench(url, "-n", "10", "--warm-up", "0s", "--save", file).returncode == 0
    run = bench(url, "-n", "10", "--warm-up", "0s", "--baseline", file, "-H", "Accept-Encoding: br")
    assert run.returncode == 2
    assert "fields (baseline: [], now: ['Accept-Encoding: br'])" in said(run.stderr)


def test_a_run_is_drawn_and_set_beside_its_baseline(servers: Servers, site: Path, tmp_path: Path) -> None:
    url, file, drawn = servers(site).url, str(tmp_path / "kept.json"), tmp_path / "run.svg"
    kept = bench(url, "-n", "200", "--warm-up", "0s", "--save", file, "--chart", str(drawn))
    assert kept.returncode == 0
    assert "####" in kept.stdout
    assert kept.stdout.isascii()
    names = {element.tag.rpartition("}")[2] for element in fromstring(drawn.read_text()).iter()}
    assert {"svg", "polyline", "text"} <= names
    run = bench(url, "-n", "200", "--warm-up", "0s", "--baseline", file)
    assert run.returncode == 0
    rows = run.stdout.rpartition("\n\n")[2].splitlines()
    assert [row.split()[0] for row in rows[:3]] == ["baseline", "rps", "mean"]
    assert all(len(row) <= 80 for row in rows)
