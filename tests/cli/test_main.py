"""How the program ends: statuses, lines on stderr, what is imported."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, SECONDS, environment, python, wsrv
from wsrv.cli.main import COMMANDS
from wsrv.engine.version import VERSION


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(flag: str) -> None:
    run = wsrv(flag)
    assert (run.returncode, run.stderr) == (0, "")
    assert all(f"  {name} " in run.stdout for name in COMMANDS)


def test_help_imports_no_command_and_no_server() -> None:
    run = python(
        "import sys; from wsrv.cli.main import run; run(['--help']);"
        "seen = ('wsrv.', 'pluggy', 'rich', 'tomllib', 'importlib.metadata');"
        "sys.exit(' '.join(m for m in sys.modules if m.startswith(seen)))"
    )
    ours = {"wsrv.cli", "wsrv.cli.main", "wsrv.cli.exits", "wsrv.cli.voice"}
    # To see whether a plugin brings commands; of pluggy nothing, as long as none is installed.
    assert set(run.stderr.split()) == ours | {"wsrv.cli.foreign", "wsrv.plugins", "wsrv.plugins.entrypoints"}


@pytest.mark.parametrize("command", [[], ["serve"], ["stats"], ["config"], ["config", "show"], ["completion"]])
def test_help_works_where_no_server_can(command: list[str]) -> None:
    run = python(
        "import sys; sys.platform = 'darwin'\n"
        "for name in ('fcntl', 'wsrv.plugins.registry', 'wsrv.engine.ipc', 'wsrv.engine.sync'):\n"
        "    sys.modules[name] = None\n"
        f"from wsrv.cli.main import run; sys.exit(run({[*command, '--help']}))"
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_says_what_the_list_of_commands_says(command: str) -> None:
    assert wsrv(command, "--help").stdout.startswith(f"Usage: wsrv {command} ")


def test_version_is_the_packages() -> None:
    run = wsrv("--version")
    assert (run.returncode, run.stdout) == (0, f"wsrv {VERSION}\n")


def test_no_arguments_show_the_help_and_are_usage() -> None:
    run = wsrv()
    assert run.returncode == 2
    assert "Usage: wsrv " in run.stdout + run.stderr


def test_unknown_command_is_usage_and_names_the_nearest() -> None:
    run = wsrv("serv")
    assert run.returncode == 2
    assert run.stderr == "wsrv: no command is called serv; did you mean serve?\nwsrv: try: wsrv --help\n"


@pytest.mark.parametrize("args", [["serve", "--prot", "1"], ["serve", "a", "b"], ["serve", "--port"], ["--bogus"]])
def test_wrong_usage_ends_with_2_and_a_hint(args: list[str]) -> None:
    run = wsrv(*args)
    assert run.returncode == 2
    assert run.stderr.startswith("wsrv: ")
    assert run.stderr.splitlines()[-1].endswith("--help")
    assert run.stdout == ""


def test_what_is_quoted_moves_no_cursor() -> None:
    run = wsrv("\x1b[2Jserve")
    assert run.stderr.startswith(r"wsrv: no command is called \x1b[2Jserve; ")


def test_our_own_bug_ends_with_70_and_a_traceback() -> None:
    run = python("import sys; from wsrv.cli import main; main._run = lambda args: 1 / 0; sys.exit(main.run([]))")
    assert run.returncode == 70
    assert "ZeroDivisionError" in run.stderr
    assert run.stderr.endswith("wsrv: this is a fault of wsrv, not yours; please report it with the lines above\n")


def test_a_bug_in_a_command_of_ours_is_told_as_ours_and_alone() -> None:
    broken = "from wsrv.cli import completion, main; completion.script = lambda shell: 1 / 0"
    run = python(f"import sys; {broken}; sys.exit(main.run(['completion', 'bash']))")
    assert run.returncode == 70
    assert run.stderr.count("Traceback") == 1
    assert run.stderr.endswith("wsrv: this is a fault of wsrv, not yours; please report it with the lines above\n")


def test_broken_pipe_of_the_server_is_our_bug_while_stdout_is_read() -> None:
    run = python(
        "import sys; from wsrv.cli import main\n"
        "def fail(args): raise BrokenPipeError\n"
        "main._run = fail; sys.exit(main.run([]))"
    )
    assert run.returncode == 70


@pytest.mark.parametrize("args", [["--help"], ["completion", "bash"]])
def test_reader_that_left_is_no_error(args: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = subprocess.run(
            [*PROGRAM, *args], stdout=writing, stderr=subprocess.PIPE, env=environment(), timeout=SECONDS
        )
    finally:
        os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


def test_interrupt_is_quiet() -> None:
    code = (
        "import os, signal, sys; from wsrv.cli import main\n"
        "main._run = lambda args: os.kill(os.getpid(), signal.SIGINT) or signal.pause()\n"
        "sys.exit(main.run([]))"
    )
    run = python(code)
    assert (run.returncode, run.stdout, run.stderr) == (128 + signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("env", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1"}, False),
    ],
)
def test_colour_off_a_terminal_only_when_forced(env: dict[str, str], coloured: bool) -> None:
    run = wsrv("serv", env=env)
    assert ("\x1b[" in run.stderr) is coloured


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_on_a_terminal_unless_refused(env: dict[str, str], coloured: bool) -> None:
    master, terminal = os.openpty()
    try:
        subprocess.run([*PROGRAM, "serv"], stderr=terminal, env=environment({"TERM": "xterm"} | env), timeout=SECONDS)
        assert (b"\x1b[" in os.read(master, 4096)) is coloured
    finally:
        os.close(master)
        os.close(terminal)


def test_stderr_that_nobody_reads_stops_nothing() -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        room = os.write(writing, bytes(1 << 20))
        os.set_blocking(writing, True)
        run = subprocess.run([*PROGRAM, "serv"], stderr=writing, env=environment(), timeout=SECONDS)
        assert run.returncode == 2
        assert len(os.read(reading, 1 << 21)) == room
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_streams_change_no_status(closed: int, tmp_path: Path) -> None:
    command = f'exec "$0" -m wsrv.cli.main serve {tmp_path}/nowhere {closed}>&-'
    run = subprocess.run(
        ["sh", "-c", command, sys.executable], env=environment(), capture_output=True, timeout=SECONDS, check=False
    )
    assert run.returncode == 2
