# Programs that are not ours, run so that nothing of the machine or of whoever runs the tests changes what they do.
"""Running a client as a person would, in surroundings of its own."""

import os
import subprocess
from pathlib import Path

SECONDS = 60


def surroundings(home: Path, **more: str) -> dict[str, str]:
    """An environment with a home of its own, no proxy, and messages in English."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC", "no_proxy": "*"} | more


def run(
    *command: str | Path, env: dict[str, str], cwd: Path | None = None, fails: bool = False
) -> "subprocess.CompletedProcess[bytes]":
    """What it wrote, once it has ended; it has to succeed, or to fail where `fails` says so."""
    done = subprocess.run([str(word) for word in command], env=env, cwd=cwd, capture_output=True, timeout=SECONDS)
    said = f"{command[0]} ended with {done.returncode}:\n{done.stdout!r}\n{done.stderr.decode(errors='replace')}"
    assert (done.returncode != 0) == fails, said
    return done
