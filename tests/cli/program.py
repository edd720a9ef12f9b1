# Running wsrv as a person does: a process of its own, its status, what it printed.
"""The program, in a process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.forkserver import completed

SECONDS = 20
PROGRAM = (sys.executable, "-m", "wsrv.cli.main")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything that wsrv reads, and with `extra`."""
    read = ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "NO_COLOR", "FORCE_COLOR")
    kept = {k: v for k, v in os.environ.items() if k not in read and not k.startswith(("WSRV_", "_WSRV_"))}
    return kept | dict(extra or {})


def wsrv(*args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `wsrv ARGS` to its end."""
    surroundings = environment(env)
    try:
        return completed(*args, environment=surroundings, folder=cwd, seconds=SECONDS)
    except ValueError:
        return _run([*PROGRAM, *args], surroundings, cwd)


def python(code: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `code` in a Python that can import wsrv."""
    return _run([sys.executable, "-c", code], environment(env), None)


def _run(command: list[str], env: Mapping[str, str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
