"""Completion: the scripts, and what they are answered."""

from pathlib import Path

import pytest

from tests.cli.program import wsrv

SCRIPTS = {"bash": "wsrv.bash", "zsh": "_wsrv", "fish": "wsrv.fish"}
FOLDER = Path(__file__).resolve().parents[2] / "completions"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_script_in_the_repository_is_what_click_generates(shell: str) -> None:
    assert wsrv("completion", shell).stdout == (FOLDER / SCRIPTS[shell]).read_text()


def test_script_is_for_any_machine_not_for_the_bash_that_is_here() -> None:
    run = wsrv("completion", "bash", env={"PATH": ""})
    assert (run.returncode, run.stdout, run.stderr) == (0, (FOLDER / SCRIPTS["bash"]).read_text(), "")


def test_completing_what_no_command_is_called_is_silent() -> None:
    run = wsrv(env={"_WSRV_COMPLETE": "bash_complete", "COMP_WORDS": "wsrv nosuch --f", "COMP_CWORD": "2"})
    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "", "")


def test_unknown_shell_is_usage() -> None:
    run = wsrv("completion", "tcsh")
    assert run.returncode == 2
    assert "tcsh" in run.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["st"], "stats"),
        (["serve", "--ip"], "--ipc"),
        (["serve", "--ipc", "so"], "socketpair"),
        (["serve", "--sync", ""], "posix"),
        (["serve", "--cache-policy", "l"], "lru"),
        (["serve", "--log-format", "c"], "combined"),
        (["completion", "f"], "fish"),
        (["con"], "config"),
        (["config", ""], "import"),
        (["config", "ch"], "check"),
        (["config", "init", "--f"], "--force"),
        (["config", "show", "--ipc", "so"], "socketpair"),
        (["config", "show", "--conf"], "--config"),
        (["serve", "--sandbox", ""], "require"),
        (["serve", "--cache-scope", "s"], "shared"),
        (["rel"], "reload"),
        (["reload", "--v"], "--verify"),
        (["log", ""], "tail"),
        (["log", "tail", "--count-by", "p"], "path"),
        (["log", "tail", "--cache", ""], "miss"),
        (["log", "tail", "--status", "5"], "5xx"),
        (["log", "tail", "--slow"], "--slower-than"),
        (["cache", "policy", "wt"], "wtinylfu"),
        (["cache", "inspect", "--sort", "w"], "weight"),
        (["cache", "simulate", "--policy", "si"], "sieve"),
        (["bench", "--compare", "ip"], "ipc="),
        (["bench", "--compare", "ipc", "=", "so"], "socketpair"),
        (["bench", "--compare", "ipc", "=", "socketpair,in"], "socketpair,inherit"),
        (["bench", "--compare", "ipc=socketpair,in"], "ipc=socketpair,inherit"),
        (["bench", "-c", "10", "--", "--cache-p"], "--cache-policy"),
        (["bench", "--", "site", "--sync", "ro"], "robust"),
    ],
)
def test_completion_knows(words: list[str], wanted: str) -> None:
    env = {"_WSRV_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["wsrv", *words]), "COMP_CWORD": str(len(words))}
    run = wsrv(env=env)
    assert f"plain,{wanted}" in run.stdout.splitlines()
    assert run.stderr == ""


@pytest.mark.parametrize("words", [["config", "check", "ws"], ["config", "init", "ws"], ["config", "import", "ws"]])
def test_completion_leaves_files_to_the_shell(words: list[str]) -> None:
    env = {"_WSRV_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["wsrv", *words]), "COMP_CWORD": str(len(words))}
    assert wsrv(env=env).stdout.splitlines() == ["file,ws"]


def test_completion_of_a_broken_registry_is_silent() -> None:
    env = {"_WSRV_COMPLETE": "bash_complete", "COMP_WORDS": "wsrv serve --ipc s", "COMP_CWORD": "3"}
    run = wsrv(env=env | {"WSRV_DISABLE_PLUGINS": "builtin.socketpair"})
    assert (run.stdout.strip(), run.stderr) == ("", "")
