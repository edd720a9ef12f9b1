"""Completion where a person meets it: in a real bash, zsh and fish, by the tabulator key."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.cli.program import environment
from wsrv.engine.master.runtime import RuntimeFolder

pytestmark = pytest.mark.once("what shells make of the same scripts")

FOLDER = Path(__file__).resolve().parents[2] / "completions"
SECONDS = 30
READY = "ready-for-keys"
SERVER = "this-one"
# What a shell is started with, and told before the first key.
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'; source {folder}/wsrv.bash"),
    "zsh": (["-f", "-i"], "autoload -Uz compinit && compinit -u -D; unsetopt prompt_sp; source {folder}/_wsrv"),
    "fish": (["--no-config", "-i"], "source {folder}/wsrv.fish"),
}
_CONTROL = re.compile(r"\x1b(\[[0-9;?<>=]*[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>])|[\x00-\x08\x0b-\x1f]")


class Shell:
    """A shell at a terminal of its own."""

    def __init__(self, name: str, home: Path) -> None:
        arguments, instruction = SHELLS[name]
        # The program is what this Python runs, wherever it is installed.
        program = home / "wsrv"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wsrv.cli.main "$@"\n')
        program.chmod(0o755)
        env = {
            "HOME": str(home),
            "PATH": f"{home}:{os.environ['PATH']}",
            "TERM": "xterm",
            "PS1": "> ",
            "fish_greeting": "",
            "WSRV_RUNTIME_DIR": str(home / "run"),
        }
        self._child = pexpect.spawn(
            name, arguments, env=environment(env), encoding="utf-8", timeout=SECONDS, dimensions=(40, 160)
        )
        # In two pieces, or its own echo would be taken for it.
        self._child.sendline(f"{instruction.format(folder=FOLDER)}; echo {READY[:5]}''{READY[5:]}")
        self._child.expect(READY)

    def complete(self, line: str, wanted: str) -> None:
        """Type the line and the key; fails when what is wanted does not appear."""
        self._child.send(line)
        self._child.send("\t")
        seen = ""
        while wanted not in _CONTROL.sub("", seen):
            try:
                seen += self._child.read_nonblocking(4096, timeout=SECONDS)
            except (pexpect.TIMEOUT, pexpect.EOF):
                pytest.fail(f"{line!r} and the key made {_CONTROL.sub('', seen)!r} of it, without {wanted!r}")

    def end(self) -> None:
        self._child.close(force=True)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    with RuntimeFolder.claim(tmp_path / "run", SERVER):
        found = Shell(request.param, tmp_path)
        yield found
        found.end()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("wsrv comp", "completion"),
        ("wsrv serve --ip", "--ipc"),
        ("wsrv serve --ipc so", "socketpair"),
        ("wsrv serve --ipc=so", "socketpair"),
        ("wsrv serve --workers=2 --cache-policy=wt", "wtinylfu"),
        ("wsrv serve --sync ro", "robust"),
        ("wsrv cache sim", "simulate"),
        ("wsrv log tail --count-by=st", "status"),
        ("wsrv bench --compare ipc=so", "ipc=socketpair"),
        ("wsrv bench -- --cache-policy wt", "wtinylfu"),
        ("wsrv stats --name th", SERVER),
    ],
)
def test_the_key_completes(shell: Shell, line: str, wanted: str) -> None:
    shell.complete(line, wanted)
