# What stands on a terminal, as tmux sees it: nothing wraps, whatever its size.
"""Commands that draw, in front of a real server, on terminals of several sizes."""

from functools import partial
from pathlib import Path

from tests.support.launch import Launcher
from tests.support.tmux import PROMPT, Terminal

_LABELS = ("wsrv", "ipc", "requests/s", "sent/s", "new conns/s", "4xx, 5xx/s", "latency", "queue wait", "cache")
_BELOW = ("worker", "guard", "queue", "pool_", "0 ", "1 ")


def is_a_frame(shown: str, columns: int, lines: int) -> bool:
    """Whether a whole frame of `stats --watch` stands there, each line of it begun as lines are, none gone on."""
    there = [line for line in shown.splitlines() if line]
    if not 0 < len(there) <= lines or not there[0].startswith("wsrv "):
        return False
    begun = all(line.lstrip().startswith((*_LABELS, *_BELOW)) for line in there)
    return begun and len(there) >= min(lines, 14) - 4 and max(map(len, there)) <= columns


def test_what_is_watched_fits_whatever_the_terminal_becomes(launch: Launcher, site: Path, tmp_path: Path) -> None:
    server = launch(site, "--workers", "2", "--name", "watched")
    assert server.get("/").status == 200
    with Terminal(tmp_path, 80, 24, {"WSRV_RUNTIME_DIR": str(server.runtime)}) as terminal:
        terminal.type("wsrv stats --watch; echo ended with $?")
        terminal.wait(lambda shown: is_a_frame(shown, 80, 24), "a frame of 80 by 24")
        for columns, lines in ((40, 12), (120, 30), (20, 5), (160, 20)):
            terminal.resize(columns, lines)
            terminal.wait(partial(is_a_frame, columns=columns, lines=lines), f"a frame of {columns} by {lines}")
        terminal.interrupt()
        shown = terminal.wait(
            lambda shown: "ended with" in shown and shown.rstrip().endswith(PROMPT.strip()), "the end"
        )
        assert "ended with 130" in shown
        assert "requests/s" not in shown, "the screen is as it was"
        assert "0" * 200 in terminal.run("printf '%0200d\\n' 0").replace("\n", ""), "lines wrap again"


def test_tables_do_not_wrap_at_80_columns_and_colour_can_be_refused(
    launch: Launcher, site: Path, tmp_path: Path
) -> None:
    server = launch(site, "--workers", "2", "--log-format", "json")
    for target in ("/", "/none/" + "long/" * 40, "/index.html"):
        server.get(target)
    server.log_lines(3)
    with Terminal(tmp_path, 80, 24, {"WSRV_RUNTIME_DIR": str(server.runtime)}) as terminal:
        for line in (
            "wsrv stats",
            "wsrv stats --sync",
            "wsrv cache inspect",
            "wsrv log tail",
            "wsrv log tail --count-by path",
        ):
            shown = terminal.run(line).splitlines()
            assert shown[0] == f"{PROMPT}{line}"
            # A line that fills its row may have gone on in the next one.
            assert max(len(one) for one in shown) <= 80, line
            assert not any(one.startswith("long/") for one in shown), line
        terminal.run("wsrv log tail")
        assert "\x1b[3" in terminal.shown(coloured=True)
        terminal.run("NO_COLOR=1 wsrv log tail")
        assert "\x1b[" not in terminal.shown(coloured=True)
