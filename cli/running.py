# Finding the server that a command is meant for.
#
# A server has one runtime directory; a client may not know in which environment it was started, so it looks in every
# place that this user's server could have chosen. Only --runtime-dir and WSRV_RUNTIME_DIR narrow that to one.
"""Runtime directories, and the servers that run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsrv.cli.exits import NO_SERVER, USAGE, Stop
from wsrv.cli.linux import require_linux
from wsrv.cli.units import AUTO

if TYPE_CHECKING:
    from wsrv.engine.master.runtime import RunningServer


def default_directories(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where a server of this user may keep its folder, the first choice first."""
    places = []
    # systemd sets it for RuntimeDirectory=, with colons between several (systemd.exec(5)).
    if first := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        places.append(Path(first))
    session = environ.get("XDG_RUNTIME_DIR", "")
    if session and _is_own_folder(session):
        places.append(Path(session) / "wsrv")
    return [*places, Path(f"/tmp/wsrv-{os.geteuid()}")]


def _is_own_folder(path: str) -> bool:
    """Whether the variable can be meant: after `sudo` it may still name the session of somebody else."""
    try:
        return os.path.isabs(path) and os.path.isdir(path) and os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def servers(directory: str | None, environ: Mapping[str, str] = os.environ) -> list["RunningServer"]:
    """The servers that run, in `directory` or else wherever this user's may be. Raises Stop."""
    from wsrv.engine.master.runtime import running

    variable = environ.get("WSRV_RUNTIME_DIR", "")
    named = directory or (os.path.expanduser(variable) if variable not in ("", AUTO) else None)
    found: list[RunningServer] = []
    for place in [Path(named)] if named else default_directories(environ):
        try:
            found += running(place)
        except OSError as error:
            if named:
                raise Stop(NO_SERVER, f"cannot look for servers in {place}: {error.strerror}") from error
    return found


def find(name: str | None, directory: str | None) -> "RunningServer":
    """The one server that is meant. Raises Stop when there is none, or several and no name."""
    require_linux()
    there = servers(directory)
    chosen = [server for server in there if name in (None, server.name)]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(f"{server.name} (pid {server.pid or 'unknown'})" for server in there)
    if chosen:
        raise Stop(USAGE, f"several servers run: {listed}; pick one with --name")
    if there:
        raise Stop(NO_SERVER, f"no server named {name} runs; there are: {listed}")
    raise Stop(NO_SERVER, "no server runs; start one with: wsrv serve")


def ask(server: "RunningServer", request: dict[str, Any], timeout_seconds: float = 5.0) -> dict[str, Any]:
    """What the server answers, within that time. Raises Stop."""
    from wsrv.engine.master.ask import NoAnswer, Refused
    from wsrv.engine.master.ask import ask as ask_master

    who = f"server {server.name} (pid {server.pid or 'unknown'})"
    try:
        return ask_master(server.socket_path, request, timeout_seconds)
    except NoAnswer as error:
        raise Stop(NO_SERVER, f"{who}: {error}") from error
    except Refused as error:
        raise Stop(NO_SERVER, f"{who} refuses: {error}") from error
