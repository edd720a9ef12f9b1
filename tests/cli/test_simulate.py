"""`wsrv cache simulate`: from a file to a table, a document, a plot and a sentence."""

import contextlib
import gzip
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.cli.program import PROGRAM, SECONDS, environment, wsrv
from tests.plugins.replay import replay as replay_asking
from tests.plugins.strangers import GOOD, install
from tests.support.zipf import trace as zipf
from wsrv.cli.findings import human
from wsrv.cli.units import Size
from wsrv.plugins.registry import load

POLICIES = list(load().policies)
CHROMIUM = shutil.which("chromium")
RAISES = GOOD.replace("As good as lru.", "Raises.").replace(
    'NAME: ClassVar[str] = "good"',
    'NAME: ClassVar[str] = "good"\n    def admit(self, key, weight):\n        raise ValueError("no luck")',
)


def csv(requests: list[tuple[bytes, int]]) -> str:
    return "".join(f"{number},{key.decode()},{size}\n" for number, (key, size) in enumerate(requests))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """3,000 requests for up to 300 objects."""
    path = tmp_path / "trace.csv"
    path.write_text("time,key,size\n" + csv(zipf(300, 0.8, 3000, seed=5)))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An access log with everything in it that a log may have."""
    path = tmp_path / "access.log"
    lines = [
        f'::1 - - [23/Nov/2026:10:{number // 60:02d}:{number % 60:02d} +0000] "GET /{key.decode()} HTTP/1.1" '
        f'{(200, 200, 200, 304, 206, 404)[number % 6]} {size} "-" "-"\n'
        for number, (key, size) in enumerate(zipf(100, 0.8, 3000, seed=5))
    ]
    path.write_text("nonsense\n" + "".join(lines))
    return path


def simulate(*args: str | Path) -> "subprocess.CompletedProcess[str]":
    return wsrv("cache", "simulate", *map(str, args))


def document(*args: str | Path) -> dict[str, Any]:
    run = simulate(*args, "--json")
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def rows(stdout: str, heading: str) -> dict[str, list[float]]:
    """The rows of the table below `heading`."""
    below = stdout.split(f"{heading}, %\n")[1].split("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: [float(text) for text in line.split()[1:]] for line in below}


def test_every_policy_has_a_row_and_the_bound_is_below_them(trace: Path) -> None:
    run = simulate(trace)
    assert (run.returncode, run.stderr) == (0, "")
    for heading in ("object miss ratio", "byte miss ratio"):
        table = rows(run.stdout, heading)
        assert list(table) == [*POLICIES, "PFOO-L"]
        assert all(len(row) == 9 for row in table.values())
        for name in POLICIES:
            assert all(bound <= missed for bound, missed in zip(table["PFOO-L"], table[name], strict=True))
            assert table[name][-1] == table["PFOO-L"][-1], "the last size does not hold everything"
    assert run.stdout.startswith("trace.csv: 3,000 requests for ")
    assert all(len(line) <= 80 for line in run.stdout.splitlines()[:-1])


SENTENCE = re.compile(
    r"Choose (?P<policy>\w+) with (?P<size>\w+): (?P<ratio>[\d.]+) % of the requests are misses, (?P<larger>[^;]+); "
    r"(?:that saves (?P<saves>[\d,]+) of (?P<all>[\d,]+) file reads and [\d.,]+ \w+, and no other policy saves "
    r"0\.1 % more\.|against sieve of that size it saves (?P<more>[\d,]+) of (?P<of>[\d,]+) file reads"
    r"(?: and (?P<bytes>[\d.,]+ \w+)|, and reads (?P<extra>[\d.,]+ \w+) more); "
    r"sieve would need (?P<needs>[\w ]+) for as few\.)"
)


def missed(policy: str, capacity_bytes: int, requests: list[tuple[bytes, int]]) -> tuple[int, int]:
    """Requests and bytes."""
    hits = replay_asking(load().policies[policy](capacity_bytes), requests)
    sizes = [size for (_, size), hit in zip(requests, hits, strict=True) if not hit]
    return len(sizes), sum(sizes)


@pytest.mark.parametrize(
    ("objects", "exponent", "sizes"),
    [
        (300, 0.8, ["64KiB", "256KiB", "1MiB", "2MiB", "8MiB"]),
        (300, 0.8, ["64KiB", "256KiB", "1MiB"]),
        (2000, 1.2, ["16KiB", "64KiB", "1MiB", "2MiB", "4MiB"]),
        (50, 0.3, ["16KiB", "4KiB", "1MiB"]),
    ],
)
def test_it_ends_with_the_choice_and_what_that_saves(
    tmp_path: Path, objects: int, exponent: float, sizes: list[str]
) -> None:
    requests = zipf(objects, exponent, 3000, seed=7)
    (tmp_path / "trace.csv").write_text(csv(requests))
    stdout = simulate(tmp_path / "trace.csv", *[word for size in sizes for word in ("--size", size)]).stdout
    said = SENTENCE.fullmatch(stdout.splitlines()[-1])
    assert said is not None, stdout

    in_bytes = {text: Size().read(text) for text in sizes}
    misses = {(name, size): missed(name, in_bytes[size], requests) for name in POLICIES for size in sizes}
    least = {size: min(misses[name, size][0] for name in POLICIES) for size in sizes}
    chosen = misses[said["policy"], said["size"]]
    enough = [size for size in sizes if least[size] <= min(least.values()) + 30]
    assert said["size"] == min(enough, key=in_bytes.__getitem__)
    assert chosen[0] <= least[said["size"]] + 3
    assert said["ratio"] == f"{chosen[0] / 30:.2f}"
    footprint = sum(dict(requests).values())
    assert (said["larger"] == "everything fits") == (in_bytes[said["size"]] >= footprint)
    usual = misses["sieve", said["size"]]
    if said["saves"]:
        assert said["policy"] == "sieve"
        assert (said["saves"], said["all"]) == (f"{3000 - chosen[0]:,}", "3,000")
    else:
        assert (said["more"], said["of"]) == (f"{usual[0] - chosen[0]:,}", "3,000")
        assert (said["bytes"] or said["extra"]) == human(abs(usual[1] - chosen[1]))
        assert bool(said["extra"]) == (chosen[1] > usual[1])
        able = [size for size in sizes if misses["sieve", size][0] <= chosen[0]]
        assert said["needs"] == (min(able, key=in_bytes.__getitem__) if able else "more than was tried")


def test_the_document_says_what_the_table_says(trace: Path) -> None:
    said = document(trace)
    table = rows(simulate(trace).stdout, "object miss ratio")
    for name, row in table.items():
        curve = said["bound"] if name == "PFOO-L" else said["policies"][name]
        assert [round(100 * ratio, 2) for ratio in curve["object_miss_ratio"]] == row
    assert said["schema"] == 1
    assert said["trace"]["requests"] == 3000
    assert said["trace"]["formats"] == ["CSV"]
    assert said["trace"]["span_seconds"] == 2999
    assert said["sampling"] == {"rate": 1.0, "requests": 3000, "objects": said["trace"]["objects"], "error": None}
    assert said["sizes_bytes"] == sorted(said["sizes_bytes"])
    choice = said["choice"]
    assert choice["policy"] in POLICIES
    assert choice["size_bytes"] in said["sizes_bytes"]
    assert simulate(trace).stdout.splitlines()[-1] == choice["sentence"]


def test_ratios_are_those_of_the_definition(tmp_path: Path) -> None:
    path = tmp_path / "small.csv"
    path.write_text(csv([(b"a", 1), (b"b", 3), (b"b", 3), (b"a", 1)]))
    said = document(path, "--size", "4", "--size", "3", "--policy", "lru")
    assert said["sizes_bytes"] == [3, 4]
    assert said["policies"] == {"lru": {"object_miss_ratio": [0.75, 0.5], "byte_miss_ratio": [0.625, 0.5]}}
    assert said["bound"]["object_miss_ratio"] == [0.5, 0.5]


def test_a_log_is_read_for_what_it_is_and_the_rest_is_counted(log: Path) -> None:
    run = simulate(log)
    assert run.returncode == 0
    assert run.stderr == "wsrv: warning: access.log:1: no line of an access log, and not time,key,size\n"
    assert "; 1 unreadable\n" in run.stdout
    assert "left out: 500 not a GET or HEAD answered 200, 206 or 304; " in run.stdout
    assert " over 49 min 5" in run.stdout
    said = document(log)["trace"]
    assert (said["lines"], said["bad_lines"], said["other_answers"]) == (3001, 1, 500)
    assert said["requests"] + said["requests_without_size"] == 2500


def test_of_a_log_it_says_which_cache_size_holds_the_bodies(log: Path, trace: Path) -> None:
    said = document(log)["choice"]
    sizes = {line.split()[6]: int(line.split()[9]) for line in log.read_text().splitlines()[1:] if '" 200 ' in line}
    # A body of up to 2 KiB is held four times, of up to 16 KiB twice, a larger one once, and 6 KiB beside it.
    weights = [6144 + size * (4 if size <= 2048 else 2 if size <= 16384 else 1) for size in sizes.values()]
    assert said["cache_size_bytes"] == round(said["size_bytes"] * sum(weights) / sum(sizes.values()))
    wanted = (
        rf" --cache-policy {said['policy']} --cache-size \d+[KM]iB, times the number of workers that have one each\.$"
    )
    assert re.search(wanted, said["sentence"])
    assert document(trace)["choice"]["cache_size_bytes"] is None
    assert "--cache-size" not in document(trace)["choice"]["sentence"]


def test_gzipped_and_several_and_standard_input(log: Path, tmp_path: Path) -> None:
    plain = document(log)
    lines = log.read_bytes().splitlines(keepends=True)
    older, newer = tmp_path / "access.log.2.gz", tmp_path / "access.log.1"
    older.write_bytes(gzip.compress(b"".join(lines[:1500])))
    newer.write_bytes(b"".join(lines[1500:]))
    parts = document(older, newer)
    assert parts["trace"]["name"] == "access.log.2.gz and 1 more"
    assert parts["policies"] == plain["policies"]
    command = [*PROGRAM, "cache", "simulate", "--json", "-"]
    run = subprocess.run(command, input=log.read_bytes(), env=environment(), capture_output=True, timeout=SECONDS)
    assert json.loads(run.stdout)["policies"] == plain["policies"]


def test_many_bad_lines_are_counted_and_few_named(trace: Path) -> None:
    trace.write_text(trace.read_text() + "what,is\nthis\n" * 10)
    run = simulate(trace)
    assert run.returncode == 0
    assert run.stderr.count("\n") == 6
    assert run.stderr.splitlines()[0] == "wsrv: warning: trace.csv:3002: not time,key,size"
    assert run.stderr.splitlines()[-1] == (
        "wsrv: warning: 20 lines could not be read; the first of them are named above"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is empty"),
        (
            "nonsense\n\x00\n",
            "of 2 lines, 2 could not be read (the first: log:1: no line of an access log, and not time,key,size)",
        ),
        (
            '::1 - - [23/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 404 0 "-" "-"\n',
            "of 1 lines, 1 are no GET or HEAD answered 200, 206 or 304",
        ),
        (
            '::1 - - [23/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 304 0 "-" "-"\n',
            "of 1 lines, 1 ask for objects that were never answered 200",
        ),
    ],
)
def test_nothing_to_measure_is_status_4(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "log"
    path.write_text(content)
    run = simulate(path)
    assert (run.returncode, run.stdout) == (4, "")
    assert run.stderr == f"wsrv: log: nothing to measure: {why}\n"


def test_where_nothing_is_asked_for_twice_no_policy_is_recommended(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("1,a,4\n2,b,7\n")
    run = simulate(tmp_path / "trace.csv", "--policy", "lru", "--policy", "sieve")
    assert run.returncode == 0
    said = "Choose none of them: no policy at any of these sizes saves a single file read."
    assert run.stdout.splitlines()[-1] == said


def test_a_file_that_is_not_there_is_usage(tmp_path: Path) -> None:
    run = simulate(tmp_path / "none")
    assert (run.returncode, run.stderr) == (2, f"wsrv: cannot read {tmp_path}/none: No such file or directory\n")
    run = simulate(tmp_path)
    assert (run.returncode, run.stderr) == (2, f"wsrv: cannot read {tmp_path}: Is a directory\n")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--policy", "pigeon"], "wsrv: --policy: no cache policy 'pigeon'; there are: sieve, "),
        (["--size", "0"], "wsrv: --size: a cache of 0 bytes holds nothing\n"),
        (["--sample", "2"], "wsrv: Invalid value for '--sample': '2' is not a number above 0 and up to 1, or auto\n"),
        (["--sample", "nan"], "wsrv: Invalid value for '--sample': 'nan' is not a number above 0 and up to 1"),
        (["--svg", "/nowhere/plot.svg"], "wsrv: cannot write the plot /nowhere/plot.svg: No such file or directory\n"),
    ],
)
def test_wrong_usage_is_said_in_a_line(trace: Path, args: list[str], why: str) -> None:
    run = simulate(trace, *args)
    assert run.returncode == 2
    assert run.stderr.startswith(why)


def test_a_policy_may_be_chosen_and_is_compared_with_itself(trace: Path) -> None:
    said = document(trace, "--policy", "sieve", "--policy", "fifo", "--policy", "sieve")
    assert list(said["policies"]) == ["sieve", "fifo"]
    assert said["choice"]["usual"] == "sieve"


def test_the_plot_is_an_svg_of_every_curve(trace: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    assert simulate(trace, "--svg", plot).returncode == 0
    root = ElementTree.parse(plot).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    lines = root.findall(f".//{space}polyline")
    assert len(lines) == 2 * (len(POLICIES) + 1)
    assert all(len((line.get("points") or "").split()) == 9 for line in lines)
    texts = [element.text for element in root.iter(f"{space}text")]
    assert {*POLICIES, "PFOO-L", "object miss ratio (trace.csv)", "byte miss ratio (trace.csv)"} <= {*texts}


def test_the_plot_is_dark_where_the_reader_is(trace: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    simulate(trace, "--svg", plot)
    papers = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            page.goto(plot.as_uri())
            style = "getComputedStyle(document.querySelector('{}')).{}"
            papers.append([page.evaluate(style.format(*of)) for of in ((".paper", "fill"), (".line-0", "stroke"))])
        browser.close()
    assert papers == [["rgb(255, 255, 255)", "rgb(0, 0, 0)"], ["rgb(22, 22, 22)", "rgb(255, 255, 255)"]]


def test_the_name_of_a_file_does_nothing_to_a_plot_or_a_terminal(trace: Path, tmp_path: Path) -> None:
    odd = tmp_path / "<b>&\x1b[2J.csv"
    odd.write_text(trace.read_text() + "nonsense\n")
    plot = tmp_path / "plot.svg"
    run = simulate(odd, "--svg", plot)
    assert run.returncode == 0
    assert "\x1b" not in run.stdout + run.stderr + plot.read_text()
    assert "<b>&?[2J.csv" in (ElementTree.parse(plot).getroot().findtext("{http://www.w3.org/2000/svg}title") or "")


def test_a_policy_of_a_plugin_is_replayed_too(trace: Path, tmp_path: Path) -> None:
    install(tmp_path, "tester-good", GOOD)
    run = wsrv("cache", "simulate", str(trace), env={"PYTHONPATH": str(tmp_path)})
    table = rows(run.stdout, "object miss ratio")
    assert list(table) == [*POLICIES, "good", "PFOO-L"]
    assert table["good"] == table["lru"]


def test_a_policy_of_a_plugin_that_raises_is_left_out(trace: Path, tmp_path: Path) -> None:
    install(tmp_path, "tester-good", RAISES)
    run = wsrv("cache", "simulate", str(trace), env={"PYTHONPATH": str(tmp_path)})
    assert run.returncode == 0
    assert run.stderr == (
        "wsrv: warning: good is left out: 'tester_good' (tester-good 1.0) raised ValueError: no luck\n"
    )
    assert list(rows(run.stdout, "object miss ratio")) == [*POLICIES, "PFOO-L"]


def test_without_any_policy_there_is_nothing_to_measure(trace: Path) -> None:
    disabled = ",".join(f"builtin.{name}" for name in POLICIES)
    run = wsrv("cache", "simulate", str(trace), env={"WSRV_DISABLE_PLUGINS": disabled})
    assert (run.returncode, run.stderr) == (4, "wsrv: there is no policy to replay the trace with\n")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 40,000 objects."""
    path = tmp_path_factory.mktemp("many") / "many.csv"
    path.write_text(csv(zipf(30_000, 0.6, 60_000, seed=5)))
    return path


