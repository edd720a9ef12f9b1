"""What the command line makes of plugins: their commands, the broken ones, the list."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import wsrv
from tests.plugins.strangers import COMMAND, GOOD, PRIMITIVES, install
from wsrv.cli import foreign
from wsrv.plugins.hookspecs import API_VERSION, hookimpl
from wsrv.plugins.outside import Outsiders
from wsrv.plugins.registry import builtin_manager

BROKEN = "raise ImportError('no luck')"
LEFT_OUT = (
    "wsrv: warning: plugin 'tester_bad' (tester-bad 1.0) is left out: ImportError: no luck; "
    "disable it with WSRV_DISABLE_PLUGINS=tester_bad\n"
)
CLASH = (
    "'{second}' offers command 'hello', which '{first}' offers already; disable one with WSRV_DISABLE_PLUGINS={second}"
)


def run(folder: Path, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """`wsrv ARGS` with what is installed in `folder`."""
    return wsrv(*args, env={"PYTHONPATH": str(folder), **env}, cwd=folder)


def rows(table: str) -> list[str]:
    """The lines of a table with one space between its columns."""
    return [" ".join(line.split()) for line in table.splitlines()]


TYPES = """
from wsrv.plugins.hookspecs import hookimpl
WSRV_API = 1
@hookimpl
def wsrv_register_types():
    return {".foo": "text/x-foo", ".bar": "text/x-theirs"}
