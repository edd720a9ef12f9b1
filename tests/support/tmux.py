"""A terminal of a given size, by tmux: what is typed into it, what it shows."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.launch import environment
from tests.support.server import wait_for

PROMPT = "$ "
_SECONDS = 60.0


class Terminal:
    """A shell in which `wsrv` is what this Python runs. A context manager; tmux has a server of its own."""

    def __init__(self, folder: Path, columns: int, lines: int, variables: Mapping[str, str]) -> None:
        home = folder / f"terminal-{columns}x{lines}"
        home.mkdir(parents=True)
        program = home / "wsrv"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m wsrv.cli.main "$@"\n')
        program.chmod(0o755)
        self._size = columns, lines
        self._socket = str(home / "tmux")
        self._environment = environment(
            PATH=f"{home}:{os.environ['PATH']}", HOME=str(home), LC_ALL="C.UTF-8", TERM="xterm-256color"
        ) | dict(variables)

    def __enter__(self) -> "Terminal":
        columns, lines = self._size
        size = ["-x", str(columns), "-y", str(lines)]
        self._tmux("-f", os.devnull, "new-session", "-d", *size, f"PS1='{PROMPT}' exec bash --norc --noprofile -i")
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("resize-window", *size)
        self.wait(lambda shown: shown.startswith(PROMPT.strip()), "a prompt")
        return self

    def __exit__(self, *error: object) -> None:
        self._tmux("kill-server")

    def type(self, line: str) -> None:
        """Type a line, and the key that ends it."""
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._tmux("send-keys", "C-c")

    def resize(self, columns: int, lines: int) -> None:
        """Make the terminal larger or smaller, as a window that is drawn."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def shown(self, coloured: bool = False) -> str:
        """What stands on it now, without spaces at the ends of lines."""
        return self._tmux("capture-pane", "-p", *(["-e"] if coloured else []))

    def wait(self, condition: Callable[[str], bool], what: str, seconds: float = _SECONDS) -> str:
        """What it shows once the condition holds of it."""

        def shown() -> str:
            text = self.shown()
            return text if condition(text) else ""

        return wait_for(shown, f"{what} on the terminal", seconds)

    def run(self, line: str) -> str:
        """Type a line on a cleared terminal, and wait until it has ended: what is shown then, the prompt left out."""
        self.type("clear")
        self.wait(lambda shown: shown.strip() == PROMPT.strip(), "nothing but a prompt")
        self.type(line)
        text = self.wait(
            lambda shown: line in shown and shown.rstrip().endswith(f"\n{PROMPT.strip()}"), "the end of it"
        )
        return text.rstrip().removesuffix(PROMPT.strip()).rstrip() + "\n"

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", self._socket, *words]
        return subprocess.run(
            command, env=self._environment, check=True, capture_output=True, text=True, timeout=20
        ).stdout