def test_a_sample_is_said_to_be_one_with_its_error(many: Path) -> None:
    args = (many, "--policy", "fifo", "--policy", "sieve", "--size", "32MiB", "--size", "64MiB")
    said = document(*args, "--sample", "0.5")["sampling"]
    assert said["rate"] == 0.5
    assert 0 < said["error"]["objects_mean"] <= said["error"]["objects_most"] < 0.05
    assert (said["error"]["policy"], said["error"]["sizes_bytes"]) == ("sieve", [64 * 1024**2])
    shown = simulate(*args, "--sample", "0.5").stdout
    assert re.search(r"^sampled: 50\.00 % of the objects: [\d,]+ with [\d,]+ requests$", shown, re.MULTILINE)
    assert re.search(r"^  off by [\d.]+ points on average and [\d.]+ at most \(bytes: ", shown, re.MULTILINE)
    assert document(many, "--policy", "fifo", "--size", "64MiB")["sampling"]["error"] is None


def test_a_sample_is_never_of_too_few_objects(many: Path) -> None:
    run = simulate(many, "--policy", "lru", "--size", "64MiB", "--sample", "0.001", "--json")
    assert re.fullmatch(r"wsrv: warning: --sample 0.001 is too few of [\d,]+ objects; 0\.4\d+ is taken\n", run.stderr)
    assert json.loads(run.stdout)["sampling"]["objects"] == pytest.approx(10_000, rel=0.05)