"""


def test_content_types_of_a_plugin_are_listed_by_suffix(tmp_path: Path) -> None:
    install(tmp_path, "tester-types", TYPES)
    listed = rows(run(tmp_path, "plugins").stdout)
    assert "tester_types content types tester-types 1.0 yes .foo, .bar" in listed
    (row,) = [row for row in json.loads(run(tmp_path, "plugins", "--json").stdout)["plugins"] if row["kind"] == "types"]
    assert (row["name"], row["offers"], row["available"]) == ("tester_types", [".foo", ".bar"], True)


def test_help_lists_the_commands_of_plugins_apart(tmp_path: Path) -> None:
    install(tmp_path, "tester-hello", COMMAND.replace('"Say hello."', "'Say hello.\\n\\nAnd say it aloud.'"))
    said = run(tmp_path, "--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert "\nCommands of plugins:\n  hello  Say hello.  [tester-hello 1.0]\n" in said.stdout


def test_a_plugins_command_runs_and_has_help_of_its_own(tmp_path: Path) -> None:
    install(tmp_path, "tester-hello", COMMAND)
    assert run(tmp_path, "hello").stdout == "hello\n"
    assert run(tmp_path, "hello", "--help").stdout.startswith("Usage: wsrv hello ")
    wrong = run(tmp_path, "hello", "--loud")
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (2, "wsrv: try: wsrv hello --help")


def test_a_misspelt_name_is_compared_with_the_commands_of_plugins_too(tmp_path: Path) -> None:
    install(tmp_path, "tester-hello", COMMAND)
    said = run(tmp_path, "hallo")
    assert (said.returncode, said.stderr.splitlines()[0]) == (
        2,
        "wsrv: no command is called hallo; did you mean hello?",
    )
    install(tmp_path, "tester-bad", BROKEN)
    assert run(tmp_path, "hallo").stderr == LEFT_OUT + said.stderr


def test_a_hidden_command_of_a_plugin_is_not_listed_and_runs(tmp_path: Path) -> None:
    install(tmp_path, "tester-hello", COMMAND.replace("cli.command()", "cli.command(hidden=True)"))
    assert "ello" not in run(tmp_path, "--help").stdout
    assert run(tmp_path, "hello").stdout == "hello\n"


def test_help_works_beside_a_broken_plugin_and_names_it_in_one_line(tmp_path: Path) -> None:
    install(tmp_path, "tester-bad", BROKEN)
    install(tmp_path, "tester-hello", COMMAND)
    said = run(tmp_path, "--help")
    assert (said.returncode, said.stderr) == (0, LEFT_OUT)
    assert "hello" in said.stdout


@pytest.mark.parametrize(
    ("end", "why"), [("raise OSError('no luck')", "OSError: no luck"), ("exit(3)", "SystemExit: 3")]
)
def test_a_hook_that_fails_half_way_leaves_no_command_behind(tmp_path: Path, end: str, why: str) -> None:
    install(tmp_path, "tester-half", f"{COMMAND}    {end}\n")
    said = run(tmp_path, "--help")
    assert said.returncode == 0
    assert f"plugin 'tester_half' (tester-half 1.0) is left out: {why}; " in said.stderr
    assert "hello" not in said.stdout
    assert "tester_half plugin tester-half 1.0 no hello" in rows(run(tmp_path, "plugins").stdout)


def test_a_hook_that_does_not_want_the_group_is_called_without(tmp_path: Path) -> None:
    install(tmp_path, "tester-good", GOOD + "@hookimpl\ndef wsrv_register_commands(): pass\n")
    assert run(tmp_path, "--help").stderr == ""
    assert "good cache policy tester-good 1.0 yes" in rows(run(tmp_path, "plugins").stdout)


def test_what_fails_and_is_nobodys_plugin_is_ours(tmp_path: Path) -> None:
    class Ours:
        @hookimpl
        def wsrv_register_commands(self, cli: object) -> None:
            raise KeyError("ours")

    manager = builtin_manager()
    manager.register(Ours(), "ours")
    with pytest.raises(KeyError):
        foreign.gather(manager, Outsiders(manager), ())


@pytest.mark.parametrize(
    "args",
    [["stats", "--name", "nobody"], ["completion", "bash"], ["serve", "--help"], ["config", "show"], ["--version"]],
)
def test_a_command_that_needs_no_plugin_imports_none(tmp_path: Path, args: list[str]) -> None:
    install(tmp_path, "tester-bad", "print('imported'); raise ImportError")
    said = run(tmp_path, *args)
    assert "tester" not in said.stderr
    assert "imported" not in said.stdout


@pytest.mark.parametrize(
    "args", [["plugins"], ["--help"], ["config", "init"], ["config", "check"], ["serve", "nowhere"]]
)
def test_a_command_that_looks_a_part_or_a_command_up_imports_plugins_once_at_most(
    tmp_path: Path, args: list[str]
) -> None:
    (tmp_path / "wsrv.toml").write_text('[server]\nipc = "socketpair"\n')
    install(tmp_path, "tester-loud", f"import os; os.write(2, b'imported\\n')\n{GOOD}")
    said = run(tmp_path, *args, *(["--force"] if args[-1] == "init" else []))
    assert said.stderr.count("imported") == (args[0] != "serve"), "a folder that is not there ends it before"


def test_serve_warns_of_a_broken_plugin_and_misses_what_it_may_offer(tmp_path: Path) -> None:
    install(tmp_path, "tester-bad", BROKEN)
    error = "'tester_bad' (tester-bad 1.0) may offer it and was left out: see wsrv plugins\n"
    said = run(tmp_path, "serve", "--cache-policy", "mine")
    assert said.returncode == 2
    assert said.stderr.startswith(LEFT_OUT + "wsrv: --cache-policy: no cache policy 'mine'; there are: ")
    assert said.stderr.endswith(error)
    quiet = run(tmp_path, "serve", "--cache-policy", "mine", "--quiet")
    assert quiet.stderr.count("\n") == 1
    assert quiet.stderr.endswith(error)


def test_two_parts_of_one_name_start_no_server(tmp_path: Path) -> None:
    install(tmp_path, "tester-good", GOOD)
    install(tmp_path, "tester-well", GOOD)
    for args in (["serve"], ["plugins"]):
        said = run(tmp_path, *args)
        assert said.returncode == 2
        assert " offers cache policy 'good', which " in said.stderr
        assert "disable one with WSRV_DISABLE_PLUGINS=" in said.stderr
    assert run(tmp_path, "plugins", WSRV_DISABLE_PLUGINS="tester_well").returncode == 0


def test_a_command_that_two_offer_is_nobodys_and_using_it_names_both(tmp_path: Path) -> None:
    install(tmp_path, "tester-hello", COMMAND)
    install(tmp_path, "tester-hey", COMMAND)
    names = ("tester_hello", "tester_hey")
    clashes = [CLASH.format(first=first, second=second) for first, second in (names, names[::-1])]
    used, listed, helped = run(tmp_path, "hello"), run(tmp_path, "plugins"), run(tmp_path, "--help")
    assert used.returncode == listed.returncode == 2
    assert used.stderr.splitlines()[-1] in [f"wsrv: {clash}" for clash in clashes]
    assert listed.stderr in [f"wsrv: {clash}\n" for clash in clashes]
    assert helped.stderr in [f"wsrv: warning: {clash}\n" for clash in clashes]
    assert (helped.returncode, "hello" in helped.stdout) == (0, False)
    assert run(tmp_path, "hello", WSRV_DISABLE_PLUGINS="tester_hey").stdout == "hello\n"


def test_a_command_of_ours_is_never_a_plugins(tmp_path: Path) -> None:
    install(tmp_path, "tester-stats", COMMAND.replace("hello():", "stats():"))
    assert run(tmp_path, "stats", "--help").stdout.startswith("Usage: wsrv stats ")
    assert run(tmp_path, "stats", "--help").stderr == ""
    helped, listed = run(tmp_path, "--help"), run(tmp_path, "plugins")
    for said in (helped, listed):
        assert "'tester_stats' offers command 'stats', which 'wsrv' offers already; " in said.stderr
    assert (helped.returncode, listed.returncode) == (0, 2)
    assert "Commands of plugins" not in helped.stdout


def test_a_fault_of_a_plugins_command_is_told_as_the_plugins(tmp_path: Path) -> None:
    install(tmp_path, "tester-hello", COMMAND.replace('click.echo("hello")', "1 / 0"))
    said = run(tmp_path, "hello")
    assert said.returncode == 70
    assert "ZeroDivisionError" in said.stderr
    assert said.stderr.splitlines()[-1] == (
        "wsrv: this is a fault of plugin 'tester_hello' (tester-hello 1.0); "
        "please report it to its authors with the lines above"
    )


@pytest.mark.parametrize(("words", "wanted"), [(["he"], "hello"), (["serve", "--cache-policy", "go"], "good")])
def test_completion_knows_what_plugins_bring_and_is_silent_about_the_broken(
    tmp_path: Path, words: list[str], wanted: str
) -> None:
    install(tmp_path, "tester-hello", COMMAND)
    install(tmp_path, "tester-good", GOOD)
    install(tmp_path, "tester-bad", BROKEN)
    env = {"_WSRV_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["wsrv", *words]), "COMP_CWORD": str(len(words))}
    said = run(tmp_path, **env)
    assert (said.stdout, said.stderr) == (f"plain,{wanted}\n", "")


def test_the_list_names_what_there_is_and_why_the_rest_is_not(tmp_path: Path) -> None:
    install(tmp_path, "tester-good", GOOD)
    install(tmp_path, "tester-bad", BROKEN)
    install(tmp_path, "tester-off", GOOD)
    variables = {"WSRV_DISABLE_PLUGINS": "tester-off,builtin.flock,nobody"}
    said = run(tmp_path, "plugins", **variables)
    assert said.returncode == 0
    assert said.stderr == ("wsrv: warning: WSRV_DISABLE_PLUGINS: no plugin is called 'nobody'; see wsrv plugins\n")
    assert [line for line in said.stdout.splitlines() if line != line.rstrip()] == []
    lines = rows(said.stdout)
    assert lines[0] == "name kind origin available offers"
    assert "socketpair transport builtin yes master dispatches" in lines
    assert "inherit transport builtin yes workers accept" in lines
    assert "posix sync primitive builtin yes lock, semaphore" in lines
    assert "good cache policy tester-good 1.0 yes" in lines
    at = lines.index("tester_bad plugin tester-bad 1.0 no")
    assert lines[at + 1].startswith("ImportError: no luck; disable it with")
    at = lines.index("tester_off plugin tester-off 1.0 no")
    assert lines[at + 1].startswith("disabled by WSRV_DISABLE_PLUGINS")
    assert "builtin.flock plugin builtin no" in lines
    document = json.loads(run(tmp_path, "plugins", "--json", **variables).stdout)
    assert (document["schema"], document["api_version"]) == (1, API_VERSION)
    (bad,) = [row for row in document["plugins"] if row["name"] == "tester_bad"]
    assert bad["available"] is False
    assert bad["reason"].startswith("ImportError: no luck; ")
    assert bad["origin"] == "tester-bad 1.0"


def test_a_part_that_cannot_work_here_is_listed_with_its_reason(tmp_path: Path) -> None:
    cold = f"{'very ' * 14}cold-blooded parts freeze; heat the room"
    lame = f"    @classmethod\n    def available(cls, settings): return {cold!r}\n"
    install(tmp_path, "tester-good", GOOD.replace("@hookimpl", lame + "@hookimpl"))
    lines = run(tmp_path, "plugins").stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("good ")]
    assert lines[at].split()[-1] == "no"
    assert lines[at + 1 : at + 3] == ["    " + "very " * 13 + "very", "    cold-blooded parts freeze; heat the room"]
    said = run(tmp_path, "serve", "--cache-policy", "good")
    assert (said.returncode, said.stderr) == (5, f"wsrv: good: {cold}\n")


def test_a_part_that_fails_when_it_is_asked_is_named_once(tmp_path: Path) -> None:
    lame = "    @classmethod\n    def available(cls, settings): return 1 / 0\n"
    install(tmp_path, "tester-good", GOOD.replace("@hookimpl", lame + "@hookimpl"))
    said = run(tmp_path, "serve", "--cache-policy", "good")
    assert (said.returncode, said.stderr) == (
        5,
        "wsrv: good: available() of 'tester_good' (tester-good 1.0) raised ZeroDivisionError: division by zero\n",
    )


@pytest.mark.parametrize(
    ("name", "lack"),
    [
        ("flock", "flock offers locks only, and the connection queue needs a semaphore"),
        ("half", "half offers semaphores only, and the file pool's queue needs a lock"),
    ],
)
def test_a_primitive_that_does_not_fit_is_refused_and_those_that_do_are_named(
    tmp_path: Path, name: str, lack: str
) -> None:
    install(tmp_path, "tester-prims", PRIMITIVES)
    said = run(tmp_path, "serve", "--port", "0", "--sync", name)
    assert (said.returncode, said.stderr.splitlines()[-1]) == (
        5,
        f"wsrv: {lack}; use --sync posix, robust, eventfd or warm",
    )


def test_a_plugin_of_which_one_class_is_unfit_is_listed_once_with_all_that_it_offers(tmp_path: Path) -> None:
    code = GOOD.replace("[Good]", "[Good, type('Bad', (), {'NAME': 'bad'})]") + COMMAND
    install(tmp_path, "tester-half", code)
    said = run(tmp_path, "plugins")
    assert said.returncode == 0
    assert [line for line in rows(said.stdout) if "tester-half" in line] == [
        "tester_half plugin tester-half 1.0 no bad, good"
    ]
