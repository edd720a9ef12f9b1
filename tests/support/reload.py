# A server with a file of settings that the test changes, and `wsrv reload` for it.
"""Reloading servers in tests."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psutil

from tests.support.forkserver import completed
from tests.support.launch import Launched, Launcher
from tests.support.server import WSRV, Server, wait_for


class Config:
    """The file of settings of a server: by table and key, values as TOML writes them."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.path = path
        self.settings: dict[str, object] = {}
        self.more = ""
        self.set(**settings)

    def set(self, **settings: object) -> None:
        """Change these, `site_root` for `site.root`, and write the file; None takes one out."""
        self.settings |= {key.replace("_", ".", 1): value for key, value in settings.items()}
        lines = [f"{key} = {json.dumps(value)}" for key, value in self.settings.items() if value is not None]
        self.path.write_text("\n".join([*lines, self.more]))

    def add(self, text: str) -> None:
        """Have `text` at the end of the file."""
        self.more = text
        self.set()


def launch_with(launch: Launcher, config: Config, *options: str) -> Launched:
    """A server with this file; no root is said besides."""
    log = config.path.parent / "access.log"
    places = ("--port", "0", "--runtime-dir", str(launch.runtime), "--log-file", str(log))
    command = [*WSRV, "serve", "--config", str(config.path), *places, *options]
    server = launch(config.path.parent, command=command)
    server.log = log
    return server


def reload(server: Server, *options: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """`wsrv reload` for this server."""
    command = ["reload", "--runtime-dir", str(server.runtime), "--name", str(server.port), *options]
    return completed(*command, environment=os.environ, seconds=seconds)


def reloaded(server: Server, *options: str) -> dict[str, Any]:
    """What it says, having succeeded."""
    run = reload(server, "--json", *options)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def only(server: Server, kept: list[psutil.Process]) -> bool:
    """Whether none but those of `kept` are the workers."""
    return {worker.pid for worker in server.workers()} == {worker.pid for worker in kept}


def wait_until_left(server: Server) -> None:
    """Until the workers of before are gone."""
    wait_for(lambda: not server.stats()["reloads"]["leaving"], "the workers of before to end", 20)