def until_closed(fd: int) -> str:
    """What is written to a terminal until everybody has closed it."""
    shown = b""
    with contextlib.suppress(OSError):
        while piece := os.read(fd, 65536):
            shown += piece
    return shown.decode()


def on_terminal(*args: str | Path) -> tuple[str, str]:
    """What comes to stdout, a pipe, and to stderr, a terminal."""
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "cache", "simulate", *map(str, args)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment(), text=True) as process:
        os.close(theirs)
        assert process.stdout is not None
        shown = until_closed(ours)
        os.close(ours)
        return process.stdout.read(), shown


def on_screen(trace: Path, columns: int, lines: int, term: str = "xterm") -> str:
    """What comes to stdout, a terminal of this size."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (lines, columns))
    command = [*PROGRAM, "cache", "simulate", str(trace)]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment({"TERM": term})) as process:
        os.close(theirs)
        shown = until_closed(ours)
        os.close(ours)
        assert process.wait() == 0
    return shown.replace("\r\n", "\n")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (160, 48)])
def test_chart_and_sentence_fill_a_terminal(trace: Path, columns: int, lines: int) -> None:
    plain = simulate(trace).stdout
    bold = re.compile(r"\x1b\[1m(.*?)\x1b\[0m")
    shown = on_screen(trace, columns, lines)
    least = {float(text) for text in bold.findall(shown)}
    shown = bold.sub(r"\1", shown)
    assert all(len(line) <= columns for line in shown.splitlines())
    chart = shown[shown.index("object miss ratio, %, by cache size") :].splitlines()
    assert lines - 10 <= len(chart) + 1 <= lines, "the prompt stands below it"
    assert " ".join(chart[chart.index("") + 1 :]) == plain.splitlines()[-1]
    for heading in ("object miss ratio", "byte miss ratio"):
        table = rows(shown, heading)
        assert table == rows(plain, heading)
        del table["PFOO-L"]
        assert {min(column) for column in zip(*table.values(), strict=True)} <= least


def test_a_terminal_without_colour_has_none(trace: Path) -> None:
    assert "\x1b" not in on_screen(trace, 80, 24, term="dumb")


def test_ctrl_c_ends_it_at_once_and_leaves_nothing_on_the_line(many: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "cache", "simulate", str(many), "--svg", str(tmp_path / "plot.svg")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment(), text=True) as process:
        os.close(theirs)
        shown = os.read(ours, 1024)  # waits until there is progress to be seen
        process.send_signal(signal.SIGINT)
        shown += until_closed(ours).encode()
        os.close(ours)
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert process.returncode == 130
    assert shown.endswith(b"\r\x1b[K")
    assert b"Traceback" not in shown
    assert [*tmp_path.iterdir()] == []


def test_times_that_go_back_are_said_to(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("3,a,1\n1.5,b,1\n2,a,1\n1,b,1\n")
    run = simulate(tmp_path / "trace.csv")
    assert run.stdout.splitlines()[:2] == [
        "trace.csv: 4 requests for 2 objects of 2 bytes, over 2 s",
        "2 requests are earlier than the one before; the order of the lines was kept",
    ]
    assert document(tmp_path / "trace.csv")["trace"]["times_back"] == 2


def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(many: Path) -> None:
    # The dearest policy takes more than the second after which there is something to be seen.
    stdout, stderr = on_terminal(many, "--policy", "wtinylfu")
    assert "PFOO-L" in stdout
    assert re.search(r"\r\x1b\[Kreplaying \w+: \d+ %", stderr)
    assert stderr.endswith("\r\x1b[K")


def test_nothing_is_shown_of_what_is_done_at_once_nor_where_no_terminal_is(trace: Path, many: Path) -> None:
    assert on_terminal(trace, "--policy", "lru", "--size", "1MiB")[1] == ""
    assert simulate(many, "--policy", "lru").stderr == ""
